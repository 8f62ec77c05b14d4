"""Devices by ID, by site, by slug, and in the order of lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .entities import Device


class DeviceStore(Mapping[str, Device]):
    """All devices of a world, as a mapping by ID in the order of IDs."""

    def __init__(self) -> None:
        self._devices: dict[str, Device] = {}
        self._ordered: dict[str | None, list[Device]] = {}
        self._slugs: dict[str, list[Device]] | None = None

    def __getitem__(self, device_id: str) -> Device:
        return self._devices[device_id]

    def __iter__(self) -> Iterator[str]:
        return (device.id for device in self.ordered())

    def __len__(self) -> int:
        return len(self._devices)

    def add(self, device: Device) -> None:
        """Add a device."""
        self._devices[device.id] = device
        self.changed()

    def remove(self, device_id: str) -> None:
        """Take a device out."""
        del self._devices[device_id]
        self.changed()

    def changed(self) -> None:
        """Forget the orders and slugs, after a device moved or was renamed."""
        self._ordered.clear()
        self._slugs = None

    def ordered(self, site_id: str | None = None) -> list[Device]:
        """Return the devices of a site, or all, ordered by ID (reference.md, Devices)."""
        devices = self._ordered.get(site_id)
        if devices is None:
            chosen = (d for d in self._devices.values() if site_id is None or d.site_id == site_id)
            devices = self._ordered[site_id] = sorted(chosen, key=lambda device: device.id)
        return devices

    def find(self, id_or_slug: str, site_id: str | None = None, *, slugs: bool = True) -> Device | None:
        """Find a device by ID, or by slug where slugs are accepted. A site narrows both."""
        device = self._devices.get(id_or_slug)
        if device is not None:
            return device if site_id is None or device.site_id == site_id else None
        if not slugs:
            return None
        if self._slugs is None:
            self._slugs = {}
            for other in self.ordered():
                self._slugs.setdefault(other.slug, []).append(other)
        named = self._slugs.get(id_or_slug, [])
        return next((d for d in named if site_id is None or d.site_id == site_id), None)
