"""The vendor's SDK, unchanged, against the simulator: every method of its HTTP API, in every mode, over http and https.

Run it with a Python that has `enapter` 0.25; the simulator may live in another one:

    python tests/simulator/peer_calls.py [--server-python PYTHON]

It ends with 1 when a call fails, or when a method of the SDK was not called.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import inspect
import io
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile
from typing import Any
from unittest import mock

from enapter.http import api  # type: ignore[import-not-found]

MANIFEST = """\
blueprint_spec: device/3.0
display_name: Flow meter
runtime: {type: lua, options: {dir: src, file: main.lua}}
telemetry:
  flow: {type: float, display_name: Flow, unit: Nl/h}
commands:
  reset: {display_name: Reset, group: control}
"""
T0 = datetime.datetime(2026, 3, 14, 10, tzinfo=datetime.UTC)
SERVICES = ("sites", "devices", "commands", "blueprints", "telemetry", "rule_engine")
LEGACY = """
import asyncio
from enapter_async.simulator import Simulator
async def main():
    async with Simulator(mode="gateway", legacy_rule_engine=True, token="t", created=True, no_content=True) as sim:
        print(f"listening on {sim.url} token=t", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


class Recorder:
    """Calls methods of the SDK and notes which."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.called: set[str] = set()

    async def __call__(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call `service.method`, and collect what a list or a stream gives."""
        self.called.add(name)
        service, method = name.split(".")
        result = getattr(getattr(self.client, service), method)(*args, **kwargs)
        if inspect.isawaitable(result):
            return await result
        async with result as stream:
            return [item async for item in stream]

    async def refused(self, name: str, /, *args: Any, **kwargs: Any) -> None:
        """Call what this kind of server must refuse in the documented form."""
        try:
            await self(name, *args, **kwargs)
        except (api.Error, api.MultiError):
            return
        raise AssertionError(f"{name} was not refused")


async def sites(call: Recorder, mode: str) -> str:
    """Use every method of the sites and give the ID of one."""
    listed = await call("sites.list")
    assert await call("sites.get", listed[0].id) == listed[0]
    place = api.sites.Location(name="Porto", latitude=41.1, longitude=-8.6)
    if mode == "gateway":
        await call.refused("sites.create", name="New", timezone="UTC")
        await call.refused("sites.delete", listed[0].id)
    else:
        made = await call("sites.create", name="New", timezone="UTC", location=place)
        changed = await call("sites.update", made.id, name="Newer")
        assert (changed.name, changed.location) == ("Newer", place)
        await call("sites.delete", made.id)
        await call.refused("sites.get", made.id)
    if mode == "cloud":
        await call.refused("sites.get", None)
    else:
        assert (await call("sites.get", None)).id == listed[0].id
        assert (await call("sites.update", None, timezone="UTC")).timezone == "UTC"
    return str(listed[0].id)


async def devices(call: Recorder, mode: str, site_id: str) -> Any:
    """Use every method of the devices and give an electrolyser."""
    expand = {
        f"expand_{name}": True
        for name in ("manifest", "properties", "connectivity", "communication", "raised_alert_names")
    }
    listed = await call("devices.list", **expand)
    of_site = await call("devices.list", site_id=site_id)
    assert {device.id for device in of_site} <= {device.id for device in listed}
    electrolyser = next(device for device in listed if device.name.startswith("Electrolyser"))
    assert await call("devices.get", electrolyser.id, **expand) == electrolyser
    renamed = await call("devices.update", electrolyser.id, name="Renamed")
    assert (renamed.name, renamed.slug) == ("Renamed", electrolyser.slug)
    standalone = await call("devices.create_standalone", name="Meter", site_id=site_id, slug="meter")
    blueprint = await call("blueprints.upload", archive())
    assigned = await call("devices.assign_blueprint", standalone.id, blueprint.id)
    assert assigned.blueprint_id == blueprint.id
    for protocol in api.devices.MQTTProtocol:
        config = await call("devices.generate_communication_config", standalone.id, protocol)
        assert config.mqtt_protocol is protocol
    if mode == "cloud":
        await call.refused("devices.create_vucm", site_id=site_id)
        ucm = next(device for device in listed if device.type is api.devices.DeviceType.VIRTUAL_UCM)
    else:
        ucm = await call("devices.create_vucm", name="UCM", site_id=site_id)
    lua = await call("devices.create_lua", runtime_id=ucm.id, blueprint_id=blueprint.id, slug="lua")
    await call.refused("devices.delete", ucm.id)
    await call("devices.delete", lua.id)
    await call.refused("devices.get", lua.id)
    return electrolyser


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as files:
        files.writestr("manifest.yml", MANIFEST)
        files.writestr("src/main.lua", "-- code")
    return buffer.getvalue()


async def blueprints(call: Recorder) -> None:
    """Use every method of the blueprints."""
    data = archive()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "b.zip").write_bytes(data)
        (folder / "b").mkdir()
        (folder / "b" / "manifest.yml").write_text(MANIFEST)
        await call("blueprints.validate", data)
        await call("blueprints.validate_file", folder / "b.zip")
        await call("blueprints.validate_directory", folder / "b")
        made = await call("blueprints.upload_file", folder / "b.zip")
        await call("blueprints.upload_directory", folder / "b")
    assert await call("blueprints.get", made.id) == made
    assert await call("blueprints.download", made.id) == data
    compiled = await call("blueprints.download", made.id, view=api.blueprints.BlueprintView.COMPILED)
    assert zipfile.ZipFile(io.BytesIO(compiled)).namelist() == ["manifest.json", "src/main.lua"]
    assert zipfile.ZipFile(io.BytesIO(await call("blueprints.download_device_profiles"))).namelist()
    await call.refused("blueprints.validate", b"no zip")
    await call.refused("blueprints.upload", b"no zip")


