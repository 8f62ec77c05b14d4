"""Lines for a log: with time and level, as text or as JSON. Their reader may leave at any time."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final, Literal

from enapter_async.collector import CollectorEvent, GapsFilled, ProblemBegan, Skipped

_WARNINGS: Final = (ProblemBegan, Skipped)


class Log:
    """Writes lines to stderr. A line that cannot be written is lost, and nothing else happens."""

    def __init__(self, form: Literal["text", "json"] = "text", *, quiet: bool = False) -> None:
        """Begin.

        Args:
            form: How a line looks.
            quiet: Leave out what is less than a warning.
        """
        self._form = form
        self._least = logging.WARNING if quiet else logging.INFO

    def write(self, level: int, message: str, **fields: object) -> None:
        """Write a line.

        Args:
            level: One of those of `logging`.
            message: For people.
            **fields: For programs; only JSON has them.
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
        except (OSError, ValueError):  # the reader has gone, the disk is full, the file was closed
            pass

    def write_event(self, event: CollectorEvent) -> None:
        """Write what a collector reports."""
        if isinstance(event, GapsFilled) and not event.rows:
            return  # nothing was missing after all
        level = logging.WARNING if isinstance(event, _WARNINGS) else logging.INFO
        self.write(level, str(event), event=type(event).__name__)
