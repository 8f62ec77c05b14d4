"""Selection of devices and attributes by name, with their declarations in the manifests."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias, TypeVar

import attrs

from enapter_async import (
    Device,
    EnapterClient,
    InvalidArgumentError,
    NotFoundError,
    SelectionError,
    ValueDeclaration,
)
from enapter_async.models.arguments import is_sendable

Attributes: TypeAlias = "Literal['numeric', 'all'] | Sequence[str]"
"""All numeric attributes, all attributes, or attributes by name."""

T = TypeVar("T")

_logger = logging.getLogger("enapter_async.exporter")

_EVERY_DEVICE_HAS: Final = ("alerts", "alert_details")
_MOST_NAMED: Final = 12


@attrs.frozen
class SelectedDevice:
    """A device and some of its telemetry attributes.

    Attributes:
        device_id: ID of the device.
        name: Display name.
        attributes: Declarations by name, in the requested order; None for names that the manifest does not declare.
    """

    device_id: str
    name: str
    attributes: Mapping[str, ValueDeclaration | None]

    @property
    def units(self) -> dict[str, str | None]:
        """Units by attribute."""
        return {name: None if one is None else one.unit for name, one in self.attributes.items()}


async def select_devices(
    client: EnapterClient, devices: Sequence[str] = (), attributes: Attributes = "numeric"
) -> list[SelectedDevice]:
    """Find devices and attributes.

    Args:
        client: Client for the requests.
        devices: IDs, slugs or names. Empty for all devices that the token can see.
        attributes: `"numeric"` or `"all"` attributes of the manifests, alerts among the latter, or names. Of all
            devices, those that have any of these names are taken; a device that was named must have all of them.

    Raises:
        SelectionError: A device or attribute does not exist.
        InvalidArgumentError: Several devices have the same name.
        EnapterError: A request failed.
    """
    selected: list[SelectedDevice] = []
    if devices:
        for name in dict.fromkeys(devices):
            device = await _find_device(client, name)
            if all(device.id != one.device_id for one in selected):
                selected.append(_select_required(device, attributes))
        return selected
    count = 0
    async for device in client.devices.list(expand={"manifest"}):
        count += 1
        if not is_sendable(device.id):
            _logger.warning("device %s is left out: its ID is invalid", ascii(device.id))
            continue
        one = _select_existing(device, attributes)
        if one.attributes:
            selected.append(one)
    if not selected:
        what = _KINDS[attributes] if isinstance(attributes, str) else f"an attribute {', '.join(attributes)}"
        seen = f"{count} device{'' if count == 1 else 's'}, none with {what}" if count else "no device"
        raise SelectionError(f"nothing to read: the token can see {seen}")
    return selected


_KINDS: Final = {"numeric": "numeric telemetry", "all": "telemetry"}


async def _find_device(client: EnapterClient, name: str) -> Device:
    try:
        return await client.devices.get(name, expand={"manifest"})
    except NotFoundError:
        pass
    # The Cloud does not find a device by slug alone, and no server finds one by name.
    matching = [
        one.id async for one in client.devices.list() if name == one.slug or name.casefold() == one.name.casefold()
    ]
    if not matching:
        raise SelectionError(f"the token cannot see device {name!r}")
    if len(matching) > 1:
        raise InvalidArgumentError("devices", f"{len(matching)} devices are called {name!r}: {_shorten(matching)}")
    return await client.devices.get(matching[0], expand={"manifest"})


def _select_required(device: Device, attributes: Attributes) -> SelectedDevice:
    name = device.name or device.id
    if isinstance(attributes, str):
        selected = _select_existing(device, attributes)
        if device.manifest is None:
            raise SelectionError(f"{name} has no manifest: name the attributes")
        if not selected.attributes:
            raise SelectionError(f"{name} has no {_KINDS[attributes]}")
        return selected
    if device.manifest is None:
        return SelectedDevice(device.id, name, dict.fromkeys(attributes))
    declared = device.manifest.telemetry
    for attribute in attributes:
        if attribute not in declared and attribute not in _EVERY_DEVICE_HAS:
            known = f"it has {_shorten(declared)}" if declared else "it has none"
            raise SelectionError(f"{name} has no telemetry attribute {attribute!r}; {known}")
    return SelectedDevice(device.id, name, {attribute: declared.get(attribute) for attribute in attributes})


def _select_existing(device: Device, attributes: Attributes) -> SelectedDevice:
    name = device.name or device.id
    if device.manifest is None:
        return SelectedDevice(device.id, name, {})
    if attributes == "numeric":
        return SelectedDevice(device.id, name, _leave_out_invalid(device, device.manifest.numeric_telemetry()))
    declared = device.manifest.telemetry
    if attributes == "all":
        every = {**declared, **{one: declared.get(one) for one in _EVERY_DEVICE_HAS}}
        return SelectedDevice(device.id, name, _leave_out_invalid(device, every))
    named = {one: declared.get(one) for one in attributes if one in declared or one in _EVERY_DEVICE_HAS}
    return SelectedDevice(device.id, name, named)


def _leave_out_invalid(device: Device, declared: Mapping[str, T]) -> dict[str, T]:
    """Leave out invalid names, so that one odd manifest does not fail the export of all devices."""
    valid = {name: one for name, one in declared.items() if is_sendable(name)}
    for name in declared.keys() - valid.keys():
        _logger.warning("device %s: attribute %s is left out: its name is invalid", device.id, ascii(name))
    return valid


def _shorten(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _MOST_NAMED
    return ", ".join(listed[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
