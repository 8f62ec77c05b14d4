"""Stores whose work blocks: it is done in a worker thread, one call at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import anyio
import anyio.to_thread

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class Worker:
    """Runs functions in a thread, one at a time and in order; what was begun is completed when cancelled."""

    def __init__(self) -> None:
        self._lock = anyio.Lock()

    async def run(self, function: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
        """Run a function."""
        async with self._lock:
            # A cancelled call waits for its thread: whoever comes next finds the store as that left it.
            return await anyio.to_thread.run_sync(function, *arguments)
