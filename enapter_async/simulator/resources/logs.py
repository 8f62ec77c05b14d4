"""Device logs (reference.md, Device logs)."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ..answers import json_answer
from ..call import Call
from ..entities import LogRecord
from ..journal import journal
from ..operations import Operations
from ..times import format_time

operations = Operations()

SEVERITIES = ("debug", "info", "warning", "error")
_RETENTIONS = {
    "ALL": "ALL",
    "PERSISTENT": "PERSISTENT",
    "EPHEMERAL": "EPHEMERAL",
    # Older clients, under the name `show`.
    "PERSISTED_ONLY": "PERSISTENT",
    "TEMPORARY_ONLY": "EPHEMERAL",
}


def render_record(record: LogRecord) -> dict[str, Any]:
    """Make a record's JSON."""
    return {
        "timestamp": record.timestamp,
        "received_at": format_time(record.received_at),
        "severity": record.severity,
        "message": record.message,
    }


class LogFilter:
    """The filters that lists and streams share."""

    def __init__(self, call: Call) -> None:
        query = call.query
        self._severity = query.choice("severity", SEVERITIES, "") if "severity" in query.values else ""
        name = "show" if "show" in query.values else "retention"
        self._retention = _RETENTIONS[query.choice(name, tuple(_RETENTIONS), "ALL")]

    def accepts(self, record: LogRecord) -> bool:
        """Tell whether a record is wanted."""
        return (not self._severity or record.severity == self._severity) and (
            self._retention == "ALL" or record.persistent == (self._retention == "PERSISTENT")
        )


@operations.device("GET", "/{device_id}/logs", "listDeviceLogs", scoped_id="listSiteDeviceLogs")
async def list_logs(call: Call) -> web.StreamResponse:
    """List a device's log."""
    device, world, query = call.device(), call.world, call.query
    wanted = LogFilter(call)
    # The second names are those of older clients.
    since = query.time("received_at.gte" if "received_at.gte" in query.values else "received_at_from")
    until = query.time("received_at.lt" if "received_at.lt" in query.values else "received_at_to")
    order = query.choice("order", ("RECEIVED_AT_ASC", "RECEIVED_AT_DESC"), "RECEIVED_AT_ASC")
    records = [
        record
        for record in journal(device, world.seed, world.started_at, world.now(), call.behaviour.log_interval)
        if wanted.accepts(record)
        and (since is None or record.received_at >= since)
        and (until is None or record.received_at < until)
    ]
    if order == "RECEIVED_AT_DESC":
        records.reverse()
    return json_answer(query.page("logs", records, render_record))
