"""Run by `nox -s distribution` with the wheel alone in an empty environment: it imports, starts, and answers."""

from __future__ import annotations

import asyncio
import urllib.request

import enapter_async
from enapter_async import EnapterClient
from enapter_async.simulator import Simulator


def check_page(address: str) -> None:
    """The files of the control page are in the wheel."""
    for name in ("", "app.js", "page.css", "openapi.json"):
        with urllib.request.urlopen(address.partition("#")[0] + name, timeout=10) as response:
            assert len(response.read()) > 500, name


async def main() -> None:
    async with (
        Simulator(devices=3) as simulator,
        EnapterClient(base_url=simulator.url, token=simulator.token) as client,
    ):
        devices = await client.devices.list().collect()
        assert len(devices) >= 3, devices
        assert simulator.control_page is not None
        await asyncio.to_thread(check_page, simulator.control_page)
    print(f"enapter-async {enapter_async.__version__}: {len(devices)} devices")


asyncio.run(main())
