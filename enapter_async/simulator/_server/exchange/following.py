"""Follow the log or the telemetry of one device over a WebSocket."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ..times import format_time
from ..world.entities import Device, LogRecord
from ..world.journal import own_records
from .call import Call
from .log_filter import LogFilter, render_record


def _log_frame(call: Call, device: Device, record: LogRecord) -> dict[str, Any]:
    if call.behaviour.flat_frames:
        return render_record(record)
    return {
        "device_id": device.id,
        "timestamp": record.timestamp,
        "received_at": format_time(record.received_at),
        "log": {"severity": record.severity, "message": record.message},
    }


def records_between(call: Call, device: Device, since: float, until: float) -> list[LogRecord]:
    """List the records that a device writes spontaneously, from one time on and before another."""
    return own_records(device, call.world.seed, since, until, call.behaviour.log_interval)


async def follow_logs(call: Call, device: Device) -> web.StreamResponse:
    """Follow a device's log."""
    wanted = LogFilter(call.query)

    def event(record: LogRecord) -> dict[str, Any] | None:
        return _log_frame(call, device, record) if wanted.accepts(record) else None

    def frames(since: float, until: float) -> list[dict[str, Any]]:
        records = records_between(call, device, since, until)
        return [_log_frame(call, device, record) for record in records if wanted.accepts(record)]

    return await call.sockets.follow(call, {f"device/{device.id}": event}, frames, call.behaviour.stream_interval)


def telemetry_frame(call: Call, device: Device) -> dict[str, Any] | None:
    """Return a telemetry frame, unless the device is offline."""
    if device.connectivity == "OFFLINE":
        return None
    readable = call.world.readable(device, call.grant.role_on(device.site_id))
    latest = call.world.serve_latest(device, readable)
    return {
        "device_id": device.id,
        "received_at": format_time(call.world.now()),
        "timestamp": device.timeline.newest,
        "telemetry": {name: found[0] for name, found in latest.items() if found is not None},
    }


async def follow_telemetry(call: Call, device: Device) -> web.StreamResponse:
    """Follow a device's telemetry, in the frames of the device stream or as bare objects."""

    def frames(_since: float, _until: float) -> list[dict[str, Any]]:
        frame = telemetry_frame(call, device)
        if frame is None:
            return []
        return [{"timestamp": frame["timestamp"]} | frame["telemetry"] if call.behaviour.flat_frames else frame]

    return await call.sockets.follow(call, {}, frames, call.behaviour.stream_interval)
