"""`enapter-async sites`."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import TYPE_CHECKING

import click

from enapter_async import Location, Site, Unset
from enapter_async.cli.output import Shape
from enapter_async.cli.parameters import option
from enapter_async.cli.resources.declaration import Resource, argument, or_unset

if TYPE_CHECKING:
    from enapter_async import EnapterClient

SITE = Shape.of(Site, "id", "name", "timezone", role="authorized_role", version="version")
_LOOK = "sites list"

_sites = Resource("sites", "List and manage sites, the places where devices are installed.")
sites: click.Group = _sites.group

_own = argument("site_id", metavar="[SITE]", required=False)
_location_options = (
    option("--location", "place", metavar="TEXT", help="Name of the location."),
    option("--latitude", type=float, metavar="DEGREES", help="North is positive."),
    option("--longitude", type=float, metavar="DEGREES", help="East is positive."),
)
_change_options = (
    option("--name", metavar="TEXT", help="Display name."),
    option("--timezone", metavar="NAME", help="IANA name, such as Europe/Lisbon."),
    *_location_options,
)


@_sites.lists(
    "list",
    option("--name", metavar="TEXT", help="Only sites whose name contains this text."),
    option("--mine", is_flag=True, help="Only your own sites."),
    shape=SITE,
)
def _list(client: EnapterClient, *, name: str | None, mine: bool, limit: int | None) -> AsyncIterable[Site]:
    """List sites."""
    if not mine:
        return client.sites.list(name=name, max_items=limit)
    if name is not None:
        raise click.UsageError("--name and --mine cannot be used together")
    return client.sites.list_mine(max_items=limit)


@_sites.gives("get", _own, shape=SITE)
async def _get(client: EnapterClient, *, site_id: str | None) -> Site:
    """Show a site. Without an ID, show the Gateway's own."""
    return await (client.sites.get_own() if site_id is None else client.sites.get(site_id))


@_sites.changes(
    "create",
    option("--name", required=True, metavar="TEXT", help="Display name."),
    option("--timezone", required=True, metavar="NAME", help="IANA name, such as Europe/Lisbon."),
    *_location_options,
    shape=SITE,
    look=_LOOK,
)
async def _create(
    client: EnapterClient,
    *,
    name: str,
    timezone: str,
    place: str | None,
    latitude: float | None,
    longitude: float | None,
) -> Site:
    """Create a site."""
    return await client.sites.create(name=name, timezone=timezone, location=_location(place, latitude, longitude))


@_sites.changes("update", _own, *_change_options, shape=SITE, look=_LOOK)
async def _update(
    client: EnapterClient,
    *,
    site_id: str | None,
    name: str | None,
    timezone: str | None,
    place: str | None,
    latitude: float | None,
    longitude: float | None,
) -> Site:
    """Update a site. Without an ID, update the Gateway's own. Fields that you leave out stay unchanged."""
    location = _location(place, latitude, longitude)
    if site_id is None:
        return await client.sites.update_own(name=or_unset(name), timezone=or_unset(timezone), location=location)
    return await client.sites.update(site_id, name=or_unset(name), timezone=or_unset(timezone), location=location)


@_sites.changes(
    "delete",
    argument("site_id", metavar="SITE"),
    question="Delete site {site_id}?",
    done="deleted site {site_id}",
    look=_LOOK,
)
async def _delete(client: EnapterClient, *, site_id: str) -> None:
    """Delete a site."""
    await client.sites.delete(site_id)


def _location(place: str | None, latitude: float | None, longitude: float | None) -> Location | Unset:
    if place is None and latitude is None and longitude is None:
        return or_unset(None)
    if (latitude is None) != (longitude is None):
        raise click.UsageError("--latitude and --longitude must be used together")
    return Location(place or "", latitude=latitude, longitude=longitude)
