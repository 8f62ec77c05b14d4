"""Sites, devices, their alerts, values and logs."""

from __future__ import annotations

from typing import Any

from ..errors import conflict, invalid_parameter, not_found
from ..shapes import as_mapping
from ..world.entities import Device
from .routing import Exchange, Payload, Routes
from .structure import unstructure
from .views import Telemetry, show_device, show_site

routes = Routes()

CONNECTIVITY = ("ONLINE", "OFFLINE", "UNKNOWN")
_SEVERITIES = ("debug", "info", "warning", "error")
_MOST_SAMPLES = 600
_MOST_DEVICES = 1_000


@routes.add("GET", "/sites")
async def list_sites(exchange: Exchange) -> Payload:
    """List the sites."""
    world = exchange.simulator.world
    return {"sites": [unstructure(show_site(world, site)) for site in world.sites.values()]}


@routes.add("POST", "/sites", status=201)
async def add_site(exchange: Exchange) -> Payload:
    """Add a site."""
    world, body = exchange.simulator.world, exchange.body()
    site = world.add_site(body.text("name"), body.optional_text("timezone") or "UTC")
    return {"site": unstructure(show_site(world, site))}


@routes.add("DELETE", "/sites/{site_id}", status=204)
async def remove_site(exchange: Exchange) -> Payload:
    """Remove a site. Its devices then belong to no site."""
    world, site_id = exchange.simulator.world, exchange.path["site_id"]
    if site_id not in world.sites:
        raise not_found("site")
    world.remove_site(site_id)
    return None


@routes.add("GET", "/devices")
async def list_devices(exchange: Exchange) -> Payload:
    """List devices."""
    world = exchange.simulator.world
    search = (exchange.text("search") or "").casefold()
    devices = world.devices.ordered(exchange.text("site_id"))
    if search:
        devices = [device for device in devices if search in f"{device.name}\n{device.slug}\n{device.id}".casefold()]
    offset = int(exchange.number("offset", 0, 1e9))
    limit = int(exchange.number("limit", _MOST_DEVICES, _MOST_DEVICES))
    telemetry, samples = _telemetry(exchange, "none")
    shown = [show_device(world, device, telemetry, samples) for device in devices[offset : offset + limit]]
    return {"devices": unstructure(shown), "total": len(devices)}


@routes.add("POST", "/devices", status=201)
async def add_device(exchange: Exchange) -> Payload:
    """Add a device."""
    world, body = exchange.simulator.world, exchange.body()
    site_id, device_id = body.optional_text("site_id"), body.optional_text("id")
    if site_id is not None and site_id not in world.sites:
        raise body.refuse("site_id", "the site does not exist")
    if device_id is not None and device_id in world.devices:
        raise conflict(f"device {device_id!r} already exists")
    blueprint = body.optional_text("blueprint") or "weather_station"
    try:
        world.require_blueprint(blueprint)
    except KeyError as error:
        raise body.refuse("blueprint", error.args[0]) from None
    device = world.add_device(
        body.optional_text("name") or "Device",
        blueprint=blueprint,
        site=site_id,
        slug=body.optional_text("slug"),
        device_id=device_id,
    )
    return _one(exchange, device)


@routes.add("GET", "/devices/{device_id}")
async def get_device(exchange: Exchange) -> Payload:
    """Return a device with all its values."""
    return _one(exchange, exchange.device())


@routes.add("PATCH", "/devices/{device_id}")
async def update_device(exchange: Exchange) -> Payload:
    """Change name, connectivity or properties."""
    device, body = exchange.device(), exchange.body()
    name, connectivity = body.optional_text("name"), device.connectivity
    if "connectivity" in body:
        connectivity = body.choice("connectivity", CONNECTIVITY)
    properties = body.value("properties")
    if properties is not None and as_mapping(properties) is None:
        raise body.refuse("properties", "expected an object")
    unknown = set(body.fields()) - {"name", "connectivity", "properties"}
    if unknown:
        raise body.refuse(min(unknown), "unknown field; fields: name, connectivity, properties")
    device.name = name or device.name
    device.connectivity = connectivity
    device.properties.update(as_mapping(properties) or {})
    exchange.simulator.world.touch(device)
    return _one(exchange, device)


@routes.add("DELETE", "/devices/{device_id}", status=204)
async def remove_device(exchange: Exchange) -> Payload:
    """Remove a device."""
    exchange.simulator.world.devices.remove(exchange.device().id)
    return None


@routes.add("PUT", "/devices/{device_id}/alerts/{alert}")
async def raise_alert(exchange: Exchange) -> Payload:
    """Raise an alert, declared or not."""
    device = exchange.device()
    exchange.simulator.world.raise_alert(device, exchange.path["alert"])
    return _one(exchange, device)


@routes.add("DELETE", "/devices/{device_id}/alerts/{alert}")
async def clear_alert(exchange: Exchange) -> Payload:
    """End an alert."""
    device = exchange.device()
    exchange.simulator.world.clear_alert(device, exchange.path["alert"])
    return _one(exchange, device)


@routes.add("PUT", "/devices/{device_id}/telemetry/{attribute}")
async def override_telemetry(exchange: Exchange) -> Payload:
    """Set a value that replaces the simulated one."""
    device, body = exchange.device(), exchange.body()
    if set(body.fields()) != {"value"}:
        raise body.refuse("value", "is required, and nothing else")
    device.telemetry = {**device.telemetry, exchange.path["attribute"]: body.value("value")}
    return _one(exchange, device)


@routes.add("DELETE", "/devices/{device_id}/telemetry/{attribute}")
async def restore_telemetry(exchange: Exchange) -> Payload:
    """Return to the simulated value."""
    device = exchange.device()
    device.telemetry = {name: value for name, value in device.telemetry.items() if name != exchange.path["attribute"]}
    return _one(exchange, device)


@routes.add("POST", "/devices/{device_id}/logs", status=201)
async def write_log(exchange: Exchange) -> Payload:
    """Write a record to a device's log."""
    device, body = exchange.device(), exchange.body()
    severity = body.choice("severity", _SEVERITIES, "info")
    record = exchange.simulator.world.log(
        device, body.text("message"), severity, persistent=body.boolean("persistent", True)
    )
    return {"log": unstructure(record)}


def _one(exchange: Exchange, device: Device) -> Payload:
    telemetry, samples = _telemetry(exchange, "all")
    return {"device": unstructure(show_device(exchange.simulator.world, device, telemetry, samples))}


def _telemetry(exchange: Exchange, default: Telemetry) -> tuple[Telemetry, int]:
    wanted: Any = exchange.text("telemetry") or default
    if wanted not in ("none", "headline", "all"):
        raise invalid_parameter("telemetry", "expected one of none, headline, all")
    return wanted, int(exchange.number("samples", 0, _MOST_SAMPLES))
