"""A simulator and a client of it that never tries again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from enapter_async import EnapterClient, RetryPolicy
from enapter_async.simulator import Simulator


@asynccontextmanager
async def plant(devices: int = 4) -> AsyncGenerator[tuple[Simulator, EnapterClient]]:
    async with (
        Simulator(devices=devices) as sim,
        EnapterClient(base_url=sim.url, token=sim.token, retry=RetryPolicy(max_attempts=1)) as client,
    ):
        yield sim, client
