"""Device logs (reference.md, Device logs)."""

from __future__ import annotations

from aiohttp import web

from ..exchange.call import Call
from ..exchange.following import follow_logs
from ..exchange.log_filter import LogFilter, render_record
from ..exchange.responses import json_response
from ..exchange.sockets import wants_socket
from ..operations import Operations
from ..world.journal import journal

operations = Operations()


@operations.device("GET", "/{device_id}/logs", "listDeviceLogs", scoped_id="listSiteDeviceLogs")
async def list_logs(call: Call) -> web.StreamResponse:
    """List a device's log, or follow it after an upgrade."""
    device, world, query = call.device(), call.world, call.query
    if wants_socket(call.request):
        return await follow_logs(call, device)
    wanted = LogFilter(query)
    # Older clients use the second names.
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
    return json_response(query.page("logs", records, render_record))
