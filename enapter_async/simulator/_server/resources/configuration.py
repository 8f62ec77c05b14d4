"""Device configuration (reference.md, Device configuration)."""

from __future__ import annotations

from typing import Any

import attrs
from aiohttp import web

from ..errors import not_found, unprocessable
from ..exchange.call import Call
from ..exchange.responses import json_response
from ..manifests.arguments import check, check_required, with_defaults
from ..operations import Operations
from ..roles import Role, access_level
from ..world.entities import Device

operations = Operations()

_PATH = "/{device_id}/configuration/{group_name}"


@attrs.frozen
class _Group:
    """A configuration group of a device: what is declared and what was set."""

    device: Device
    name: str
    declared: dict[str, dict[str, Any]]

    @property
    def values(self) -> dict[str, Any]:
        return self.device.configuration.get(self.name, {})

    def store(self, values: dict[str, Any]) -> None:
        check_required(self.declared, with_defaults(self.declared, values), "parameter")
        self.device.configuration[self.name] = values

    def answer(self, names: list[str] | None = None) -> web.Response:
        """Answer with current values. Sensitive ones are hidden. Parameters without value and default are absent."""
        values = with_defaults(self.declared, self.values)
        shown = {
            name: value
            for name, value in values.items()
            if not self.declared[name].get("sensitive") and (names is None or name in names)
        }
        return json_response({"configuration": shown})


def _group(call: Call) -> _Group:
    device, name = call.device(Role.READONLY), call.path("group_name")
    group = device.blueprint.section("configuration").get(name)
    if group is None:
        raise not_found("configuration group")
    call.require(access_level(group.get("access_level"), Role.USER), device.site_id)
    return _Group(device, name, group.get("parameters") or {})


def _check_names(group: _Group, names: list[str]) -> None:
    for name in names:
        if name not in group.declared:
            raise unprocessable(
                f"the group has no parameter {name[:200]!r}",
                code="invalid_parameter",
                details={"parameter": name[:200]},
            )


@operations.device("GET", _PATH, "getDeviceConfiguration")
async def get_configuration(call: Call) -> web.Response:
    """Return the current values of a group, or of the named parameters."""
    group = _group(call)
    names = call.query.names("param_names") if "param_names" in call.query.values else None
    _check_names(group, names or [])
    return group.answer(names)


@operations.device("PATCH", _PATH, "updateDeviceConfiguration")
async def update_configuration(call: Call) -> web.Response:
    """Set some parameters and reset others."""
    group, body = _group(call), call.body()
    new, reset = body.object("set"), body.names("reset")
    values = {} if new is None else new.fields()
    check(group.declared, values, "parameter")
    _check_names(group, reset)
    if both := sorted(set(values) & set(reset)):
        raise unprocessable(f"parameters both set and reset: {', '.join(both)}", code="invalid_parameter")
    kept = {name: value for name, value in group.values.items() if name not in reset}
    group.store({name: value for name, value in (kept | values).items() if value is not None})
    call.world.touch(group.device)
    return group.answer()


@operations.device("POST", _PATH + "/reset_all", "resetDeviceConfiguration")
async def reset_configuration(call: Call) -> web.Response:
    """Forget everything that was set."""
    group = _group(call)
    group.store({})
    call.world.touch(group.device)
    return group.answer()
