"""What comes over WebSocket streams; log streams give `LogRecord` and `RuleLogRecord`."""

from __future__ import annotations

from datetime import datetime

import attrs

from enapter_async.models.common import JSON, NO_EXTRA
from enapter_async.models.logs import LogRecord


@attrs.frozen(kw_only=True, weakref_slot=False)
class DeviceFrame:
    """One frame of the stream of several devices: telemetry, properties or a log record.

    What a frame brings is not None; a frame of a kind that this version does not know has it in `extra`.

    Attributes:
        device_id: The device.
        timestamp: The device's time.
        received_at: When the platform received it.
        telemetry: Values by attribute.
        properties: Values by property.
        log: A log record, with the frame's device and times filled in.
        extra: Fields that this version does not know.
    """

    device_id: str
    timestamp: datetime | None = None
    received_at: datetime | None = None
    telemetry: dict[str, JSON] | None = attrs.field(default=None, hash=False)
    properties: dict[str, JSON] | None = attrs.field(default=None, hash=False)
    log: LogRecord | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class TelemetryFrame:
    """One frame of a device's telemetry stream.

    Its shape is not documented: the shape of the device stream and a bare
    object of values are both read.

    Attributes:
        telemetry: Values by attribute, as they came.
        timestamp: The device's time, where it came.
        received_at: When the platform received it, where it came.
        device_id: The device, where it came.
        extra: Fields that this version does not know; empty for a bare object.
    """

    telemetry: dict[str, JSON] = attrs.field(factory=dict[str, JSON], hash=False)
    timestamp: datetime | None = None
    received_at: datetime | None = None
    device_id: str | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)
