"""A client in a hurry, and one call of each safety class."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from enapter_async import EnapterClient, RetryPolicy, Safety, Timeouts
from tests.faults.raw_server import Exchange, RawServer, as_json
from tests.secrecy import TOKEN

SITE = as_json({"site": {"id": "S", "name": "Site"}})
STARTED = as_json({"execution_id": "E"})

Call = Callable[[EnapterClient], Awaitable[object]]


async def read(client: EnapterClient) -> object:
    return await client.sites.get("S")


async def converge(client: EnapterClient) -> object:
    return await client.sites.update("S", name="N")


async def unsafe(client: EnapterClient) -> object:
    return await client.commands.start("D", "stop")


async def delete(client: EnapterClient) -> object:
    await client.sites.delete("S")
    return None


CALLS: dict[Safety, Call] = {Safety.READ: read, Safety.CONVERGE: converge, Safety.UNSAFE: unsafe}
GOOD: dict[Safety, bytes] = {Safety.READ: SITE, Safety.CONVERGE: SITE, Safety.UNSAFE: STARTED}


def impatient(server: RawServer, **options: Any) -> EnapterClient:
    """Return a client that retries at once and gives an attempt a tenth of a second."""
    defaults: dict[str, Any] = {
        "base_url": server.url,
        "token": TOKEN,
        "retry": RetryPolicy(max_attempts=3, initial_delay=0),
        "timeouts": Timeouts(total=5, attempt=0.1, connect=2, command=5),
    }
    return EnapterClient(**(defaults | options))


class Crowd:
    """A behaviour that answers after a moment, and counts the requests that are there at once."""

    def __init__(self) -> None:
        self.most = self._now = 0

    async def __call__(self, exchange: Exchange) -> None:
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(0.002)
        self._now -= 1
        await exchange.answer(SITE)
