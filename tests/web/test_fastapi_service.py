"""examples/fastapi_service.py under uvicorn, with a browser's manners: double clicks, lost connections, restarts."""

from __future__ import annotations

import json
import re
import runpy
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import create_autospec

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

from enapter_async import (
    CommandExecution,
    ConnectError,
    EnapterClient,
    EnapterError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitedError,
)
from enapter_async.simulator import Fault, Simulator

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be sent SIGTERM there"),
]

EXAMPLES = Path(__file__).parents[2] / "examples"


class Service:
    def __init__(self, process: Process, client: httpx.AsyncClient) -> None:
        self.process = process
        self.client = client

    async def run_command(self, device: str, name: str, key: str, **arguments: object) -> httpx.Response:
        return await self.client.post(
            f"/devices/{device}/commands/{name}", headers={"Idempotency-Key": key}, json=arguments
        )

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        with anyio.fail_after(10):
            return await self.process.wait()


@asynccontextmanager
async def serve(simulator: Simulator) -> AsyncIterator[Service]:
    environment = {
        "ENAPTER_HTTP_API_TOKEN": simulator.token,
        "ENAPTER_HTTP_API_BASE_URL": simulator.url,
        "PYTHONWARNINGS": "error::ResourceWarning",
        "PYTHONUNBUFFERED": "1",
        "PATH": "",
    }
    command = [sys.executable, "-m", "uvicorn", "fastapi_service:app", "--app-dir", str(EXAMPLES), "--port", "0"]
    async with await anyio.open_process(command, env=environment) as process, anyio.create_task_group() as tasks:
        assert process.stderr is not None
        ready = anyio.Event()
        lines: list[str] = []

        async def read() -> None:
            assert process.stderr is not None
            async for text in TextReceiveStream(process.stderr):
                lines.append(text)
                if "Uvicorn running on" in "".join(lines):
                    ready.set()
            ready.set()

        tasks.start_soon(read)
        with anyio.fail_after(30):
            await ready.wait()
        found = re.search(r"running on (http://[\d.:]+)", "".join(lines))
        assert found, "".join(lines)
        try:
            async with httpx.AsyncClient(base_url=found[1], timeout=20) as client:
                yield Service(process, client)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        tasks.cancel_scope.cancel()
    log = "".join(lines)
    assert "Traceback" not in log, log
    assert "never retrieved" not in log, log


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(devices=5) as running:
        yield running


def command_of(simulator: Simulator) -> tuple[str, str]:
    return next(
        (device.id, name)
        for device in simulator.world.devices.values()
        for name, declared in device.blueprint.section("commands").items()
        if not declared.get("arguments") and "error" not in name
    )


async def test_devices_errors_and_a_double_click(simulator: Simulator) -> None:
    device, command = command_of(simulator)
    async with serve(simulator) as service:
        assert len((await service.client.get("/devices")).json()) == 5
        unknown = await service.client.get("/devices/nobody/live")
        assert unknown.status_code == 404
        assert unknown.headers["content-type"] == "application/problem+json"

        answers: list[httpx.Response] = []

        async def click() -> None:
            answers.append(await service.run_command(device, command, "key-of-a-click"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(click)
            tasks.start_soon(click)
        assert [answer.status_code for answer in answers] == [200, 200]
        assert (
            answers[0].json()
            == answers[1].json()
            == (await service.run_command(device, command, "key-of-a-click")).json()
        )
        assert len(simulator.requests_of("createExecution")) == 1

        other = await service.run_command(device, command, "key-of-a-click", other=1)
        assert other.status_code == 422
        assert (await service.client.post(f"/devices/{device}/commands/{command}")).status_code == 422
        assert len(simulator.requests_of("createExecution")) == 1
        assert await service.stop() in (0, -signal.SIGTERM)


async def test_a_lost_answer_is_told_and_never_repeated(simulator: Simulator) -> None:
    device, command = command_of(simulator)
    simulator.faults.on("createExecution", Fault.reset(), when="after")
    async with serve(simulator) as service:
        for _ in range(2):
            answer = await service.run_command(device, command, "key-of-a-click")
            assert answer.status_code == 504
            assert answer.json()["outcome"] == "unknown"
            assert answer.json()["started_at"]
        assert len(simulator.requests_of("createExecution")) == 1
        await service.stop()


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (RateLimitedError("busy", status=429), 2),
        (ConnectError("refused"), 2),
        (OutcomeUnknownError("no answer", started_at=datetime.now(UTC)), 1),
        (NotFoundError("no such device", status=404), 1),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_only_a_command_that_was_not_carried_out_is_sent_again(error: EnapterError, sent: int) -> None:
    commands = runpy.run_path(str(EXAMPLES / "fastapi_service.py"))["RunningCommands"]()
    client = create_autospec(EnapterClient, instance=True)
    client.commands.run.side_effect = [error, CommandExecution(id="E", state="SUCCESS")]
    with pytest.raises(type(error)):
        await commands.run(client, "key", "D", "start", {})
    if sent == 1:
        with pytest.raises(type(error)):
            await commands.run(client, "key", "D", "start", {})
    else:
        assert (await commands.run(client, "key", "D", "start", {}))["execution_id"] == "E"
    assert client.commands.run.await_count == sent


async def test_a_browser_that_goes_away_does_not_take_its_command_along(simulator: Simulator) -> None:
    device, command = command_of(simulator)
    simulator.faults.on("createExecution", Fault.delay(1))
    async with serve(simulator) as service:
        with anyio.move_on_after(0.5):
            await service.run_command(device, command, "key-of-a-click")
        answer = await service.run_command(device, command, "key-of-a-click")
        assert answer.status_code == 200
        assert len(simulator.requests_of("createExecution")) == 1
        await service.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_live_telemetry_ends_at_shutdown(simulator: Simulator, number: signal.Signals) -> None:
    device = next(iter(simulator.world.devices))
    async with serve(simulator) as service:
        async with service.client.stream("GET", f"/devices/{device}/live") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines: list[str] = []
            async for line in answer.aiter_lines():
                lines.append(line)
                if line == "event: telemetry" and lines.count(line) == 1:
                    service.process.send_signal(number)
        text = "\n".join(lines)
        values = json.loads(re.findall(r"^event: telemetry\ndata: (.*)$", text, re.MULTILINE)[0])["values"]
        assert values
        assert text.endswith("event: end\ndata: {}\n")
        with anyio.fail_after(10):
            assert await service.process.wait() in (0, -number)


async def test_a_browser_that_goes_away_ends_its_stream(simulator: Simulator) -> None:
    device = next(iter(simulator.world.devices))
    async with serve(simulator) as service:
        async with service.client.stream("GET", f"/devices/{device}/live") as answer:
            async for line in answer.aiter_lines():
                if line == "event: telemetry":
                    break
        assert await service.stop() in (0, -signal.SIGTERM)
