"""Delivery of events to the callback of a program, or to the log, and logging of exceptions of the user's code."""

from __future__ import annotations

import logging
from collections.abc import Callable

import attrs

from enapter_async.collector.events import CollectorEvent, DeviceEvent, GapsNoted, WarningEvent

_logger = logging.getLogger("enapter_async.collector")


class Reporter:
    """Passes events on. A callback that raises is logged: it is foreign code, and must not end the work.

    Attributes:
        names: Names of devices for display, by ID.
    """

    def __init__(self, on_event: Callable[[CollectorEvent], object] | None) -> None:
        """Create the reporter.

        Args:
            on_event: Receives the events. Without it they are logged.
        """
        self.names: dict[str, str] = {}
        self._on_event = on_event

    def __call__(self, event: CollectorEvent) -> None:
        """Pass an event on, with the name of its device."""
        event = self._add_name(event)
        if self._on_event is None:
            level = logging.WARNING if isinstance(event, WarningEvent) else logging.INFO
            _logger.log(level, "%s", event)
            return
        try:
            self._on_event(event)
        except Exception:
            _logger.exception("on_event raised on %s", type(event).__name__)

    def _add_name(self, event: CollectorEvent) -> CollectorEvent:
        if isinstance(event, DeviceEvent):
            return attrs.evolve(event, name=self.names.get(event.device_id))
        if isinstance(event, GapsNoted) and len(event.gaps) == 1:
            return attrs.evolve(event, name=self.names.get(event.gaps[0].device_id or ""))
        return event


class FaultLog:
    """Logs exceptions of the user's functions that are called repeatedly. Each type is logged once."""

    def __init__(self) -> None:
        self._logged: set[tuple[str, type[Exception]]] = set()

    def add(self, name: str, error: Exception) -> None:
        """Log an exception with its traceback, unless this function has raised one of this type before.

        Args:
            name: Name of the function.
            error: The exception.
        """
        kind = (name, type(error))
        if kind not in self._logged:
            self._logged.add(kind)
            _logger.error("%s raised", name, exc_info=error)
