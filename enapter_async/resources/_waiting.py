"""Wait for a command execution to end, across lost connections and without losing its ID."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from enapter_async._protocol.failure import may_pass
from enapter_async.errors import ExecutionPendingError, RateLimitedError, RequestError, ServerError
from enapter_async.models.commands import CommandExecution

FIRST_INTERVAL: Final = 0.5
LONGEST_INTERVAL: Final = 5.0
"""Seconds between two polls (reference.md, Command execution lifecycle)."""

_GROWTH: Final = 1.5
_LAST_LOOK: Final = 0.5

OnProgress: TypeAlias = Callable[[CommandExecution], None]
"""Called with an execution whenever it has changed."""


class Waiting:
    """Polls an execution until it has ended.

    Attributes:
        seen: The execution as last seen.
    """

    def __init__(
        self,
        execution_id: str,
        look: Callable[[float], Awaitable[CommandExecution]],
        sleep: Callable[[float], Awaitable[None]],
        on_progress: OnProgress | None,
    ) -> None:
        """Prepare the wait. Nothing is sent yet.

        Args:
            execution_id: ID of the execution, for errors.
            look: Gets the execution within a number of seconds.
            sleep: Waits for a number of seconds.
            on_progress: Called on every change.
        """
        self._execution_id = execution_id
        self._look = look
        self._sleep = sleep
        self._on_progress = on_progress
        self.seen: CommandExecution | None = None

    async def until_final(self, seconds: float) -> CommandExecution:
        """Return the execution once it has ended, in any state.

        Temporary failures (no connection, no token, 429, 5xx except 501 and 505) are retried until the timeout.

        Args:
            seconds: How long to wait.

        Raises:
            ExecutionPendingError: The timeout expired. If the last poll failed, its error is the cause.
            RequestError: Polling failed permanently.
        """
        now = asyncio.get_running_loop().time
        deadline = now() + seconds
        interval = FIRST_INTERVAL
        last = False
        while True:
            failure: RequestError | None = None
            pause = interval
            try:
                execution = await self._look(max(deadline - now(), 0.001))
            except RequestError as error:
                if not may_pass(error):
                    raise
                failure = error
                if isinstance(error, (RateLimitedError, ServerError)) and error.retry_after is not None:
                    pause = max(interval, error.retry_after)
            else:
                self.saw(execution)
                if execution.is_final:
                    return execution
            left = deadline - now()
            if last or left <= 0:
                raise self.pending(f"has not ended within {seconds:g} s") from failure
            if pause >= left:
                # One last poll, as late as leaves time for its response.
                pause = max(left - _LAST_LOOK, left / 2)
                last = True
            await self._sleep(pause)
            interval = min(interval * _GROWTH, LONGEST_INTERVAL)

    def saw(self, execution: CommandExecution) -> None:
        """Store the current state of the execution, and report a change."""
        if execution == self.seen:
            return
        self.seen = execution
        if self._on_progress is not None:
            self._on_progress(execution)

    def pending(self, what: str) -> ExecutionPendingError:
        """Return the error for an execution that may still be running."""
        state = self.seen.state if self.seen is not None else None
        known = "" if state is None else f"; its last known state is {state.value}"
        return ExecutionPendingError(
            f"command execution {self._execution_id} {what}{known}",
            execution_id=self._execution_id,
            state=None if state is None else state.value,
        )
