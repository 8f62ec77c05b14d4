"""Send several requests of one call concurrently. The first failure fails the call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from enapter_async.errors import EnapterError

T = TypeVar("T")
R = TypeVar("R")


async def gather(function: Callable[[T], Awaitable[R]], arguments: Sequence[T]) -> list[R]:
    """Await the function for every argument concurrently; return the results in order.

    Args:
        function: What to call.
        arguments: One call for each.

    Raises:
        EnapterError: The first failure; the other calls are cancelled.
    """
    if len(arguments) == 1:
        return [await function(arguments[0])]
    results: dict[int, R] = {}
    failures: list[EnapterError] = []

    async def one(index: int, argument: T) -> None:
        try:
            results[index] = await function(argument)
        except EnapterError as error:
            failures.append(error)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for index, argument in enumerate(arguments):
            tasks.start_soon(one, index, argument)
    if failures:
        raise failures[0]
    return [results[index] for index in range(len(arguments))]
