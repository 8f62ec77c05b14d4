"""Selection of devices and attributes by name, with their declarations in the manifests."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import attrs

from enapter_async import Device, EnapterClient, NotFoundError, SelectionError, ValueDeclaration
from enapter_async._arguments import is_sendable, require_instance
from enapter_async._selection import (
    Attributes,
    choose_attributes,
    describe_attributes,
    find_named_device,
    has_attribute,
    list_names,
    require_attributes,
    require_names,
)

_logger = logging.getLogger("enapter_async.exporter")


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
        InvalidArgumentError: An argument is invalid, or several devices have the same name.
        EnapterError: A request failed.
    """
    require_instance(client, EnapterClient, "client")
    devices = require_names(devices, "devices")
    attributes = require_attributes(attributes)
    if devices:
        found = [await _find_device(client, name) for name in devices]
        return [_select_required(device, attributes) for device in {one.id: one for one in found}.values()]
    selected: list[SelectedDevice] = []
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
        what = describe_attributes(attributes)
        seen = f"{count} device{'' if count == 1 else 's'}, none with {what}" if count else "no device"
        raise SelectionError(f"nothing to read: the token can see {seen}")
    return selected


async def _find_device(client: EnapterClient, name: str) -> Device:
    try:
        return await client.devices.get(name, expand={"manifest"})
    except NotFoundError:
        pass
    named = find_named_device([device async for device in client.devices.list()], name)
    if named is None:
        raise SelectionError(f"the token cannot see device {name!r}")
    return await client.devices.get(named.id, expand={"manifest"})


def _select_required(device: Device, attributes: Attributes) -> SelectedDevice:
    name = device.name or device.id
    if isinstance(attributes, str):
        if device.manifest is None:
            raise SelectionError(f"{name} has no manifest: name the attributes")
        selected = _select_existing(device, attributes)
        if not selected.attributes:
            raise SelectionError(f"{name} has no {describe_attributes(attributes)}")
        return selected
    if device.manifest is None:
        return SelectedDevice(device.id, name, dict.fromkeys(attributes))
    declared = device.manifest.telemetry
    for attribute in attributes:
        if not has_attribute(device.manifest, attribute):
            known = f"it has {list_names(declared)}" if declared else "it has none"
            raise SelectionError(f"{name} has no telemetry attribute {attribute!r}; {known}")
    return SelectedDevice(device.id, name, {attribute: declared.get(attribute) for attribute in attributes})


def _select_existing(device: Device, attributes: Attributes) -> SelectedDevice:
    # One odd manifest must not fail the export of all devices.
    chosen, invalid = choose_attributes(device.manifest, attributes, is_valid=is_sendable)
    for name in invalid:
        _logger.warning("device %s: attribute %s is left out: its name is invalid", device.id, ascii(name))
    return SelectedDevice(device.id, device.name or device.id, chosen)
