"""`enapter-async properties`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from enapter_async import JSON
from enapter_async.cli.resources.declaration import Resource, device_argument, site_option
from enapter_async.cli.resources.values import BY_NAME

if TYPE_CHECKING:
    from enapter_async import EnapterClient

_properties = Resource("properties", "Show the properties that a device reports.")
properties: click.Group = _properties.group


@_properties.gives("get", device_argument(), site_option, shape=BY_NAME)
async def _get(client: EnapterClient, *, device_id: str, site_id: str | None) -> dict[str, JSON]:
    """Show the last reported properties of a device."""
    return await client.properties.get(device_id, site_id=site_id)
