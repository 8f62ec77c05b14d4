"""Provisioning, blueprints of devices, and communication configs (reference.md, Provisioning flows)."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from ..errors import conflict, not_found, unprocessable
from ..exchange.body import Body
from ..exchange.call import Call
from ..exchange.responses import json_response
from ..operations import Operations
from ..roles import Role
from ..world.credentials import communication_config
from ..world.entities import Blueprint, Device, Site
from ..world.plant import hardware_id as make_hardware_id
from ..world.plant import report_properties
from .devices import render_device

operations = Operations()

PROTOCOLS = ("MQTT", "MQTTS")
_HARDWARE_ID = re.compile(r"V?[0-9A-F]{32}", re.ASCII)
_RUNTIMES = ("GATEWAY", "EMBEDDED_UCM", "HARDWARE_UCM", "VIRTUAL_UCM", "LINK_MASTER_UCM", "LINK_SLAVE_UCM")


def _site(call: Call, body: Body) -> Site:
    """Return the site that a body names. A Gateway does not require one (reference.md, section 14)."""
    site_id = body.optional_text("site_id")
    if site_id is None and call.behaviour.mode == "cloud":
        raise body.refuse("site_id", "is required")
    site = call.world.own_site if site_id is None else call.world.sites.get(site_id)
    if site is None:
        raise not_found("site")
    call.require(Role.OWNER, site.id)
    return site


def _slug(call: Call, body: Body, site_id: str | None) -> str | None:
    slug = body.optional_text("slug")
    if slug is not None:
        call.world.check_slug(slug, site_id, "")
    return slug


def _result(call: Call, device: Device, config: dict[str, Any] | None = None) -> web.Response:
    answer: dict[str, Any] = {"device_id": device.id, "slug": device.slug}
    return call.created(answer if config is None else answer | {"config": config})


def _provision_ucm(call: Call, body: Body, blueprint: str, device_type: str, communication: str) -> Device:
    """Create a UCM, or find the one with the hardware ID to provision it again."""
    name, hardware_id, site = body.text("name"), body.text("hardware_id"), _site(call, body)
    if not _HARDWARE_ID.fullmatch(hardware_id):
        raise body.refuse("hardware_id", "expected 32 upper-case hex digits")
    for device in call.world.devices.values():
        if device.communication.get("hardware_id") == hardware_id:
            if device.type != device_type or device.site_id != site.id:
                raise conflict("the hardware ID belongs to another device")
            device.name = name
            call.world.touch(device)
            return device
    return call.world.add_device(
        name,
        blueprint=blueprint,
        site=site,
        type=device_type,
        communication={
            "type": communication,
            "hardware_id": hardware_id,
            "channel_id": "ucm",
        },
    )


@operations.add("POST", "/v3/provisioning/ucm", "provisionUcm")
async def provision_ucm(call: Call) -> web.Response:
    """Add a hardware UCM, or make a new config for a known one."""
    body = call.body()
    protocol = body.choice("protocol", PROTOCOLS, "MQTTS")
    device = _provision_ucm(call, body, "hardware_ucm", "HARDWARE_UCM", "MQTT_V1_TLS")
    return _result(call, device, communication_config(device, protocol))


@operations.add("POST", "/v3/provisioning/vucm", "provisionVucm", mode="gateway")
async def provision_vucm(call: Call) -> web.Response:
    """Add a virtual UCM, or find a known one."""
    return _result(call, _provision_ucm(call, call.body(), "virtual_ucm", "VIRTUAL_UCM", "MQTT_V1_LOCALHOST"))


@operations.add("POST", "/v3/provisioning/standalone", "provisionStandalone")
async def provision_standalone(call: Call) -> web.Response:
    """Add a standalone device, which has no blueprint yet."""
    body = call.body()
    name, site = body.text("name"), _site(call, body)
    device = call.world.add_device(
        name,
        blueprint=call.world.blank,
        site=site,
        slug=_slug(call, body, site.id),
        communication={
            "type": "MQTT_V1_TLS",
            "hardware_id": make_hardware_id(call.world.seed, call.world.new_id("hardware")),
            "channel_id": "standalone",
        },
    )
    return _result(call, device)


@operations.add("POST", "/v3/provisioning/lua_device", "provisionLuaDevice")
async def provision_lua_device(call: Call) -> web.Response:
    """Add a Lua device to a UCM and its site."""
    body = call.body()
    name, runtime_id = body.text("name"), body.text("runtime_id")
    blueprint = _blueprint(call, body)
    runtime = call.world.devices.find(runtime_id, slugs=call.behaviour.mode != "cloud")
    if runtime is None:
        raise not_found("runtime")
    call.require(Role.OWNER, runtime.site_id)
    if runtime.type not in _RUNTIMES:
        raise unprocessable("the runtime is not a UCM", code="invalid_runtime", details={"type": runtime.type})
    device = call.world.add_device(
        name,
        blueprint=blueprint,
        site=runtime.site_id,
        slug=_slug(call, body, runtime.site_id),
        type="LUA",
        communication={"type": "UCM_LUA", "upstream_id": runtime.id},
    )
    return _result(call, device)


def _blueprint(call: Call, body: Body) -> Blueprint:
    blueprint = call.world.blueprints.get(body.text("blueprint_id"))
    if blueprint is None:
        raise not_found("blueprint")
    return blueprint


@operations.device("POST", "/{device_id}/assign_blueprint", "assignBlueprint", role=Role.OWNER)
async def assign_blueprint(call: Call) -> web.Response:
    """Assign another blueprint to a device. It reports its properties again and forgets its configuration."""
    device = call.device()
    device.blueprint = _blueprint(call, call.body())
    device.properties = report_properties(device.blueprint, len(call.world.devices))
    device.configuration.clear()
    device.telemetry = {}
    device.raised_alert_names = []
    call.world.touch(device)
    return json_response({"device": render_device(call, device, [])})


@operations.device("POST", "/{device_id}/generate_config", "generateDeviceConfig", role=Role.OWNER)
async def generate_config(call: Call) -> web.Response:
    """Create a communication config."""
    device = call.device()
    protocol = call.body().choice("protocol", PROTOCOLS)
    if not str(device.communication.get("type", "")).startswith("MQTT"):
        raise unprocessable("the device runs on another device and does not have its own config", code="no_mqtt")
    return json_response({"config": communication_config(device, protocol)})
