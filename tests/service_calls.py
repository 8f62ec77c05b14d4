"""Every method of every service that sends one request (or one page), with what it has to send.

One table, three uses: what is sent exactly (tests/unit), which operations of the API are reached
(tests/contract), and that nothing is sent twice (tests/faults).
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import io
import json
import pkgutil
import tempfile
import zipfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs

import enapter_async._streaming
import enapter_async.resources
from enapter_async import APIError, EnapterClient, Location
from enapter_async._protocol.request import Operation
from enapter_async.models.commands import ExecutionState
from enapter_async.models.rules import RuleScript
from enapter_async.models.timeseries import Series, TimeseriesQuery

NOON = datetime(2026, 3, 14, 12, 0, 0, 250_000, tzinfo=UTC)
EVENING = datetime(2026, 3, 14, 21, 0, tzinfo=timezone(timedelta(hours=3)))
LUA = 'enapter.log("привет")'
LUA_BASE64 = base64.b64encode(LUA.encode()).decode()
V3 = RuleScript(code=LUA)
V1 = RuleScript(code=LUA, runtime_version="V1", exec_interval=timedelta(seconds=90))


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("manifest.yml", "blueprint_spec: device/3.0")
    return buffer.getvalue()


ZIP = _zip()

SITE = {"site": {"id": "S"}}
DEVICE = {"device": {"id": "D"}}
EXECUTION = {"execution": {"id": "E", "state": "SUCCESS"}}
EXECUTIONS: dict[str, Any] = {"executions": [], "total_count": 0}
VALUES = {"configuration": {"unit_id": 3}}
LOGS: dict[str, Any] = {"logs": []}
PROVISIONED = {"device_id": "D"}
BLUEPRINT = {"blueprint": {"id": "B"}}
ENGINE = {"engine": {"id": "RE", "state": "ACTIVE"}}
RULE = {"rule": {"id": "R", "slug": "night-charge"}}
CONFIG = {"config": {"mqtt_host": "mqtt.example.net"}}
TERMINAL = {"channel_id": "ch", "token": "secret", "websocket_url": "wss://example.net/t"}


@attrs.frozen
class Call:
    """A call of a public method, and the request that has to come of it.

    Attributes:
        operation: Name of the operation.
        target: Method, path and query, as they are sent.
        invoke: Makes the call.
        body: What is sent: JSON, bytes, or nothing.
        answer: What the server answers: JSON, or bytes.
    """

    operation: str
    target: str
    invoke: Callable[[EnapterClient], Awaitable[object]]
    body: Any = None
    answer: Any = attrs.field(factory=dict)

    def __str__(self) -> str:
        return f"{self.operation} {self.target}"

    @property
    def method(self) -> str:
        return self.target.split(" ", 1)[0]

    @property
    def path(self) -> str:
        return self.target.split(" ", 1)[1].split("?", 1)[0]

    @property
    def answer_bytes(self) -> bytes:
        return self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()


def operations() -> dict[str, Operation]:
    """Return every operation that a module of the resources or streams declares, by name."""
    found: dict[str, Operation] = {}
    rooms = (enapter_async.resources, enapter_async._streaming)
    names = [f"{room.__name__}.{module.name}" for room in rooms for module in pkgutil.iter_modules(room.__path__)]
    for name in names:
        for value in vars(importlib.import_module(name)).values():
            if isinstance(value, Operation):
                assert found.setdefault(value.name, value) is value, f"two operations are called {value.name}"
    return found


SITES = [
    Call("sites.list", "GET v3/sites?limit=50", lambda c: c.sites.list().collect(), answer={"sites": []}),
    Call(
        "sites.list",
        "GET v3/sites?name=a%26b&limit=5&offset=10",
        lambda c: c.sites.list(name="a&b", page_size=5, offset=10).collect(),
        answer={"sites": []},
    ),
    Call(
        "sites.list_mine",
        "GET v3/users/me/sites?limit=50",
        lambda c: c.sites.list_mine().collect(),
        answer={"sites": []},
    ),
    Call("sites.get", "GET v3/sites/S", lambda c: c.sites.get("S"), answer=SITE),
    Call("sites.get_own", "GET v3/site", lambda c: c.sites.get_own(), answer=SITE),
    Call(
        "sites.create",
        "POST v3/sites",
        lambda c: c.sites.create(name="Porto", timezone="Europe/Lisbon", location=Location("Pier", latitude=41.1)),
        {"name": "Porto", "timezone": "Europe/Lisbon", "location": {"name": "Pier", "latitude": 41.1}},
        SITE,
    ),
    Call("sites.update", "PATCH v3/sites/S", lambda c: c.sites.update("S", name="P"), {"name": "P"}, SITE),
    Call("sites.update_own", "PATCH v3/site", lambda c: c.sites.update_own(name="P"), {"name": "P"}, SITE),
    Call("sites.delete", "DELETE v3/sites/S", lambda c: c.sites.delete("S")),
]

DEVICES = [
    Call("devices.list", "GET v3/devices?limit=50", lambda c: c.devices.list().collect(), answer={"devices": []}),
    Call(
        "devices.list",
        "GET v3/sites/S/devices?expand=connectivity,site&limit=50",
        lambda c: c.devices.list(site_id="S", expand={"site", "connectivity"}).collect(),
        answer={"devices": []},
    ),
    Call("devices.get", "GET v3/devices/D", lambda c: c.devices.get("D"), answer=DEVICE),
    Call("devices.get", "GET v3/sites/S/devices/D", lambda c: c.devices.get("D", site_id="S"), answer=DEVICE),
    Call("devices.update", "PATCH v3/devices/D", lambda c: c.devices.update("D", slug="s"), {"slug": "s"}, DEVICE),
    Call(
        "devices.update",
        "PATCH v3/sites/S/devices/D",
        lambda c: c.devices.update("D", name="N", slug="s", site_id="S"),
        {"name": "N", "slug": "s"},
        DEVICE,
    ),
    Call("devices.delete", "DELETE v3/devices/D", lambda c: c.devices.delete("D")),
    Call("devices.delete", "DELETE v3/sites/S/devices/D", lambda c: c.devices.delete("D", site_id="S")),
    Call(
        "devices.get_manifest",
        "GET v3/devices/D/manifest",
        lambda c: c.devices.get_manifest("D"),
        answer={"manifest": {}},
    ),
    Call(
        "devices.get_manifest",
        "GET v3/sites/S/devices/D/manifest",
        lambda c: c.devices.get_manifest("D", site_id="S"),
        answer={"manifest": {}},
    ),
    Call(
        "devices.assign_blueprint",
        "POST v3/devices/D/assign_blueprint",
        lambda c: c.devices.assign_blueprint("D", "B"),
        {"blueprint_id": "B"},
        DEVICE,
    ),
    Call(
        "devices.assign_blueprint",
        "POST v3/sites/S/devices/D/assign_blueprint",
        lambda c: c.devices.assign_blueprint("D", "B", site_id="S"),
        {"blueprint_id": "B"},
        DEVICE,
    ),
    Call(
        "devices.generate_communication_config",
        "POST v3/devices/D/generate_config",
        lambda c: c.devices.generate_communication_config("D", protocol="MQTTS"),
        {"protocol": "MQTTS"},
        CONFIG,
    ),
    Call(
        "devices.generate_communication_config",
        "POST v3/sites/S/devices/D/generate_config",
        lambda c: c.devices.generate_communication_config("D", protocol="MQTT", site_id="S"),
        {"protocol": "MQTT"},
        CONFIG,
    ),
    Call(
        "devices.run_terminal", "POST v3/devices/D/run_terminal", lambda c: c.devices.run_terminal("D"), answer=TERMINAL
    ),
    Call(
        "devices.run_terminal",
        "POST v3/sites/S/devices/D/run_terminal",
        lambda c: c.devices.run_terminal("D", site_id="S"),
        answer=TERMINAL,
    ),
]

COMMANDS = [
    Call(
        "commands.execute",
        "POST v3/devices/D/execute_command",
        lambda c: c.commands.execute("D", "stop"),
        {"name": "stop"},
        EXECUTION,
    ),
    Call(
        "commands.execute",
        "POST v3/sites/S/devices/D/execute_command?expand=log",
        lambda c: c.commands.execute("D", "set", {"kw": 1.5}, ephemeral=True, expand={"log"}, site_id="S"),
        {"name": "set", "arguments": {"kw": 1.5}, "ephemeral": True},
        EXECUTION,
    ),
    Call(
        "commands.start",
        "POST v3/devices/D/command_executions",
        lambda c: c.commands.start("D", "stop", {}, ephemeral=False),
        {"name": "stop", "arguments": {}, "ephemeral": False},
        {"execution_id": "E"},
    ),
    Call(
        "commands.start",
        "POST v3/sites/S/devices/D/command_executions",
        lambda c: c.commands.start("D", "stop", site_id="S"),
        {"name": "stop"},
        {"execution": {"id": "E", "state": "NEW"}},
    ),
    Call(
        "commands.get_execution",
        "GET v3/devices/D/command_executions/E",
        lambda c: c.commands.get_execution("D", "E"),
        answer=EXECUTION,
    ),
    Call(
        "commands.get_execution",
        "GET v3/sites/S/devices/D/command_executions/E?expand=log",
        lambda c: c.commands.wait("D", "E", expand={"log"}, site_id="S"),
        answer=EXECUTION,
    ),
    Call(
        "commands.list_executions",
        "GET v3/devices/D/command_executions?limit=50",
        lambda c: c.commands.list_executions("D").collect(),
        answer=EXECUTIONS,
    ),
    Call(
        "commands.list_executions",
        "GET v3/sites/S/devices/D/command_executions?expand=ephemeral,log&limit=7",
        lambda c: c.commands.list_executions("D", site_id="S", expand={"log", "ephemeral"}, page_size=7).collect(),
        answer=EXECUTIONS,
    ),
    Call(
        "commands.list_executions",
        "GET v3/sites/S/commands/executions?device_id.in=A,B&order=CREATED_AT_DESC"
        "&created_at.gte=2026-03-14T12:00:00.250000Z&created_at.lt=2026-03-14T18:00:00Z"
        "&state.in=ERROR,IN_PROGRESS,NEWER&name.in=start,stop&limit=50",
        lambda c: c.commands.list_executions(
            site_id="S",
            device_id_in=["A", "B"],
            order="CREATED_AT_DESC",
            created_at_gte=NOON,
            created_at_lt=EVENING,
            state_in=[ExecutionState.ERROR, "IN_PROGRESS", ExecutionState("NEWER")],
            name_in=["start", "stop"],
        ).collect(),
        answer=EXECUTIONS,
    ),
]

PROPERTIES_AND_CONFIGURATION = [
    Call("properties.get", "GET v3/devices/D/properties", lambda c: c.properties.get("D"), answer={"properties": {}}),
    Call(
        "properties.get",
        "GET v3/sites/S/devices/D/properties",
        lambda c: c.properties.get("D", site_id="S"),
        answer={"properties": {"a": None}},
    ),
    Call(
        "configuration.get",
        "GET v3/devices/D/configuration/modbus",
        lambda c: c.configuration.get("D", "modbus"),
        answer=VALUES,
    ),
    Call(
        "configuration.get",
        "GET v3/sites/S/devices/D/configuration/modbus?param_names=uri,unit_id",
        lambda c: c.configuration.get("D", "modbus", names=["uri", "unit_id"], site_id="S"),
        answer=VALUES,
    ),
    Call(
        "configuration.update",
        "PATCH v3/devices/D/configuration/modbus",
        lambda c: c.configuration.update("D", "modbus", set={"uri": None, "list": [1]}, reset=["unit_id"]),
        {"set": {"uri": None, "list": [1]}, "reset": ["unit_id"]},
        VALUES,
    ),
    Call(
        "configuration.update",
        "PATCH v3/sites/S/devices/D/configuration/modbus",
        lambda c: c.configuration.update("D", "modbus", reset={"unit_id"}, site_id="S"),
        {"reset": ["unit_id"]},
        VALUES,
    ),
    Call(
        "configuration.reset_all",
        "POST v3/devices/D/configuration/modbus/reset_all",
        lambda c: c.configuration.reset_all("D", "modbus"),
        answer=VALUES,
    ),
    Call(
        "configuration.reset_all",
        "POST v3/sites/S/devices/D/configuration/modbus/reset_all",
        lambda c: c.configuration.reset_all("D", "modbus", site_id="S"),
        answer=VALUES,
    ),
]

LOGS_AND_TELEMETRY = [
    Call("logs.list", "GET v3/devices/D/logs?limit=50", lambda c: c.logs.list("D").collect(), answer=LOGS),
    Call(
        "logs.list",
        "GET v3/sites/S/devices/D/logs?received_at.gte=2026-03-14T12:00:00.250000Z"
        "&received_at.lt=2026-03-14T18:00:00Z&severity=warning&order=RECEIVED_AT_DESC&retention=PERSISTENT&limit=50",
        lambda c: c.logs.list(
            "D",
            site_id="S",
            received_at_gte=NOON,
            received_at_lt=EVENING,
            severity="warning",
            order="RECEIVED_AT_DESC",
            retention="PERSISTENT",
        ).collect(),
        answer=LOGS,
    ),
    Call(
        "telemetry.latest",
        "GET v3/telemetry/latest?devices%5BD%5D=a,b&relevance_interval=1m",
        lambda c: c.telemetry.latest({"D": ["a", "b"]}, relevance_interval=60),
        answer={"telemetry": {}},
    ),
    Call(
        "telemetry.latest_for_device",
        "GET v3/devices/D/telemetry?attribute.in=a,b",
        lambda c: c.telemetry.latest_for_device("D", attributes=["a", "b"]),
        answer={"telemetry": {}},
    ),
    Call(
        "telemetry.latest_for_device",
        "GET v3/sites/S/devices/D/telemetry",
        lambda c: c.telemetry.latest_for_device("D", site_id="S"),
        answer={"telemetry": {}},
    ),
    Call(
        "telemetry.query_timeseries",
        "POST v3/telemetry/query_timeseries",
        lambda c: c.telemetry.query_timeseries(
            TimeseriesQuery(start=NOON, end=EVENING, granularity=60, series=[Series("D", ["a"])])
        ),
        ...,
        b"",
    ),
]

PROVISIONING = [
    Call(
        "provisioning.standalone",
        "POST v3/provisioning/standalone",
        lambda c: c.provisioning.standalone(name="N"),
        {"name": "N"},
        PROVISIONED,
    ),
    Call(
        "provisioning.standalone",
        "POST v3/provisioning/standalone",
        lambda c: c.provisioning.standalone(name="N", site_id="S", slug="n"),
        {"name": "N", "site_id": "S", "slug": "n"},
        PROVISIONED,
    ),
    Call(
        "provisioning.vucm",
        "POST v3/provisioning/vucm",
        lambda c: c.provisioning.vucm(name="N", hardware_id="V1"),
        {"name": "N", "hardware_id": "V1"},
        PROVISIONED,
    ),
    Call(
        "provisioning.lua_device",
        "POST v3/provisioning/lua_device",
        lambda c: c.provisioning.lua_device(runtime_id="U", blueprint_id="B", name="N"),
        {"runtime_id": "U", "blueprint_id": "B", "name": "N"},
        PROVISIONED,
    ),
    Call(
        "provisioning.ucm",
        "POST v3/provisioning/ucm",
        lambda c: c.provisioning.ucm(name="N", hardware_id="A1", site_id="S", protocol="MQTTS"),
        {"name": "N", "hardware_id": "A1", "site_id": "S", "protocol": "MQTTS"},
        PROVISIONED,
    ),
]

BLUEPRINTS = [
    Call("blueprints.validate", "POST v3/blueprints/validate", lambda c: c.blueprints.validate(ZIP), ZIP, answer={}),
    Call("blueprints.upload", "POST v3/blueprints/upload", lambda c: c.blueprints.upload(ZIP), ZIP, BLUEPRINT),
    Call("blueprints.get", "GET v3/blueprints/B", lambda c: c.blueprints.get("B"), answer=BLUEPRINT),
    Call(
        "blueprints.get_by_name",
        "GET v3/blueprints/enapter/flow_meter/latest",
        lambda c: c.blueprints.get_by_name("flow_meter"),
        answer=BLUEPRINT,
    ),
    Call(
        "blueprints.get_by_name",
        "GET v3/blueprints/acme/flow_meter/1.4",
        lambda c: c.blueprints.get_by_name("flow_meter", namespace="acme", tag="1.4"),
        answer=BLUEPRINT,
    ),
    Call(
        "blueprints.download",
        "GET v3/blueprints/B/zip?view=ORIGINAL",
        lambda c: c.blueprints.download("B"),
        answer=ZIP,
    ),
    Call(
        "blueprints.download",
        "GET v3/blueprints/B/zip?view=COMPILED",
        lambda c: c.blueprints.download("B", view="COMPILED"),
        answer=ZIP,
    ),
    Call(
        "blueprints.download_device_profiles",
        "GET v3/blueprints/device_profiles/download",
        lambda c: c.blueprints.download_device_profiles(),
        answer=ZIP,
    ),
    Call(
        "blueprints.upload_device_profiles",
        "POST v3/blueprints/upload_device_profiles",
        lambda c: c.blueprints.upload_device_profiles(ZIP),
        ZIP,
    ),
]

RULE_ENGINE = [
    call
    for site_id, base in ((None, "v3/site/rule_engine"), ("S", "v3/sites/S/rule_engine"))
    for call in (
        Call("rule_engine.get", f"GET {base}", lambda c, s=site_id: c.rule_engine.get(s), answer=ENGINE),
        Call(
            "rule_engine.suspend", f"POST {base}/suspend", lambda c, s=site_id: c.rule_engine.suspend(s), answer=ENGINE
        ),
        Call("rule_engine.resume", f"POST {base}/resume", lambda c, s=site_id: c.rule_engine.resume(s), answer=ENGINE),
        Call("rules.list", f"GET {base}/rules", lambda c, s=site_id: c.rules.list(s).collect(), answer={"rules": []}),
        Call("rules.get", f"GET {base}/rules/R", lambda c, s=site_id: c.rules.get("R", s), answer=RULE),
        Call(
            "rules.create",
            f"POST {base}/rules",
            lambda c, s=site_id: c.rules.create(slug="night-charge", script=V3, disable=True, site_id=s),
            {
                "slug": "night-charge",
                "script": {"code": LUA_BASE64, "runtime_version": "V3"},
                "disable": True,
            },
            RULE,
        ),
        Call(
            "rules.update",
            f"PATCH {base}/rules/R",
            lambda c, s=site_id: c.rules.update("R", slug="v2", site_id=s),
            {"slug": "v2"},
            RULE,
        ),
        Call(
            "rules.update_script",
            f"POST {base}/rules/R/update_script",
            lambda c, s=site_id: c.rules.update_script("R", script=V1, site_id=s),
            {"script": {"code": LUA_BASE64, "runtime_version": "V1", "exec_interval": "1m30s"}},
            RULE,
        ),
        Call(
            "rules.enable",
            f"POST {base}/rules/R/enable",
            lambda c, s=site_id: c.rules.enable("R", site_id=s),
            answer=RULE,
        ),
        Call(
            "rules.disable",
            f"POST {base}/rules/R/disable",
            lambda c, s=site_id: c.rules.disable("R", site_id=s),
            answer=RULE,
        ),
        Call(
            "rules.enable_many",
            f"POST {base}/rules/batch_enable",
            lambda c, s=site_id: c.rules.enable_many(["R", "night-charge"], site_id=s),
            {"rule_ids": ["R", "night-charge"]},
        ),
        Call(
            "rules.disable_many",
            f"POST {base}/rules/batch_disable",
            lambda c, s=site_id: c.rules.disable_many(iter(["R"]), site_id=s),
            {"rule_ids": ["R"]},
        ),
        Call("rules.delete", f"DELETE {base}/rules/R", lambda c, s=site_id: c.rules.delete("R", site_id=s)),
    )
]

CALLS = [
    *SITES,
    *DEVICES,
    *COMMANDS,
    *PROPERTIES_AND_CONFIGURATION,
    *LOGS_AND_TELEMETRY,
    *PROVISIONING,
    *BLUEPRINTS,
    *RULE_ENGINE,
]
"""Plain exchanges."""


async def opened(stream: Any) -> None:
    """Open a stream; the refusal of a server that has none is what is waited for."""
    with contextlib.suppress(APIError):
        async with stream:
            pass


async def downloaded(client: EnapterClient) -> None:
    """Download to a file that nobody keeps."""
    with tempfile.TemporaryDirectory() as folder:
        await client.blueprints.download_to("B", Path(folder, "blueprint.zip"))


STREAMS = [
    Call("blueprints.download_to", "GET v3/blueprints/B/zip?view=ORIGINAL", downloaded, answer=ZIP),
    Call("logs.follow", "GET v3/devices/D/logs", lambda c: opened(c.logs.follow("D"))),
    Call(
        "logs.follow",
        "GET v3/sites/S/devices/D/logs?severity=error&retention=PERSISTENT",
        lambda c: opened(c.logs.follow("D", site_id="S", severity="error", retention="PERSISTENT")),
    ),
    Call("telemetry.follow", "GET v3/devices/D/telemetry", lambda c: opened(c.telemetry.follow("D"))),
    Call("streams.devices", "GET v3/devices/?id.in=D", lambda c: opened(c.streams.devices(["D"]))),
    Call("streams.devices", "GET v3/sites/S/devices/?id.in=D", lambda c: opened(c.streams.devices(["D"], site_id="S"))),
    Call("rules.follow_log", "GET v3/site/rule_engine/rules/R/logs", lambda c: opened(c.rules.follow_log("R"))),
    Call(
        "rules.follow_log",
        "GET v3/sites/S/rule_engine/rules/R/logs",
        lambda c: opened(c.rules.follow_log("R", site_id="S")),
    ),
]
"""What is read while it comes."""
