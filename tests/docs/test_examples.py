"""The examples run against the simulator, each as the program that it is."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from pages import environment

from enapter_async import EnapterClient
from enapter_async.simulator import Simulator

pytestmark = pytest.mark.anyio

EXAMPLES = Path(__file__).parents[2] / "examples"

MANIFEST = """
blueprint_spec: device/3.0
display_name: Test stand meter
runtime:
  type: standalone
telemetry:
  power:
    type: float
    display_name: Power
    unit: kilowatt
"""


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(devices=8) as running:
        yield running


async def run_example(simulator: Simulator, name: str, *arguments: str) -> str:
    with anyio.fail_after(30):
        result = await anyio.run_process(
            [sys.executable, str(EXAMPLES / name), *arguments], env=environment(simulator), check=False
        )
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode()


async def test_provision_standalone_from_blueprint_to_configuration(simulator: Simulator, tmp_path: Path) -> None:
    blueprint = tmp_path / "blueprint"
    blueprint.mkdir()
    (blueprint / "manifest.yml").write_text(MANIFEST)
    target = tmp_path / "meter.json"
    arguments = (str(blueprint), "--name", "Meter", "--to", str(target))
    printed = await run_example(simulator, "provision_standalone.py", *arguments)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    config = json.loads(target.read_text())
    assert config["private_key"].startswith("-----BEGIN")
    assert config["private_key"] not in printed
    async with EnapterClient(base_url=simulator.url, token=simulator.token) as client:
        device = await client.devices.get(printed.split()[1], expand={"manifest"})
    assert device.name == "Meter"
    assert device.manifest is not None
    assert list(device.manifest.telemetry)[:1] == ["power"]


async def test_deploy_rule_creates_then_updates_then_leaves_alone(simulator: Simulator, tmp_path: Path) -> None:
    file = tmp_path / "keep-warm.lua"
    file.write_text("-- first\n")
    assert (await run_example(simulator, "deploy_rule.py", str(file))).startswith("created: keep-warm ")
    assert (await run_example(simulator, "deploy_rule.py", str(file))).startswith("unchanged: keep-warm ")
    file.write_text("-- second\n")
    assert (await run_example(simulator, "deploy_rule.py", str(file))).startswith("updated: keep-warm ")
    async with EnapterClient(base_url=simulator.url, token=simulator.token) as client:
        site = await client.sites.list().first()
        assert site is not None
        rule = await client.rules.get("keep-warm", site.id)
    assert rule.script is not None
    assert rule.script.code == "-- second\n"


async def test_follow_site_logs_prints_what_is_logged() -> None:
    async with Simulator(devices=8, log_interval=0.2) as simulator:
        printed = await run_example(simulator, "follow_site_logs.py", "--for", "2")
    lines = printed.splitlines()
    assert lines[0].startswith("following ")
    assert len(lines) > 1
