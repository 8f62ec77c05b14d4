"""Our client against the simulator over real sockets; every exchange is judged by openapi.yaml."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from enapter_async import Device, EnapterClient
from enapter_async.simulator import Simulator
from tests.contract.specification import judge_exchanges


@pytest.fixture(autouse=True)
def judged(monkeypatch: pytest.MonkeyPatch) -> None:
    judge_exchanges(monkeypatch)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(devices=20, command_seconds=0.1) as running:
        yield running


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[EnapterClient]:
    async with EnapterClient(base_url=simulator.url, token=simulator.token) as ours:
        yield ours


@pytest.fixture
async def electrolyser(client: EnapterClient) -> Device:
    return await named(client, "Electrolyser 1")


async def named(client: EnapterClient, name: str) -> Device:
    """Return the first device of a name."""
    return next(device for device in await client.devices.list().collect() if device.name == name)
