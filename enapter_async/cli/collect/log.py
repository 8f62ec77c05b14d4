"""Log lines with time and level, as text or JSON. Errors of the output are ignored."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

from enapter_async._visible import make_visible
from enapter_async.collector import CollectorEvent, GapsFilled
from enapter_async.collector.events import DeviceEvent, WarningEvent


class Log:
    """Writes lines to stderr. A line that cannot be written is dropped."""

    def __init__(self, form: Literal["text", "json"] = "text", *, quiet: bool = False) -> None:
        """Create a log.

        Args:
            form: Format of a line.
            quiet: Leave out lines below the level WARNING.
        """
        self._form = form
        self._least = logging.WARNING if quiet else logging.INFO

    def write(self, level: int, message: str, **fields: object) -> None:
        """Write a line.

        Args:
            level: A level of `logging`.
            message: Human-readable text.
            **fields: Machine-readable fields, which only JSON includes.
        """
        if level < self._least:
            return
        now = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
        name = logging.getLevelName(level)
        if self._form == "json":
            line = json.dumps({"time": now, "level": name.lower(), "message": message, **fields}, ensure_ascii=False)
        else:
            line = f"{now} {name:<7} {message}"
        try:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):  # the reader has closed the pipe, the disk is full, or the file was closed
            pass

    def write_event(self, event: CollectorEvent) -> None:
        """Write an event of a collector."""
        if isinstance(event, GapsFilled) and not (event.rows or event.without_history):
            return  # nothing was missing
        level = logging.WARNING if isinstance(event, WarningEvent) else logging.INFO
        fields = {"device_id": event.device_id} if isinstance(event, DeviceEvent) else {}
        self.write(level, str(event), event=type(event).__name__, **fields)

    @contextmanager
    def including_warnings(self) -> Generator[None, None, None]:
        """Write the warnings of the package during a block, which Python would print without time and level."""
        if logging.root.handlers:  # --debug
            yield
            return
        logger, handler = logging.getLogger("enapter_async"), _WarningHandler(self)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)


class _WarningHandler(logging.Handler):
    """Passes records of `logging` to a log."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            message += f": {type(error).__name__}: {error}"
        self._log.write(record.levelno, make_visible(message))
