"""`enapter-async configuration`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from enapter_async import JSON
from enapter_async.cli.parameters import option
from enapter_async.cli.resources.declaration import Resource, argument, device_argument, or_unset, site_option
from enapter_async.cli.resources.values import BY_NAME, pairs_argument

if TYPE_CHECKING:
    from enapter_async import EnapterClient

_LOOK = "configuration get {device_id} {group}"

_configuration = Resource("configuration", "Read and change the configuration of a device, in groups of parameters.")
configuration: click.Group = _configuration.group

_group = (device_argument(), argument("group", metavar="GROUP"))


@_configuration.gives(
    "get",
    *_group,
    option("--name", multiple=True, metavar="NAME", help="Show only this parameter; repeatable."),
    site_option,
    shape=BY_NAME,
)
async def _get(
    client: EnapterClient, *, device_id: str, group: str, name: tuple[str, ...], site_id: str | None
) -> dict[str, JSON]:
    """Show the values of a group. `devices manifest` lists the groups."""
    return await client.configuration.get(device_id, group, names=name or None, site_id=site_id)


@_configuration.changes(
    "set",
    *_group,
    pairs_argument("values"),
    option("--reset", multiple=True, metavar="NAME", help="Reset this parameter to its default; repeatable."),
    site_option,
    question="Change the configuration {group!r} of device {device_id}?",
    shape=BY_NAME,
    look=_LOOK,
)
async def _set(
    client: EnapterClient,
    *,
    device_id: str,
    group: str,
    values: dict[str, JSON],
    reset: tuple[str, ...],
    site_id: str | None,
) -> dict[str, JSON]:
    """Change values of a group. Values that you do not name stay unchanged."""
    if not values and not reset:
        raise click.UsageError("give NAME=VALUE or --reset NAME")
    return await client.configuration.update(
        device_id, group, set=or_unset(values or None), reset=or_unset(reset or None), site_id=site_id
    )


@_configuration.changes(
    "reset",
    *_group,
    site_option,
    question="Reset the whole configuration {group!r} of device {device_id}?",
    shape=BY_NAME,
    look=_LOOK,
)
async def _reset(client: EnapterClient, *, device_id: str, group: str, site_id: str | None) -> dict[str, JSON]:
    """Reset every value of a group to its default."""
    return await client.configuration.reset_all(device_id, group, site_id=site_id)
