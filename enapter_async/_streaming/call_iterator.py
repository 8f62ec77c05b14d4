"""An async iterator that gets each item from a function."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class CallIterator(AsyncIterator[T]):
    """Gets each item from a function. The function raises `StopAsyncIteration` at the end.

    Unlike a generator, it keeps no state, so it can be abandoned, or asked again after an error.
    """

    def __init__(self, call: Callable[[], Awaitable[T]]) -> None:
        self._call = call

    async def __anext__(self) -> T:
        return await self._call()
