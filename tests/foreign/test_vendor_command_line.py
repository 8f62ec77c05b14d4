"""The vendor's own command line, unchanged, against the simulator: every command, in every mode, over http and https.

`nox -s foreign` installs it; it is part of the vendor's SDK.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

pytest.importorskip("enapter", reason="the vendor's SDK is not installed: run `nox -s foreign`")

from enapter.cli import http
from enapter.cli.app import App

from enapter_async.simulator import Simulator

pytestmark = pytest.mark.anyio

MANIFEST = (
    "blueprint_spec: device/3.0\ndisplay_name: Meter\nruntime: {type: lua, options: {dir: src, file: main.lua}}\n"
)
SPAN = ("--time-from", "2026-03-14T10:00:00Z", "--time-to", "2026-03-14T11:00:00Z", "--granularity", "60")


def environment(simulator: Simulator) -> dict[str, str]:
    variables = {"ENAPTER_HTTP_API_BASE_URL": simulator.url, "ENAPTER_HTTP_API_TOKEN": simulator.token}
    if simulator.ca_file is not None:
        variables["SSL_CERT_FILE"] = str(simulator.ca_file)
    return variables


class CommandLine:
    """Runs commands in this process, each as its `main` would, and notes which: starting Python takes a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.called: set[str] = set()

    async def __call__(self, command: str, *arguments: str, refused: bool = False) -> list[Any]:
        """Run a command and give its output: JSON, a value in each line."""
        self.called.add(command)
        self._monkeypatch.setattr(sys, "argv", ["enapter", "http", "api", *command.split(), *arguments])
        with contextlib.redirect_stdout(io.StringIO()) as output, anyio.fail_after(60):
            if refused:
                with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it raises: the process would end with 1
                    await App.new().run()
            else:
                await App.new().run()
        return [json.loads(text) for text in output.getvalue().splitlines() if text.startswith(("{", "["))]

    async def one(self, command: str, *arguments: str) -> Any:
        (value,) = await self(command, *arguments)
        return value


def commands(parser: argparse.ArgumentParser, *names: str) -> Iterator[str]:
    """List every command that a parser has, by the words that are typed."""
    branches = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not branches:
        yield " ".join(names)
    for branch in branches:
        for name, child in branch.choices.items():
            yield from commands(child, *names, name)


def every_command() -> set[str]:
    parser = argparse.ArgumentParser()
    http.Command.register(parser.add_subparsers())
    return {name.removeprefix("http api ") for name in commands(parser)}


@pytest.fixture(params=["any", "cloud", "gateway"])
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=[False, True], ids=["http", "https"])
async def simulator(request: pytest.FixtureRequest, mode: Any) -> AsyncIterator[Simulator]:
    async with Simulator(mode=mode, devices=20, command_seconds=0.1, tls=request.param) as simulator:
        yield simulator


