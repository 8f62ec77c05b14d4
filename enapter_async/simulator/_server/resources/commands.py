"""Device commands (reference.md, Device commands and Command execution lifecycle)."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from ..errors import not_found, unprocessable
from ..exchange.body import Body
from ..exchange.call import Call
from ..exchange.responses import json_response
from ..manifests.arguments import check, check_required, masked, with_defaults
from ..operations import SITE, Operations
from ..roles import Role, access_level
from ..world.entities import Device
from ..world.executions import Execution

operations = Operations()

STATES = ("NEW", "IN_PROGRESS", "SUCCESS", "ERROR", "TIMEOUT", "UNSYNC")
_OUTCOMES = STATES[2:]


def _start(call: Call) -> Execution:
    """Check a command and start it."""
    device, body = call.device(Role.READONLY), call.body()
    asked = body.text("name")
    name, declaration = _declared(device, asked)
    call.require(access_level(declaration.get("access_level"), Role.USER), device.site_id)
    arguments = _arguments(body)
    declared: dict[str, dict[str, Any]] = declaration.get("arguments") or {}
    check(declared, arguments, "argument")
    check_required(declared, arguments, "argument")
    arguments = with_defaults(declared, arguments)
    shown = masked(declared, arguments)
    world = call.world
    execution = Execution(
        id=world.new_id("execution"),
        device_id=device.id,
        name=asked,
        manifest_name=name,
        arguments=shown,
        ephemeral=body.boolean("ephemeral", default=False),
        created_at=world.now(),
        duration=call.behaviour.command_seconds,
        payload={"applied": shown} if shown else {},
        read_role=access_level(declaration.get("read_access_level"), Role.READONLY),
        sent_arguments=arguments,
    )
    _decide(execution, device, declaration)
    world.executions.add(execution)
    world.log(device, f"command {name} {shown}" if shown else f"command {name}", persistent=not execution.ephemeral)
    return execution


def _declared(device: Device, asked: str) -> tuple[str, dict[str, Any]]:
    """Find a command by name or alias."""
    commands = device.blueprint.section("commands")
    if asked in commands:
        return asked, commands[asked]
    for name, declaration in commands.items():
        if asked in declaration.get("aliases", ()):
            return name, declaration
    raise unprocessable(
        f"the blueprint has no command {asked[:200]!r}", code="unknown_command", details={"name": asked[:200]}
    )


def _arguments(body: Body) -> dict[str, Any]:
    arguments = body.object("arguments")
    return {} if arguments is None else arguments.fields()


def _decide(execution: Execution, device: Device, declaration: dict[str, Any]) -> None:
    """Decide how it will end: as the manifest's `simulation` defines, or with a timeout if the device is offline."""
    script = Body(declaration).object("simulation")
    if script is not None:
        state = script.value("state")
        execution.outcome = state if state in _OUTCOMES else "SUCCESS"
        payload = script.object("payload")
        execution.payload = {} if payload is None else payload.fields()
    if device.connectivity == "OFFLINE":
        execution.outcome, execution.responds = "TIMEOUT", False


@operations.device("POST", "/{device_id}/execute_command", "executeCommand")
async def execute_command(call: Call) -> web.Response:
    """Run a command and wait for its end."""
    log = "log" in call.query.choices("expand", ("log",))
    execution = _start(call)
    try:
        async with asyncio.timeout(execution.duration):
            await call.stopping.wait()
    except TimeoutError:
        pass
    # Use the end of the execution, not the world's clock, which may be fake.
    return json_response({"execution": execution.render(execution.ends_at, log=log)})


@operations.device("POST", "/{device_id}/command_executions", "createExecution")
async def create_execution(call: Call) -> web.Response:
    """Start a command."""
    return call.created({"execution_id": _start(call).id})


@operations.device("GET", "/{device_id}/command_executions/{execution_id}", "getExecution")
async def get_execution(call: Call) -> web.Response:
    """Get an execution."""
    device, now = call.device(), call.world.now()
    log = "log" in call.query.choices("expand", ("log",))
    execution = call.world.executions.get(call.path("execution_id"), device.id, now)
    if execution is None:
        raise not_found("execution")
    call.require(execution.read_role, device.site_id)
    return json_response({"execution": execution.render(now, log=log)})


@operations.device("GET", "/{device_id}/command_executions", "listExecutions")
async def list_executions(call: Call) -> web.Response:
    """List the executions of a device."""
    expand = call.query.choices("expand", ("ephemeral", "log"))
    return _list(call, [call.device()], expand)


@operations.add("GET", f"{SITE}/commands/executions", "listSiteExecutions")
async def list_site_executions(call: Call) -> web.Response:
    """List the executions of a site's devices."""
    site = call.site()
    devices = call.world.devices.ordered(site.id)
    wanted = call.query.names("device_id.in")
    if "device_id.in" in call.query.values:
        devices = [device for device in devices if device.id in wanted or device.slug in wanted]
    return _list(call, devices, call.query.choices("expand", ("ephemeral", "log")))


def _list(call: Call, devices: list[Device], expand: list[str]) -> web.Response:
    query, now = call.query, call.world.now()
    since, until = query.time("created_at.gte"), query.time("created_at.lt")
    states, names = query.choices("state.in", STATES), query.names("name.in")
    order = query.choice("order", ("CREATED_AT_ASC", "CREATED_AT_DESC"), "CREATED_AT_ASC")
    roles = {device.id: call.grant.role_on(device.site_id) for device in devices}
    chosen = [
        execution
        for execution in call.world.executions.ordered(now)
        if execution.device_id in roles
        and execution.read_role <= roles[execution.device_id]
        and (not execution.ephemeral or "ephemeral" in expand)
        and (since is None or execution.created_at >= since)
        and (until is None or execution.created_at < until)
        and (not states or execution.state(now) in states)
        and (not names or execution.name in names or execution.manifest_name in names)
    ]
    if order == "CREATED_AT_DESC":
        chosen.reverse()
    return json_response(query.page("executions", chosen, lambda one: one.render(now, log="log" in expand)))
