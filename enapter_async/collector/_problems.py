"""Errors: which of them end a collector, and when one begins and ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import attrs

from enapter_async._protocol.failure import refuses_token
from enapter_async.collector.events import CollectorEvent, ProblemBegan, ProblemEnded
from enapter_async.errors import (
    ClientClosedError,
    ConfigurationError,
    InvalidArgumentError,
    StorageError,
    WrongEventLoopError,
)

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
_QUIET_SECONDS: Final = 10.0
"""A problem has ended when nothing failed for so long: at a fault rate of some percent it is one problem, not many."""


def is_final(error: BaseException) -> bool:
    """Whether an error ends a collector: trying again will not help.

    Of answers only those that are the API's own do, and only if they refuse the token. Everything else may be a proxy,
    a restart, a server that is being reinstalled.
    """
    if isinstance(error, StorageError):
        return not error.temporary
    if refuses_token(error):
        return True
    return isinstance(error, (ClientClosedError, ConfigurationError, InvalidArgumentError, WrongEventLoopError))


def next_pause(pause: float) -> float:
    """Return the pause after the next failure."""
    return min(2 * pause, LONGEST_PAUSE)


@attrs.define
class _Problem:
    began: float
    latest: float
    count: int = 1


class Problems:
    """Which subjects have a problem now; each is reported once when it begins and once when it ends."""

    def __init__(self, report: Callable[[CollectorEvent], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._report = report
        self._clock = clock
        self._open: dict[str, _Problem] = {}

    def __contains__(self, subject: str) -> bool:
        return subject in self._open

    def failed(self, subject: str, error: Exception) -> None:
        """Take a failure into account."""
        now = self._clock()
        problem = self._open.get(subject)
        if problem is None:
            self._open[subject] = _Problem(now, now)
            self._report(ProblemBegan(subject=subject, error=error))
        else:
            problem.latest = now
            problem.count += 1

    def passed(self, subject: str, *, at_once: bool = True) -> None:
        """Take a success into account; not at once: only if nothing has failed for some seconds."""
        problem = self._open.get(subject)
        if problem is None or (not at_once and self._clock() - problem.latest < _QUIET_SECONDS):
            return
        del self._open[subject]
        seconds = max(problem.latest, self._clock() if at_once else 0.0) - problem.began
        self._report(ProblemEnded(subject=subject, count=problem.count, seconds=seconds))
