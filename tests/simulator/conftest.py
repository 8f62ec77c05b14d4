"""Fixtures: a simulator, a caller and a client for it, and a device in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from simulator_calls import Caller, device_of

from enapter_async import EnapterClient
from enapter_async.simulator import Device, Simulator


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(devices=20, command_seconds=0.1) as sim:
        yield sim


@pytest.fixture
def call(sim: Simulator, session: aiohttp.ClientSession) -> Caller:
    return Caller(sim, session)


@pytest.fixture
def device(sim: Simulator) -> Device:
    return device_of(sim, "battery")


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[EnapterClient]:
    async with EnapterClient(base_url=sim.url, token=sim.token) as client:
        yield client
