"""The examples run against the simulator, each as the program that it is."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from aiohttp import web
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


@asynccontextmanager
async def webhook() -> AsyncIterator[tuple[str, list[dict[str, str]]]]:
    """A local receiver that refuses the first post."""
    received: list[dict[str, str]] = []
    refused = False

    async def receive(request: web.Request) -> web.Response:
        nonlocal refused
        if not refused:
            refused = True
            return web.Response(status=503)
        assert "X-Enapter-Auth-Token" not in request.headers
        received.append(await request.json())
        return web.Response()

    application = web.Application()
    application.router.add_post("/hook", receive)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", received
    finally:
        await runner.cleanup()


async def test_alert_bot_posts_each_change_once(simulator: Simulator) -> None:
    world = simulator.world
    for device in world.devices.values():
        device.raised_alert_names.clear()
    first, second = list(world.devices.values())[:2]
    world.raise_alert(first, "overtemperature")
    async with webhook() as (url, received), anyio.create_task_group() as tasks:
        tasks.start_soon(run_example, simulator, "alert_bot.py", url, "--interval", "0.2", "--for", "2.5")
        with anyio.fail_after(20):
            while not received:
                await anyio.sleep(0.05)
            world.raise_alert(second, "low_voltage")
            while len(received) < 2:
                await anyio.sleep(0.05)
            world.clear_alert(first, "overtemperature")
            while len(received) < 3:
                await anyio.sleep(0.05)
    assert [(one["event"], one["alert"], one["device_id"]) for one in received] == [
        ("raised", "overtemperature", first.id),
        ("raised", "low_voltage", second.id),
        ("cleared", "overtemperature", first.id),
    ]


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
