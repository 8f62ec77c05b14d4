"""Whatever these tests send and receive is judged by the specification."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from enapter_async import EnapterClient
from enapter_async._protocol.request import Answer, Request
from enapter_async._transport.http import HttpTransport
from enapter_async.simulator import Simulator
from tests.contract.specification import judge


class Exchanges(list[tuple[Request, Answer]]):
    """Everything that was sent and received."""

    @property
    def operations(self) -> set[str]:
        """Names of the operations that were sent."""
        return {request.operation.name for request, _ in self}


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> Exchanges:
    """Judge every exchange, and keep it."""
    kept = Exchanges()
    exchange = HttpTransport.send

    async def judged(self: HttpTransport, request: Request, headers: Mapping[str, str], **options: Any) -> Answer:
        answer = await exchange(self, request, headers, **options)
        kept.append((request, answer))
        judge(request, dict(headers), answer)
        return answer

    monkeypatch.setattr(HttpTransport, "send", judged)
    return kept


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(devices=12) as running:
        yield running


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[EnapterClient]:
    async with EnapterClient(base_url=simulator.url, token=simulator.token) as ours:
        yield ours
