"""Wait for a condition, for as long as a busy machine may need."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio


async def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Look often until the condition holds.

    Raises:
        TimeoutError: It did not hold in time.
    """
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.02)


def block_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Do the same for tests without an event loop."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)
