"""Devices (reference.md, Devices)."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ..errors import conflict
from ..exchange.call import Call
from ..exchange.responses import json_response
from ..operations import SITE, Operations
from ..roles import Role, access_level
from ..times import format_time
from ..world.entities import Device
from .sites import render_site

operations = Operations()

EXPAND = (
    "site",
    "manifest",
    "properties",
    "connectivity",
    "communication",
    "communication_info",
    "raised_alert_names",
)


def render_device(call: Call, device: Device, expand: list[str]) -> dict[str, Any]:
    """Return a device as JSON, as the caller sees it. Fields that are not expanded are absent, not null."""
    role = call.grant.role_on(device.site_id)
    implements = device.blueprint.manifest.get("implements")
    answer: dict[str, Any] = {
        "id": device.id,
        "blueprint_id": device.blueprint.id or None,
        "site_id": device.site_id,
        "name": device.name,
        "slug": device.slug,
        "type": device.type,
        "authorized_role": role.name,
        "updated_at": format_time(device.updated_at),
    }
    if implements:
        answer["implemented_profiles"] = implements
    if "site" in expand and device.site_id in call.world.sites:
        answer["site"] = render_site(call.world.sites[device.site_id], call.grant)
    if "manifest" in expand:
        answer["manifest"] = device.blueprint.manifest
    if "properties" in expand:
        answer["properties"] = readable_properties(device, role)
    if "connectivity" in expand:
        answer["connectivity"] = {} if device.connectivity == "UNKNOWN" else {"status": device.connectivity}
    if "communication" in expand or "communication_info" in expand:
        answer["communication"] = device.communication
    if "raised_alert_names" in expand:
        answer["raised_alert_names"] = device.raised_alert_names
    return answer


def readable_properties(device: Device, role: Role) -> dict[str, Any]:
    """Return the properties that a role may read."""
    declared = device.blueprint.section("properties")
    return {
        name: value
        for name, value in device.properties.items()
        if access_level(declared.get(name, {}).get("access_level"), Role.READONLY) <= role
    }


def page_of_devices(call: Call, devices: list[Device]) -> web.Response:
    """Answer with a page of devices."""
    expand = call.query.choices("expand", EXPAND)
    return json_response(call.query.page("devices", devices, lambda device: render_device(call, device, expand)))


def _one(call: Call, device: Device) -> web.Response:
    return json_response({"device": render_device(call, device, call.query.choices("expand", EXPAND))})


@operations.add("GET", "/v3/devices", "listDevices")
async def list_devices(call: Call) -> web.Response:
    """List all devices, ordered by ID."""
    return page_of_devices(call, call.world.devices.ordered())


@operations.add("GET", f"{SITE}/devices", "listSiteDevices")
async def list_site_devices(call: Call) -> web.Response:
    """List the devices of a site, ordered by ID."""
    return page_of_devices(call, call.world.devices.ordered(call.site().id))


@operations.device("GET", "/{device_id}", "getDevice", scoped_id="getSiteDevice")
async def get_device(call: Call) -> web.Response:
    """Get a device."""
    return _one(call, call.device())


@operations.device("PATCH", "/{device_id}", "updateDevice", scoped_id="updateSiteDevice", role=Role.OWNER)
async def update_device(call: Call) -> web.Response:
    """Change name, slug or both."""
    device, body = call.device(), call.body()
    name, slug = body.optional_text("name"), body.optional_text("slug")
    if slug is not None:
        call.world.check_slug(slug, device.site_id, device.id)
        device.slug = slug
    device.name = name or device.name
    call.world.touch(device)
    return _one(call, device)


@operations.device("DELETE", "/{device_id}", "deleteDevice", scoped_id="deleteSiteDevice", role=Role.OWNER)
async def delete_device(call: Call) -> web.Response:
    """Delete a device on which no other runs."""
    device = call.device()
    if any(other.upstream_id == device.id for other in call.world.devices.values()):
        raise conflict("other devices run on this one; delete them first")
    call.world.devices.remove(device.id)
    return call.done()


@operations.device("GET", "/{device_id}/manifest", "getDeviceManifest")
async def get_manifest(call: Call) -> web.Response:
    """Get the manifest of the device's blueprint."""
    return json_response({"manifest": call.device().blueprint.manifest})


@operations.device("GET", "/{device_id}/connectivity_status", "getConnectivityStatus", mode="gateway")
async def get_connectivity(call: Call) -> web.Response:
    """Get the connectivity status, the legacy way."""
    return json_response({"status": call.device().connectivity})


@operations.device("GET", "/{device_id}/properties", "getDeviceProperties", scoped_id="getSiteDeviceProperties")
async def get_properties(call: Call) -> web.Response:
    """Get the last reported properties."""
    device = call.device()
    return json_response({"properties": readable_properties(device, call.grant.role_on(device.site_id))})
