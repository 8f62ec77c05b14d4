"""Bad input is refused by the name of the argument, and nothing is sent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from enapter_async import EnapterClient
from enapter_async.models.rules import RuleScript
from tests.recorder import Recorder, find_refusal
from tests.service_calls import V3

pytestmark = pytest.mark.anyio

NAIVE = datetime(2026, 3, 14)  # noqa: DTZ001 - what is refused


REFUSED: list[tuple[str, Callable[[Any], Any]]] = [
    ("device_id", lambda c: c.devices.assign_blueprint("", "B")),
    ("blueprint_id", lambda c: c.devices.assign_blueprint("D", "")),
    ("blueprint_id", lambda c: c.devices.assign_blueprint("D", None)),
    ("protocol", lambda c: c.devices.generate_communication_config("D", protocol="HTTP")),
    ("device_id", lambda c: c.devices.run_terminal("..")),
    ("site_id", lambda c: c.devices.run_terminal("D", site_id="")),
    ("device_id", lambda c: c.commands.execute("", "stop")),
    ("name", lambda c: c.commands.execute("D", "")),
    ("name", lambda c: c.commands.execute("D", 5)),
    ("arguments", lambda c: c.commands.execute("D", "set", [1])),
    ("arguments", lambda c: c.commands.execute("D", "set", {"x": float("nan")})),
    ("arguments", lambda c: c.commands.execute("D", "set", {"x": {1, 2}})),
    ("arguments", lambda c: c.commands.start("D", "set", {1: "x"})),
    ("ephemeral", lambda c: c.commands.start("D", "set", ephemeral=None)),
    ("expand", lambda c: c.commands.execute("D", "set", expand="log")),
    ("expand", lambda c: c.commands.run("D", "set", expand={"logs"})),
    ("timeout", lambda c: c.commands.run("D", "set", timeout=0)),
    ("timeout", lambda c: c.commands.run("D", "set", timeout=float("inf"))),
    ("timeout", lambda c: c.commands.execute("D", "set", timeout=-1)),
    ("timeout", lambda c: c.commands.wait("D", "E", timeout="5")),
    ("execution_id", lambda c: c.commands.wait("D", "")),
    ("execution_id", lambda c: c.commands.get_execution("D", ".")),
    ("expand", lambda c: c.commands.get_execution("D", "E", expand={"ephemeral"})),
    ("device_id", lambda c: c.commands.list_executions()),
    ("device_id_in", lambda c: c.commands.list_executions("D", device_id_in=["D"])),
    ("device_id_in", lambda c: c.commands.list_executions(site_id="S", device_id_in=[])),
    ("order", lambda c: c.commands.list_executions("D", order="ASC")),
    ("created_at_gte", lambda c: c.commands.list_executions("D", created_at_gte=NAIVE)),
    ("created_at_lt", lambda c: c.commands.list_executions("D", created_at_lt=1773482400)),
    ("state_in", lambda c: c.commands.list_executions("D", state_in="ERROR")),
    ("state_in", lambda c: c.commands.list_executions("D", state_in=["EROR"])),
    ("name_in", lambda c: c.commands.list_executions("D", name_in=["a,b"])),
    ("expand", lambda c: c.commands.list_executions("D", expand={"everything"})),
    ("expand", lambda c: c.commands.list_executions(site_id="S", expand={"ephemeral"})),
    ("page_size", lambda c: c.commands.list_executions("D", page_size=51)),
    ("device_id", lambda c: c.properties.get(None)),
    ("group", lambda c: c.configuration.get("D", "")),
    ("names", lambda c: c.configuration.get("D", "modbus", names="uri")),
    ("names", lambda c: c.configuration.get("D", "modbus", names=[])),
    ("set", lambda c: c.configuration.update("D", "modbus")),
    ("set", lambda c: c.configuration.update("D", "modbus", set={})),
    ("set", lambda c: c.configuration.update("D", "modbus", set=["uri"])),
    ("set", lambda c: c.configuration.update("D", "modbus", set={"uri": object()})),
    ("reset", lambda c: c.configuration.update("D", "modbus", reset="uri")),
    ("reset", lambda c: c.configuration.update("D", "modbus", reset=5)),
    ("reset", lambda c: c.configuration.update("D", "modbus", set={"uri": 1}, reset=["uri"])),
    ("group", lambda c: c.configuration.reset_all("D", "..")),
    ("received_at_gte", lambda c: c.logs.list("D", received_at_gte=NAIVE)),
    ("received_at_lt", lambda c: c.logs.list("D", received_at_lt=NAIVE)),
    ("severity", lambda c: c.logs.list("D", severity="fatal")),
    ("order", lambda c: c.logs.list("D", order="CREATED_AT_ASC")),
    ("retention", lambda c: c.logs.list("D", retention="FOREVER")),
    *[("device_ids", lambda c, bad=bad: c.streams.devices(bad)) for bad in (None, 5, "D", [], [""], [None], [["D"]])],
    ("policy", lambda c: c.logs.follow("D", policy="block")),
    ("policy", lambda c: c.streams.devices(["D"], policy={})),
    *[("query", lambda c, bad=bad: c.telemetry.query_timeseries(bad)) for bad in (None, "power", {})],
    *[("query", lambda c, bad=bad: c.telemetry.stream_timeseries(bad)) for bad in (None, "power")],
    *[("query", lambda c, bad=bad: c.telemetry.history(bad)) for bad in (None, 5, "power", ["power"], {})],
    ("name", lambda c: c.provisioning.standalone(name="")),
    ("site_id", lambda c: c.provisioning.standalone(name="N", site_id=" ")),
    ("slug", lambda c: c.provisioning.standalone(name="N", slug=None)),
    ("hardware_id", lambda c: c.provisioning.vucm(name="N", hardware_id="")),
    ("runtime_id", lambda c: c.provisioning.lua_device(runtime_id="", blueprint_id="B", name="N")),
    ("protocol", lambda c: c.provisioning.ucm(name="N", hardware_id="A", protocol="TLS")),
    ("source", lambda c: c.blueprints.upload(b"")),
    ("source", lambda c: c.blueprints.upload(None)),
    ("source", lambda c: c.blueprints.upload("/no/such/folder")),
    ("source", lambda c: c.blueprints.validate(Path(__file__))),
    ("source", lambda c: c.blueprints.upload_device_profiles("a\0b")),
    ("blueprint_id", lambda c: c.blueprints.get("")),
    ("tag", lambda c: c.blueprints.get_by_name("flow_meter", tag="..")),
    ("view", lambda c: c.blueprints.download("B", view="BOTH")),
    ("path", lambda c: c.blueprints.download_to("B", 5)),
    ("path", lambda c: c.blueprints.download_to("B", "")),
    ("path", lambda c: c.blueprints.download_to("B", "/")),
    ("path", lambda c: c.blueprints.download_to("B", Path(__file__).parent)),
    ("path", lambda c: c.blueprints.download_to("B", "/no/such/folder/file.zip")),
    ("view", lambda c: c.blueprints.download_to("B", "x.zip", view=None)),
    ("site_id", lambda c: c.rule_engine.suspend("")),
    ("rule_id", lambda c: c.rules.get("")),
    ("slug", lambda c: c.rules.create(slug="", script=V3)),
    ("script", lambda c: c.rules.create(slug="s", script="print(1)")),
    ("disable", lambda c: c.rules.create(slug="s", script=V3, disable=1)),
    ("script", lambda c: c.rules.update_script("R", script=None)),
    ("rule_ids", lambda c: c.rules.enable_many([])),
    ("rule_ids", lambda c: c.rules.disable_many("night-charge")),
    ("rule_ids", lambda c: c.rules.disable_many(["a", ""])),
    ("exec_interval", lambda _: RuleScript(code="", runtime_version="V3", exec_interval=5)),
    ("exec_interval", lambda _: RuleScript(code="", runtime_version="V1")),
    ("exec_interval", lambda _: RuleScript(code="", runtime_version="V1", exec_interval=timedelta(-1))),
    ("code", lambda _: RuleScript(code=b"print(1)")),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("argument", "call"), REFUSED)
async def test_the_argument_is_named(
    argument: str, call: Callable[[Any], Any], client: EnapterClient, recorder: Recorder
) -> None:
    await find_refusal(argument, call, client, recorder)
