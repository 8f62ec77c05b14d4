"""Delivery of events to the callback of a program, or to the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from enapter_async.collector.events import CollectorEvent, OutputReopened, ProblemBegan, Skipped

_logger = logging.getLogger("enapter_async.collector")
_WARNINGS: Final = (ProblemBegan, Skipped, OutputReopened)


class Reporter:
    """Passes events on. A callback that raises is logged: it is foreign code, and must not end the work."""

    def __init__(self, on_event: Callable[[CollectorEvent], object] | None) -> None:
        """Create the reporter.

        Args:
            on_event: Receives the events. Without it they are logged.
        """
        self._on_event = on_event

    def __call__(self, event: CollectorEvent) -> None:
        """Pass an event on."""
        if self._on_event is None:
            level = logging.WARNING if isinstance(event, _WARNINGS) else logging.INFO
            _logger.log(level, "%s", event)
            return
        try:
            self._on_event(event)
        except Exception:
            _logger.exception("on_event raised on %s", type(event).__name__)
