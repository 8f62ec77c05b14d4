"""Sites (reference.md, Sites)."""

from __future__ import annotations

import functools
import zoneinfo
from typing import Any

from aiohttp import web

from ..errors import conflict
from ..exchange.body import Body
from ..exchange.call import Call
from ..exchange.responses import json_response
from ..operations import Operations
from ..roles import Grant, Role
from ..world.entities import Site

operations = Operations()


def render_site(site: Site, grant: Grant) -> dict[str, Any]:
    """Return a site as JSON, as the caller sees it."""
    return {
        "id": site.id,
        "name": site.name,
        "timezone": site.timezone,
        "version": "V3",
        "authorized_role": grant.role_on(site.id).name,
        "archived": site.archived,
        "location": site.location,
    }


def _page(call: Call, sites: list[Site]) -> web.Response:
    return json_response(call.query.page("sites", sites, lambda site: render_site(site, call.grant)))


@operations.add("GET", "/v3/sites", "listSites")
async def list_sites(call: Call) -> web.Response:
    """List sites, by a part of the name if given."""
    name = (call.query.text("name") or "").casefold()
    return _page(call, [site for site in call.world.sites.values() if name in site.name.casefold()])


@operations.add("GET", "/v3/users/me/sites", "listMySites", mode="cloud")
async def list_my_sites(call: Call) -> web.Response:
    """List the sites where the caller is owner or installer."""
    sites = call.world.sites.values()
    return _page(call, [site for site in sites if call.grant.role_on(site.id) in (Role.OWNER, Role.INSTALLER)])


@operations.add("POST", "/v3/sites", "createSite", mode="cloud")
async def create_site(call: Call) -> web.Response:
    """Create a site. Its creator becomes INSTALLER of it."""
    body = call.body()
    name, timezone, location = body.text("name"), _timezone(body), _location(body)
    site = call.world.add_site(name, timezone or body.text("timezone"), location)
    call.grant.site_roles[site.id] = max(Role.INSTALLER, call.grant.role)
    return call.created({"site": render_site(site, call.grant)})


@operations.add("GET", "/v3/sites/{site_id}", "getSite")
@operations.add("GET", "/v3/site", "getGatewaySite", mode="gateway")
async def get_site(call: Call) -> web.Response:
    """Get a site."""
    return json_response({"site": render_site(call.site(), call.grant)})


@operations.add("PATCH", "/v3/sites/{site_id}", "updateSite", role=Role.OWNER)
@operations.add("PATCH", "/v3/site", "updateGatewaySite", role=Role.OWNER, mode="gateway")
async def update_site(call: Call) -> web.Response:
    """Change what is given."""
    site, body = call.site(), call.body()
    name, timezone, location = body.optional_text("name"), _timezone(body), _location(body)
    site.name = name or site.name
    site.timezone = timezone or site.timezone
    site.location = location or site.location
    return json_response({"site": render_site(site, call.grant)})


@operations.add("DELETE", "/v3/sites/{site_id}", "deleteSite", role=Role.OWNER, mode="cloud")
async def delete_site(call: Call) -> web.Response:
    """Delete a site that has no devices."""
    site = call.site()
    if call.world.devices.ordered(site.id):
        raise conflict("the site still has devices")
    call.world.remove_site(site.id)
    return call.done()


def _timezone(body: Body) -> str | None:
    name = body.optional_text("timezone")
    if name is not None and name not in (_timezones() or {name}):
        raise body.refuse("timezone", "expected an IANA zone name such as Europe/Lisbon")
    return name


@functools.cache
def _timezones() -> frozenset[str]:
    """List the time zones of this machine. Without a zone database the list is empty, and any name is accepted."""
    return frozenset(zoneinfo.available_timezones())


def _location(body: Body) -> dict[str, Any] | None:
    location = body.object("location")
    if location is None:
        return None
    place: dict[str, Any] = {"name": location.optional_text("name") or ""}
    for name, limit in (("latitude", 90), ("longitude", 180)):
        value = location.value(name)
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise location.refuse(name, "expected a number") from None
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise location.refuse(name, "expected a number")
        if value is not None and not -limit <= value <= limit:
            raise location.refuse(name, f"must be from -{limit} to {limit}")
        place[name] = value
    return place
