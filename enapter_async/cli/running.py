"""Runs the async part of a command, and lets Ctrl-C stop it cleanly."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar, TypeVarTuple

import anyio

from enapter_async.cli import interruption
from enapter_async.cli.exits import Exit, Failure

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


def run(function: Callable[[*Arguments], Awaitable[T]], *arguments: *Arguments) -> T:
    """Run an async function. Ctrl-C cancels it, and a second Ctrl-C ends the process.

    Args:
        function: Function to run.
        *arguments: Arguments of the function.

    Raises:
        Failure: The function was cancelled. The message is that of the innermost `interruption.saying`.
    """
    return anyio.run(_cancellable, function, arguments)


async def _cancellable(function: Callable[[*Arguments], Awaitable[T]], arguments: tuple[*Arguments]) -> T:
    with anyio.CancelScope() as scope, interruption.listening(make_stop(scope.cancel), signal.SIGINT):
        return await function(*arguments)
    message, code = interruption.ended_by() or ("stopped", Exit.INTERRUPTED)
    raise Failure(message, Exit(code))


@asynccontextmanager
async def alongside(work: Callable[[], Coroutine[Any, Any, object]]) -> AsyncGenerator[None]:
    """Run something during a block. An error of the block is raised unchanged, not in a group."""
    problem: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised below, outside of the group that would wrap it
            problem = error
        tasks.cancel_scope.cancel()
    if problem is not None:
        raise problem


def make_stop(call: Callable[[], object]) -> interruption.Stop:
    """Return a function for a signal handler that calls another one once in the running event loop."""
    loop = asyncio.get_running_loop()
    asked = False

    def stop() -> bool:
        nonlocal asked
        if asked:
            return False
        asked = True
        loop.call_soon_threadsafe(call)
        return True

    return stop
