"""Base for stores with blocking calls, which run in a worker thread one at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import anyio
import anyio.to_thread

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class Worker:
    """Runs functions in a thread, one at a time and in order. A cancelled call still completes."""

    def __init__(self) -> None:
        self._lock = anyio.Lock()

    async def run(self, function: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
        """Run a function in the thread."""
        async with self._lock:
            # A cancelled call waits for its thread, so that the next call finds a consistent store.
            return await anyio.to_thread.run_sync(function, *arguments)
