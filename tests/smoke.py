"""Run by `nox -s distribution` with the wheel alone in an empty environment: it imports, starts, and answers."""

from __future__ import annotations

import asyncio

import enapter_async
from enapter_async import EnapterClient
from enapter_async.simulator import Simulator


async def main() -> None:
    async with (
        Simulator(devices=3) as simulator,
        EnapterClient(base_url=simulator.url, token=simulator.token) as client,
    ):
        devices = await client.devices.list().collect()
        assert len(devices) >= 3, devices
    print(f"enapter-async {enapter_async.__version__}: {len(devices)} devices")


asyncio.run(main())
