"""The duration of `--for`, which includes waiting for the API and the store."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import anyio

from enapter_async.cli.exits import Exit, Failure, failure
from enapter_async.collector import CollectorEvent, ProblemBegan

_USUAL_SECONDS: Final = 5.0
"""Seconds up to which the time of the start is not deducted."""


class Waiting:
    """Limits the waiting time at the start, and returns the time left for collecting."""

    def __init__(self, seconds: float | None) -> None:
        """Start the clock.

        Args:
            seconds: How long to collect; None for no limit.
        """
        self._seconds = seconds
        self._began = anyio.current_time()
        self._problem: Exception | None = None

    def note(self, event: CollectorEvent) -> None:
        """Store the reason for waiting."""
        if isinstance(event, ProblemBegan):
            self._problem = event.error

    @contextmanager
    def limited(self) -> Generator[None, None, None]:
        """Limit a block.

        Raises:
            Failure: The block took longer than the limit.
        """
        if self._seconds is None:
            yield
            return
        with anyio.CancelScope(deadline=self._began + self._seconds) as scope:
            yield
        if scope.cancelled_caught:
            within = f"could not begin within {self._seconds:g} s"
            if self._problem is None:
                raise Failure(f"{within}: the API or the store did not respond", Exit.UNAVAILABLE)
            reason = failure(self._problem)
            raise Failure(f"{within}: {reason.message}", reason.code)

    def rest(self) -> float | None:
        """Return the seconds left, or None without a limit."""
        if self._seconds is None:
            return None
        spent = anyio.current_time() - self._began
        return self._seconds if spent < _USUAL_SECONDS else max(0.0, self._seconds - spent)
