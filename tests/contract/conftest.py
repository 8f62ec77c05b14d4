"""Whatever these tests send and receive is judged by the specification."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from enapter_async import EnapterClient
from enapter_async.simulator import Simulator
from tests.contract.specification import Exchanges, judge_exchanges


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> Exchanges:
    """Judge every exchange, and keep it."""
    return judge_exchanges(monkeypatch)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(devices=12) as running:
        yield running


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[EnapterClient]:
    async with EnapterClient(base_url=simulator.url, token=simulator.token) as ours:
        yield ours