async def commands(call: Recorder, device: Any, site_id: str) -> None:
    """Use every method of the commands."""
    state = api.commands.ExecutionState
    done = await call("commands.execute", device.id, "set_rate", {"rate": 80}, expand_log=True)
    assert (done.state, len(done.log)) == (state.SUCCESS, 3)
    failed = await call("commands.execute", device.id, "self_test")
    assert failed.state is state.ERROR
    started = await call("commands.create_execution", device.id, "start")
    assert started.state in {state.NEW, state.IN_PROGRESS}
    while (
        now := await call("commands.get_execution", device.id, started.id, expand_log=True)
    ).state is not state.SUCCESS:
        await asyncio.sleep(0.05)
    assert now.log[0].state is api.commands.ResponseState.SUCCEEDED
    listed = await call("commands.list_executions", device_id=device.id)
    assert [one.id for one in listed] == [done.id, failed.id, started.id]
    order = api.commands.ListExecutionsOrder.CREATED_AT_DESC
    assert await call("commands.list_executions", site_id=device.site_id, order=order) == listed[::-1]
    some = await call(
        "commands.list_executions",
        device_id=device.id,
        site_id=device.site_id,
        state=[state.ERROR, state.TIMEOUT],
        name="self_test",
        created_at_gte=failed.created_at,
        created_at_lt=started.created_at,
    )
    assert some == [failed]
    await call.refused("commands.execute", device.id, "set_rate", {"rate": 1000})


async def telemetry(call: Recorder, device: Any) -> None:
    """Use every method of the telemetry."""
    latest = await call("telemetry.latest", {device.id: ["power", "nothing"]}, relevance_interval=60)
    assert isinstance(latest[device.id]["power"].value, float)
    assert latest[device.id]["nothing"] is None
    kinds = api.telemetry
    selector = kinds.Selector(
        device=device.id,
        attributes=["power", "starts_total", "dryer_on", "status", "alerts"],
        aggregation=kinds.Aggregation.AUTO,
        gap_filling=kinds.GapFilling(method=kinds.GapFillingMethod.LOCF, look_around=datetime.timedelta(minutes=5)),
    )
    query = {"from_": T0, "to": T0 + datetime.timedelta(hours=1), "granularity": 60, "selectors": [selector]}
    table = await call("telemetry.wide_timeseries", **query)
    assert len(table.timestamps) > 50
    types = [column.data_type.value for column in table.columns]
    assert types == ["FLOAT", "INTEGER", "BOOLEAN", "STRING", "STRING_ARRAY"]
    call.called |= {"telemetry.raw_timeseries", "telemetry.long_timeseries"}
    async with call.client.telemetry.raw_timeseries(**query) as stream:
        assert len([row async for row in stream]) == len(table.timestamps)
    async with call.client.telemetry.long_timeseries(**query) as long:
        assert {row.device_id async for row in long} == {device.id}


