"""Running a simulator until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

from .operations import Mode
from .simulator import Simulator


def run(
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    devices: int = 20,
    mode: Mode = "any",
    seed: int = 1,
    token: str | None = None,
    rate_limit: float | None = None,
    latency_ms: float = 0.0,
    fault_rate: float = 0.0,
) -> None:
    """Run a simulator until SIGINT or SIGTERM; prints one line with address and token when it is ready.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 picks a free one.
        devices: How many devices to build.
        mode: any, cloud or gateway.
        seed: The same seed gives the same world.
        token: The API token; by default made from the seed.
        rate_limit: Requests per second; None is no limit.
        latency_ms: Milliseconds before every answer.
        fault_rate: Share of requests that fail, from 0 to 1.

    Raises:
        OSError: The address is taken.
        ValueError: An argument makes no sense.
    """
    simulator = Simulator(
        host=host,
        port=port,
        devices=devices,
        mode=mode,
        seed=seed,
        token=token,
        rate_limit=rate_limit,
        latency=latency_ms / 1000,
        fault_rate=fault_rate,
        record_limit=1_000,
    )
    asyncio.run(_run(simulator))


async def _run(simulator: Simulator) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C arrives as KeyboardInterrupt
            loop.add_signal_handler(number, stop.set)
    async with simulator:
        sys.stdout.write(f"listening on {simulator.url} token={simulator.token}\n")
        sys.stdout.flush()
        await stop.wait()
