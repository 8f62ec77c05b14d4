"""Devices and attributes as users name them, and what the manifests say about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from enapter_async import Device, EnapterClient, NotFoundError, ValueDeclaration
from enapter_async.cli.exits import Exit, Failure

_EVERY_DEVICE_HAS: Final = ("alerts", "alert_details")
_MOST_NAMED: Final = 12


@attrs.frozen
class Selected:
    """A device and some of its telemetry attributes.

    Attributes:
        device: Its ID.
        name: Its name for people.
        attributes: Declarations by name, in the order asked for; None where the manifest has none.
    """

    device: str
    name: str
    attributes: dict[str, ValueDeclaration | None]

    @property
    def units(self) -> dict[str, str | None]:
        """Units by attribute."""
        return {name: None if one is None else one.unit for name, one in self.attributes.items()}


async def select(client: EnapterClient, devices: Sequence[str], attributes: Sequence[str]) -> list[Selected]:
    """Find devices and attributes.

    Args:
        client: For asking.
        devices: IDs, slugs or names; none for all devices.
        attributes: Names; none for all numeric ones. Of all devices, those that have any of them are taken; a
            device that was named must have all of them.

    Raises:
        Failure: There is nothing of that name.
        EnapterError: The API cannot be asked.
    """
    selected: list[Selected] = []
    if devices:
        for name in dict.fromkeys(devices):
            device = await _find(client, name)
            if all(device.id != one.device for one in selected):
                selected.append(_named(device, attributes))
        return selected
    count = 0
    async for device in client.devices.list(expand={"manifest"}):
        count += 1
        one = _any_of(device, attributes)
        if one.attributes:
            selected.append(one)
    if not selected:
        what = f"an attribute {', '.join(attributes)}" if attributes else "numeric telemetry"
        seen = f"{count} device{'' if count == 1 else 's'}, none with {what}" if count else "no device"
        raise Failure(f"nothing to read: the token can see {seen}", Exit.NOT_FOUND)
    return selected


async def _find(client: EnapterClient, name: str) -> Device:
    try:
        return await client.devices.get(name, expand={"manifest"})
    except NotFoundError:
        pass
    # On the Cloud a slug alone does not lead to a device, and a name nowhere does.
    matching = [
        one.id async for one in client.devices.list() if name == one.slug or name.casefold() == one.name.casefold()
    ]
    if not matching:
        raise Failure(f"the token can see no device {name!r}", Exit.NOT_FOUND)
    if len(matching) > 1:
        raise Failure(f"{len(matching)} devices are called {name!r}: {_listed(matching)}", Exit.USAGE)
    return await client.devices.get(matching[0], expand={"manifest"})


def _named(device: Device, attributes: Sequence[str]) -> Selected:
    name = device.name or device.id
    if device.manifest is None:
        if not attributes:
            raise Failure(f"{name} has no manifest: name its attributes", Exit.NOT_FOUND)
        return Selected(device.id, name, dict.fromkeys(attributes))
    numeric = device.manifest.numeric_telemetry()
    if not attributes:
        if not numeric:
            raise Failure(f"{name} has no numeric telemetry", Exit.NOT_FOUND)
        return Selected(device.id, name, dict(numeric))
    declared = device.manifest.telemetry
    for attribute in attributes:
        if attribute not in declared and attribute not in _EVERY_DEVICE_HAS:
            known = f"it has {_listed(declared)}" if declared else "it has none"
            raise Failure(f"{name} has no telemetry attribute {attribute!r}; {known}", Exit.NOT_FOUND)
    return Selected(device.id, name, {attribute: declared.get(attribute) for attribute in attributes})


def _any_of(device: Device, attributes: Sequence[str]) -> Selected:
    name = device.name or device.id
    if device.manifest is None:
        return Selected(device.id, name, {})
    if not attributes:
        return Selected(device.id, name, dict(device.manifest.numeric_telemetry()))
    declared = device.manifest.telemetry
    return Selected(device.id, name, {one: declared[one] for one in attributes if one in declared})


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _MOST_NAMED
    return ", ".join(listed[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