async def test_every_command(mode: Any, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(simulator).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("enapter.log.configure", lambda level: None)
    run = CommandLine(monkeypatch)
    (site, *_) = await run("site list")
    await _sites(run, mode, site["id"])
    device = await _devices(run, mode, site["id"], await _blueprints(run, tmp_path))
    await _executions(run, device)
    await _telemetry(run, device["id"])
    await _rules(run, [] if mode == "gateway" else ["--site-id", site["id"]], tmp_path)
    assert every_command() - run.called == set()


async def _sites(run: CommandLine, mode: str, site_id: str) -> None:
    assert (await run.one("site get", site_id))["id"] == site_id
    if mode == "gateway":
        await run("site create", "New", refused=True)
        await run("site delete", site_id, refused=True)
        assert (await run.one("site update", "--timezone", "UTC"))["timezone"] == "UTC"
    else:
        made = await run.one("site create", "New", "--timezone", "Europe/Lisbon", "--location", "Porto,41.1,-8.6")
        assert (await run.one("site update", made["id"], "--name", "Newer"))["name"] == "Newer"
        await run("site delete", made["id"])
        await run("site get", made["id"], refused=True)


async def _blueprints(run: CommandLine, folder: Path) -> str:
    source = folder / "blueprint"
    (source / "src").mkdir(parents=True)
    (source / "manifest.yml").write_text(MANIFEST)
    (source / "src" / "main.lua").write_text("-- code\n")
    await run("blueprint validate", str(source))
    made = await run.one("blueprint upload", str(source))
    assert (await run.one("blueprint get", made["id"]))["id"] == made["id"]
    await run("blueprint download", made["id"], "--output", str(folder))
    assert (folder / f"{made['id']}.zip").stat().st_size
    await run("blueprint profiles download", "--output", str(folder))
    return str(made["id"])


async def _devices(run: CommandLine, mode: str, site_id: str, blueprint_id: str) -> Any:
    devices = await run("device list", "--manifest", "--properties", "--connectivity", "--communication")
    assert len(devices) == 20
    electrolyser = next(device for device in devices if device["name"].startswith("Electrolyser"))
    assert await run.one("device get", electrolyser["id"], "--manifest", "--raised-alert-names")
    assert (await run.one("device update", electrolyser["id"], "--name", "Mine"))["name"] == "Mine"
    standalone = await run.one("device create-standalone", "--name", "Meter", "--site-id", site_id)
    await run("device assign-blueprint", standalone["id"], "--blueprint-id", blueprint_id)
    for protocol in ("mqtt", "mqtts"):
        await run("device generate-communication-config", standalone["id"], "--protocol", protocol)
    if mode == "cloud":
        await run("device create-vucm", "--name", "UCM", "--site-id", site_id, refused=True)
        ucm = next(device for device in devices if device["type"] == "VIRTUAL_UCM")
    else:
        ucm = await run.one("device create-vucm", "--name", "UCM", "--site-id", site_id)
    lua = await run.one(
        "device create-lua", "--runtime-id", ucm["id"], "--blueprint-id", blueprint_id, "--name", "Lua", "--slug", "lua"
    )
    await run("device delete", lua["id"], standalone["id"])
    await run("device get", lua["id"], refused=True)
    return electrolyser


async def _executions(run: CommandLine, device: Any) -> None:
    at = ("--device-id", device["id"])
    done = await run.one("command execute", *at, "--log", "--arguments", '{"rate": 80}', "set_rate")
    assert done["state"].upper() == "SUCCESS"
    made = await run.one("command create-execution", *at, "start")
    assert (await run.one("command get-execution", *at, "--log", made["id"]))["id"] == made["id"]
    listed = await run("command list-executions", *at)
    assert [execution["id"] for execution in listed] == [done["id"], made["id"]]
    listed = await run("command list-executions", "--site-id", device["site_id"], "--order", "created_at_desc")
    assert [execution["id"] for execution in listed] == [made["id"], done["id"]]
    await run("command execute", *at, "no_such_command", refused=True)


async def _telemetry(run: CommandLine, device_id: str) -> None:
    latest = await run.one("telemetry latest", f"{device_id}:power,nothing")
    assert latest[device_id]["power"]["value"] is not None
    assert latest[device_id]["nothing"] is None
    selector = f"{device_id}:power,status"
    assert len(await run("telemetry timeseries", *SPAN, selector)) > 50
    table = await run.one("telemetry timeseries", *SPAN, "--shape", "wide", selector)
    assert len(table["columns"]) == 2
    # An unknown device is left out beside a known one, and an error by itself.
    table = await run.one("telemetry timeseries", *SPAN, "--shape", "wide", selector, "nothing:power")
    assert len(table["columns"]) == 2
    await run("telemetry timeseries", *SPAN, "nothing:power", refused=True)


async def _rules(run: CommandLine, at: list[str], folder: Path) -> None:
    (folder / "rule.lua").write_text("enapter.log('é')\n", "utf-8")
    script = str(folder / "rule.lua")
    engine = await run.one("rule-engine get", *at)
    await run("rule-engine suspend", *at)
    assert await run.one("rule-engine resume", *at) == engine
    made = await run.one("rule-engine rule create", "--slug", "mine", "--disable", *at, script)
    assert made["disabled"] is True
    assert made in await run("rule-engine rule list", *at)
    assert await run.one("rule-engine rule get", *at, made["id"]) == made
    await run("rule-engine rule enable", *at, made["id"])
    await run("rule-engine rule disable", *at, made["id"])
    await run("rule-engine rule update-script", "--runtime-version", "V1", "--exec-interval", "1m", *at, "mine", script)
    assert (await run.one("rule-engine rule update", "--slug", "yours", *at, made["id"]))["slug"] == "yours"
    await run("rule-engine rule delete", *at, made["id"])
    await run("rule-engine rule get", *at, made["id"], refused=True)


async def test_in_a_process_of_its_own_and_without_the_authority(simulator: Simulator) -> None:
    command = [sys.executable, "-m", "enapter", "http", "api", "site", "list"]
    variables = os.environ | environment(simulator)
    with anyio.fail_after(60):
        done = await anyio.run_process(command, env=variables)
        assert json.loads(done.stdout.splitlines()[0])["id"] in simulator.world.sites
        if simulator.ca_file is not None:
            del variables["SSL_CERT_FILE"]
            answered = len(simulator.requests)
            done = await anyio.run_process(command, env=variables, check=False)
            assert b"CERTIFICATE_VERIFY_FAILED" in done.stderr
            assert len(simulator.requests) == answered
