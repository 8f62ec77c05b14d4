"""Fixtures: a simulator, and a caller for it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from simulator_calls import Caller

from enapter_async.simulator import Simulator


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
