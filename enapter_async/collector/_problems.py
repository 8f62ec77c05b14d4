"""Decides which errors end a collector, and tracks when problems begin and end."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio
import attrs

from enapter_async._pauses import FIRST_PAUSE, next_pause
from enapter_async._protocol.failure import refuses_token
from enapter_async.collector.events import CollectorEvent, ProblemBegan, ProblemEnded
from enapter_async.errors import (
    ClientClosedError,
    ConfigurationError,
    EnapterError,
    InvalidArgumentError,
    StorageError,
    WrongEventLoopError,
)

T = TypeVar("T")

_QUIET_SECONDS: Final = 10.0
"""Seconds without a failure after which a problem has ended. Sporadic failures thus count as one problem."""


def is_final(error: BaseException) -> bool:
    """Whether an error ends a collector, because a retry will not help.

    Of all responses, only those in which the API itself rejects the token do. Anything else may come from a proxy, a
    restart or an update of the server.
    """
    if isinstance(error, StorageError):
        return not error.temporary
    return ends_polling(error) or isinstance(error, InvalidArgumentError)


def ends_polling(error: BaseException) -> bool:
    """Whether any request fails with this error, so that polling gets it, too, and ends the collector with it."""
    return refuses_token(error) or isinstance(error, (ClientClosedError, ConfigurationError, WrongEventLoopError))


@attrs.define
class _Problem:
    began: float
    latest: float
    count: int = 1


class Problems:
    """The current problems by subject. Each is reported once when it begins and once when it ends."""

    def __init__(self, report: Callable[[CollectorEvent], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._report = report
        self._clock = clock
        self._open: dict[str, _Problem] = {}

    def __contains__(self, subject: str) -> bool:
        return subject in self._open

    def failed(self, subject: str, error: Exception) -> None:
        """Record a failure."""
        now = self._clock()
        problem = self._open.get(subject)
        if problem is None:
            self._open[subject] = _Problem(now, now)
            self._report(ProblemBegan(subject=subject, error=error))
        else:
            problem.latest = now
            problem.count += 1

    async def persist(self, subject: str, work: Callable[[], Awaitable[T]], ends: Callable[[EnapterError], bool]) -> T:
        """Retry something with growing pauses until it works, or until an error ends it."""
        pause = FIRST_PAUSE
        while True:
            try:
                result = await work()
            except EnapterError as error:
                if ends(error):
                    raise
                self.failed(subject, error)
            else:
                self.passed(subject)
                return result
            await anyio.sleep(pause)
            pause = next_pause(pause)

    def passed(self, subject: str, *, at_once: bool = True) -> None:
        """Record a success. The problem ends only after some seconds without a failure."""
        problem = self._open.get(subject)
        if problem is None or (not at_once and self._clock() - problem.latest < _QUIET_SECONDS):
            return
        del self._open[subject]
        seconds = max(problem.latest, self._clock() if at_once else 0.0) - problem.began
        self._report(ProblemEnded(subject=subject, count=problem.count, seconds=seconds))
