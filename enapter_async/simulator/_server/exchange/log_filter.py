"""The filters and the JSON that lists and streams of logs share."""

from __future__ import annotations

from typing import Any

from ..times import format_time
from ..world.entities import LogRecord
from .query import Query

SEVERITIES = ("debug", "info", "warning", "error")
_RETENTIONS = {
    "ALL": "ALL",
    "PERSISTENT": "PERSISTENT",
    "EPHEMERAL": "EPHEMERAL",
    # Older clients use the name `show`.
    "PERSISTED_ONLY": "PERSISTENT",
    "TEMPORARY_ONLY": "EPHEMERAL",
}


def render_record(record: LogRecord) -> dict[str, Any]:
    """Return a record as JSON."""
    return {
        "timestamp": record.timestamp,
        "received_at": format_time(record.received_at),
        "severity": record.severity,
        "message": record.message,
    }


class LogFilter:
    """The filters that lists and streams share."""

    def __init__(self, query: Query) -> None:
        self._severity = query.word("severity", SEVERITIES)
        name = "show" if "show" in query.values else "retention"
        self._retention = _RETENTIONS[query.choice(name, tuple(_RETENTIONS), "ALL")]

    def accepts(self, record: LogRecord) -> bool:
        """Return whether a record matches."""
        return (self._severity is None or record.severity.lower() == self._severity) and (
            self._retention == "ALL" or record.persistent == (self._retention == "PERSISTENT")
        )
