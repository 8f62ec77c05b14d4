"""The selection of devices and attributes, and its changes while a collector runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, TypeAlias

import attrs

from enapter_async import (
    APIError,
    DecodeError,
    Device,
    EnapterClient,
    PermissionDeniedError,
    Safety,
    ValueDeclaration,
)
from enapter_async._arguments import fits_in_list, is_sendable, require_instance
from enapter_async._protocol.failure import refuses_request
from enapter_async._protocol.query import text
from enapter_async._selection import (
    choose_attributes,
    describe_attributes,
    find_named_device,
    list_names,
    require_attributes,
    require_names,
)
from enapter_async._visible import make_visible
from enapter_async.collector.events import AttributesChanged, CollectorEvent, DeviceAdded, DeviceRemoved, Skipped
from enapter_async.collector.shard import Shard
from enapter_async.errors import InvalidArgumentError, SelectionError
from enapter_async.models.common import JSON
from enapter_async.models.manifest import Manifest
from enapter_async.rows.row import clean_text

Units: TypeAlias = Mapping[str, Mapping[str, str | None]]
"""Unit by attribute, by device."""

_PAGE: Final = 50
_LONGEST_NAME: Final = 40
"""Characters of a name in a log line."""
_UNKNOWN: Final = "the token can see no such device"


class EmptyShardError(SelectionError):
    """There are devices, but none belongs to this shard. More devices may be added."""


def _names(value: Iterable[str] | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    names = require_names(value, "devices")
    if not names:
        raise InvalidArgumentError("devices", "must have at least one name; None means all devices")
    return names


def _site_id(value: str | None) -> str | None:
    return None if value is None else text(value, "site_id")


def _shard(value: Shard | None) -> Shard | None:
    return None if value is None else require_instance(value, Shard, "shard")


@attrs.frozen
class Selection:
    """The devices and attributes to collect.

    Attributes:
        devices: IDs, slugs or names of devices; None for all devices that the token can see.
        attributes: `numeric` for all numeric telemetry, `all` for all telemetry and alerts, or names of attributes.
        site_id: Only devices of this site.
        shard: Only the devices of this collector, if several share them.

    Raises:
        InvalidArgumentError: An argument is invalid.
    """

    devices: tuple[str, ...] | None = attrs.field(default=None, converter=_names)
    attributes: Literal["numeric", "all"] | tuple[str, ...] = attrs.field(
        default="numeric", converter=require_attributes
    )
    site_id: str | None = attrs.field(default=None, converter=_site_id)
    shard: Shard | None = attrs.field(default=None, converter=_shard)


def includes_all_devices(selection: Selection) -> bool:
    """Whether every device that the token can see belongs to a selection."""
    return selection.devices is None and selection.site_id is None and selection.shard is None


@attrs.frozen
class Targets:
    """The devices and attributes that match a selection now.

    Attributes:
        units: Unit by attribute, by device ID.
        visible: Number of devices that the token can see, or that were named.
        names: Name of each device for display, by ID, with the ID if several devices have this name.
    """

    units: Units
    visible: int
    names: Mapping[str, str] = attrs.field(factory=dict[str, str])

    @property
    def attributes(self) -> int:
        """Number of attributes."""
        return sum(map(len, self.units.values()))

    def changes_from(self, before: Targets) -> Iterator[CollectorEvent]:
        """Yield the differences from an earlier selection."""
        for device, units in self.units.items():
            old = before.units.get(device)
            if old is None:
                yield DeviceAdded(device_id=device, attributes=len(units))
            elif old != units:
                yield AttributesChanged(
                    device_id=device,
                    added=tuple(name for name in units if name not in old),
                    removed=tuple(name for name in old if name not in units),
                    units={name: unit for name, unit in units.items() if name in old and old[name] != unit},
                )
        for device in before.units:
            if device not in self.units:
                yield DeviceRemoved(device_id=device)


@attrs.frozen
class _Found:
    """The fields of a device that the collector needs."""

    id: str
    slug: str
    name: str
    manifest: Manifest | None


class Finder:
    """Resolves a selection. A named device stays the same device if it is renamed."""

    def __init__(self, client: EnapterClient, selection: Selection) -> None:
        self._client = client
        self._selection = selection
        self._known: dict[str, str] = {}
        self.skipped: list[Skipped] = []

    async def find(self) -> Targets:
        """Request the devices from the API.

        Raises:
            SelectionError: There is nothing to collect.
            InvalidArgumentError: Several devices have the same requested name.
            EnapterError: A request failed.
        """
        self.skipped = []
        devices = await self._all() if self._selection.devices is None else await self._named(self._selection.devices)
        shard = self._selection.shard
        own = devices if shard is None else [one for one in devices if shard.holds(one.id)]
        # In the order of a store's key, in which devices are then polled: the rows of a response are neighbours.
        units = {one.id: found for one in sorted(own, key=_get_id) if (found := self._units(one))}
        if not units:
            kind = SelectionError if shard is None or not devices else EmptyShardError
            raise kind(self._nothing(devices))
        return Targets(units, len(devices), make_labels({one.id: one.name for one in devices}))

    async def _all(self) -> list[_Found]:
        try:
            pager = self._client.devices.list(site_id=self._selection.site_id, expand={"manifest"})
            return [_found(device) async for device in pager]
        except DecodeError:
            return await self._one_by_one()

    async def _one_by_one(self) -> list[_Found]:
        """List the devices even if one of them is unreadable."""
        path = "v3/devices" if self._selection.site_id is None else f"v3/sites/{self._selection.site_id}/devices"
        found: dict[str, _Found] = {}
        offset = 0
        while True:
            query = {"expand": "manifest", "limit": str(_PAGE), "offset": str(offset)}
            payload = await self._client.request("GET", path, query=query, safety=Safety.READ)
            page = payload.get("devices") if isinstance(payload, dict) else None
            if not isinstance(page, list) or not page:
                return list(found.values())
            offset += len(page)
            for entry in page:
                one = self._read(entry)
                if one is not None:
                    found[one.id] = one

    def _read(self, entry: JSON) -> _Found | None:
        if not isinstance(entry, dict) or not isinstance(identifier := entry.get("id"), str) or not identifier:
            self.skipped.append(Skipped(device_id="?", attribute=None, reason="a device without an ID in the list"))
            return None
        manifest = entry.get("manifest")
        if manifest is not None and not isinstance(manifest, dict):
            self.skipped.append(Skipped(device_id=identifier, attribute=None, reason="its manifest cannot be read"))
        return _Found(
            identifier,
            str(entry.get("slug") or ""),
            str(entry.get("name") or ""),
            Manifest(manifest) if isinstance(manifest, dict) else None,
        )

    async def _named(self, names: Sequence[str]) -> list[_Found]:
        found: dict[str, _Found] = {}
        unknown: dict[str, str] = {}
        for name in names:
            try:
                device = await self._client.devices.get(self._known.get(name, name), expand={"manifest"})
            except InvalidArgumentError:
                unknown[name] = _UNKNOWN  # a name need not be a valid ID
            except DecodeError as error:
                unknown[name] = str(error)
            except APIError as error:
                if not refuses_request(error):
                    raise
                unknown[name] = str(error) if isinstance(error, PermissionDeniedError) else _UNKNOWN
            else:
                found[device.id] = _found(device)
                self._known[name] = device.id
        if unknown:
            listed = await self._all()
            by_id = {one.id: one for one in listed}
            for name, reason in unknown.items():
                named = by_id.get(self._known.get(name, name)) or find_named_device(listed, name)
                if named is None:
                    self.skipped.append(Skipped(device_id=name, attribute=None, reason=reason))
                    continue
                found[named.id] = named
                self._known[name] = named.id
        return list(found.values())

    def _units(self, device: _Found) -> dict[str, str | None]:
        if not is_sendable(device.id):
            self.skipped.append(Skipped(device_id=device.id, attribute=None, reason="no request can contain its ID"))
            return {}
        chosen, invalid = self._choose_attributes(device)
        for name in invalid:
            self.skipped.append(Skipped(device_id=device.id, attribute=name, reason="no request can contain this name"))
        units = {name: None if one is None else one.unit for name, one in chosen.items()}
        return {name: None if unit is None else clean_text(unit) for name, unit in units.items()}

    def _choose_attributes(self, device: _Found) -> tuple[Mapping[str, ValueDeclaration | None], Iterable[str]]:
        """Return the attributes to collect with their declarations, and those that no request can contain."""
        wanted = self._selection.attributes
        if device.manifest is not None or self._selection.devices is None or isinstance(wanted, str):
            return choose_attributes(device.manifest, wanted, is_valid=fits_in_list)
        # The attributes of a device without a manifest are unknown: poll it only if it was named.
        chosen: dict[str, ValueDeclaration | None] = {name: None for name in wanted if fits_in_list(name)}
        return chosen, [name for name in wanted if name not in chosen]

    def _nothing(self, devices: Sequence[_Found]) -> str:
        selection, count = self._selection, len(devices)
        if selection.devices is not None and not devices:
            return f"nothing to collect: the token cannot see device {list_names(selection.devices)}"
        if not count:
            return "nothing to collect: the token cannot see any device"
        if selection.shard is not None and not any(selection.shard.holds(one.id) for one in devices):
            return f"nothing to collect: none of the {count} devices belongs to shard {selection.shard}"
        seen = "1 device" if count == 1 else f"{count} devices"
        what = describe_attributes(selection.attributes)
        return f"nothing to collect: the token can see {seen}, none with {what}"


def make_labels(names: Mapping[str, str]) -> dict[str, str]:
    """Return the name of each device for display, by ID: one line, not too long, and different for each device."""
    shown = {device: _shorten(make_visible(" ".join(name.split()))) for device, name in names.items()}
    count = Counter(shown.values())
    return {
        device: device if not name else name if count[name] == 1 else f"{name} ({device})"
        for device, name in shown.items()
    }


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _get_id(device: _Found) -> str:
    return device.id


def _found(device: Device) -> _Found:
    return _Found(device.id, device.slug or "", device.name or "", device.manifest)
