"""Latest telemetry (reference.md, Telemetry)."""

from __future__ import annotations

import math
import re
from typing import Any

from aiohttp import web

from ..errors import Refusal
from ..exchange.call import Call
from ..exchange.following import follow_telemetry
from ..exchange.responses import json_response
from ..exchange.sockets import wants_socket
from ..operations import Operations
from ..world.entities import Device

operations = Operations()

_DEVICES = re.compile(r"devices\[(.+)\]", re.DOTALL)


def _datapoints(call: Call, device: Device, attributes: list[str], relevance: float) -> dict[str, Any]:
    readable = set(call.world.readable(device, call.grant.role_on(device.site_id)))
    latest = call.world.serve_latest(device, attributes)
    oldest = math.inf if device.connectivity == "OFFLINE" else call.world.now() - relevance
    return {name: _datapoint(device, name, found, oldest, name in readable) for name, found in latest.items()}


def _datapoint(
    device: Device, attribute: str, found: tuple[Any, int] | None, oldest: float, readable: bool
) -> dict[str, Any]:
    if attribute not in device.blueprint.signals and attribute not in device.telemetry:
        return {"warning": "Telemetry attribute is not found."}
    if not readable:
        return {"warning": "Telemetry attribute is not readable with this role."}
    if found is None or found[1] < oldest:
        return {"warning": "Telemetry attribute has no recent value."}
    return {"value": found[0], "timestamp": found[1]}


@operations.add("GET", "/v3/telemetry/latest", "getLatestTelemetry")
async def get_latest(call: Call) -> web.Response:
    """Return the latest values of several devices."""
    relevance = call.query.duration("relevance_interval", 30.0)
    telemetry: dict[str, Any] = {}
    for name in call.query.values:
        match = _DEVICES.fullmatch(name)
        if match is None:
            continue
        attributes = call.query.names(name)
        device = call.world.devices.find(match[1])
        if device is None:
            telemetry[match[1]] = {attribute: {"warning": "Device is not found."} for attribute in attributes}
        else:
            telemetry[match[1]] = _datapoints(call, device, attributes, relevance)
    if not telemetry:
        raise Refusal(
            400,
            "devices[<id>]=<attribute>,... is required",
            code="invalid_query_parameter",
            details={"parameter": "devices"},
        )
    return json_response({"telemetry": telemetry})


@operations.device("GET", "/{device_id}/telemetry", "getDeviceTelemetry", scoped_id="getSiteDeviceTelemetry")
async def get_device_telemetry(call: Call) -> web.StreamResponse:
    """Return the latest values of one device. Without `attribute.in`, return every attribute that the caller may read.

    With an upgrade, follow them.
    """
    device = call.device()
    if wants_socket(call.request):
        return await follow_telemetry(call, device)
    relevance = call.query.duration("relevance_interval", 30.0)
    attributes = call.query.names("attribute.in") or call.world.readable(device, call.grant.role_on(device.site_id))
    return json_response({"telemetry": _datapoints(call, device, attributes, relevance)})
