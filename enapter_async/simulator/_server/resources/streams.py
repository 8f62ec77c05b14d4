"""WebSocket streams (reference.md, WebSocket endpoints)."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ..errors import Refusal, not_found
from ..exchange.call import Call
from ..exchange.following import records_between, telemetry_frame
from ..exchange.sockets import Frames, wants_socket
from ..operations import SITE, Operations
from ..times import format_time
from ..world.entities import Device, LogRecord
from ..world.journal import rule_records
from .devices import page_of_devices, readable_properties
from .rules import find_engine

operations = Operations()

_PROPERTIES_EVERY = 30


@operations.add("GET", "/v3/devices/", "streamDevices")
async def stream_devices(call: Call) -> web.StreamResponse:
    """Follow all traffic of devices, or list them without an upgrade."""
    return await _stream(call, None)


@operations.add("GET", f"{SITE}/devices/", "streamSiteDevices")
async def stream_site_devices(call: Call) -> web.StreamResponse:
    """Follow all traffic of a site's devices, or list them without an upgrade."""
    return await _stream(call, call.site().id)


async def _stream(call: Call, site_id: str | None) -> web.StreamResponse:
    devices = _chosen(call, site_id)
    if not wants_socket(call.request):
        return page_of_devices(call, devices)
    topics = {f"device/{device.id}": _device_event(call, device) for device in devices}
    return await call.sockets.follow(call, topics, _traffic(call, devices), call.behaviour.stream_interval)


def _chosen(call: Call, site_id: str | None) -> list[Device]:
    """Return the devices of `id.in`, repeated or comma-separated, or all devices if it is missing."""
    if "id.in" not in call.query.values:
        return call.world.devices.ordered(site_id)
    slugs = site_id is not None or call.behaviour.mode != "cloud"
    devices: dict[str, Device] = {}
    for name in call.query.names("id.in"):
        device = call.world.devices.find(name, site_id, slugs=slugs)
        if device is None:
            raise not_found("device")
        devices[device.id] = device
    return list(devices.values())


def _device_event(call: Call, device: Device) -> Any:
    def event(record: LogRecord) -> dict[str, Any]:
        return _stream_log(device, record)

    return event


def _stream_log(device: Device, record: LogRecord) -> dict[str, Any]:
    return {
        "device_id": device.id,
        "received_at": format_time(record.received_at),
        "timestamp": record.timestamp,
        "log": {"severity": record.severity, "message": record.message},
    }


def _traffic(call: Call, devices: list[Device]) -> Frames:
    """Make what devices send by themselves: telemetry and logs, and properties now and then."""
    ticks = 0

    def frames(since: float, until: float) -> list[dict[str, Any]]:
        nonlocal ticks
        found: list[dict[str, Any]] = []
        for device in devices:
            if device.connectivity == "OFFLINE":
                continue
            if ticks % _PROPERTIES_EVERY == 0:
                found.append(_properties(call, device, until))
            telemetry = telemetry_frame(call, device)
            found += [] if telemetry is None else [telemetry]
            found += [_stream_log(device, record) for record in records_between(call, device, since, until)]
        ticks += 1
        return found

    return frames


def _properties(call: Call, device: Device, now: float) -> dict[str, Any]:
    return {
        "device_id": device.id,
        "received_at": format_time(now),
        "timestamp": int(now),
        "properties": readable_properties(device, call.grant.role_on(device.site_id)),
    }


@operations.rule_engine("GET", "/rules/{rule_id}/logs", "followRuleLogs")
async def follow_rule(call: Call) -> web.StreamResponse:
    """Follow a rule's log. It cannot be listed."""
    engine = find_engine(call)
    rule = engine.find(call.path("rule_id"))
    if not wants_socket(call.request):
        raise Refusal(400, "rule logs come over a WebSocket only", code="websocket_required")

    def frames(since: float, until: float) -> list[dict[str, Any]]:
        if rule.disabled or engine.suspended:
            return []
        return rule_records(rule.id, call.world.seed, since, until, call.behaviour.log_interval)

    def event(frame: dict[str, Any]) -> dict[str, Any]:
        return frame

    return await call.sockets.follow(call, {f"rule/{rule.id}": event}, frames, call.behaviour.stream_interval)