async def rules(call: Recorder, site_id: str | None) -> None:
    """Use every method of the rule engine."""
    engine = await call("rule_engine.get", site_id)
    assert (await call("rule_engine.suspend", site_id)).id == engine.id
    assert (await call("rule_engine.resume", site_id)) == engine
    version = api.rule_engine.RuntimeVersion
    script = api.rule_engine.RuleScript(code="enapter.log('é')", runtime_version=version.V3)
    made = await call("rule_engine.create_rule", script, slug="mine", site_id=site_id, disable=True)
    assert (made.script, made.disabled) == (script, True)
    assert made in await call("rule_engine.list_rules", site_id)
    assert await call("rule_engine.get_rule", "mine", site_id) == made
    assert not (await call("rule_engine.enable_rule", made.id, site_id)).disabled
    assert (await call("rule_engine.disable_rule", made.id, site_id)).disabled
    timed = api.rule_engine.RuleScript(code="", runtime_version=version.V1, exec_interval="1m")
    assert (await call("rule_engine.update_rule_script", made.id, timed, site_id)).script == timed
    assert (await call("rule_engine.update_rule", made.id, "yours", site_id)).slug == "yours"
    await call.refused("rule_engine.update_rule", made.id, "night-charge", site_id)
    await call("rule_engine.delete_rule", made.id, site_id)
    await call.refused("rule_engine.get_rule", made.id, site_id)


async def check(url: str, token: str, mode: str) -> set[str]:
    """Call everything that a mode has; gives the names of what was called."""
    async with api.Client(api.Config(base_url=url, token=token)) as client:
        call = Recorder(client)
        site_id = await sites(call, mode)
        device = await devices(call, mode, site_id)
        await blueprints(call)
        await commands(call, device, site_id)
        await telemetry(call, device)
        await rules(call, site_id)
        if mode == "cloud":
            await call.refused("rule_engine.get", None)
        else:
            await rules(call, None)
        return call.called


def public_methods() -> set[str]:
    """List every method that the SDK's HTTP API has."""
    return {
        f"{service}.{name}"
        for service in SERVICES
        for name, _ in inspect.getmembers(getattr(api, service).Client, inspect.isfunction)
        if not name.startswith("_")
    }


def main() -> int:
    """Try every mode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server-python", default=sys.executable, help="a Python that has the simulator")
    python = parser.parse_args().server_python
    module = [python, "-m", "enapter_async.simulator", "--port", "0", "--token", "t", "--mode"]
    servers = {mode: (mode, [*module, mode]) for mode in ("any", "cloud", "gateway")}
    servers |= {f"{mode} over https": (mode, [*module, mode, "--tls"]) for mode in ("any", "cloud", "gateway")}
    servers["legacy gateway"] = ("gateway", [python, "-c", LEGACY])
    for name, (mode, command) in servers.items():
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                match = re.fullmatch(r"listening on (\S+) token=(\S+?)(?: ca=(\S+))?\n", process.stdout.readline())
                assert match, "the simulator did not start"
                authority = {"SSL_CERT_FILE": match[3]} if match[3] else {}
                with mock.patch.dict(os.environ, authority):  # read by httpx for each client
                    called = asyncio.run(check(match[1], match[2], mode))
            finally:
                process.terminate()
        missing = public_methods() - called
        assert not missing, f"not called: {sorted(missing)}"
        print(f"{name}: {len(called)} methods")
    return 0


if __name__ == "__main__":
    sys.exit(main())
