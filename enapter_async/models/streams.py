"""Frames of WebSocket streams. Streams of logs return `LogRecord` and `RuleLogRecord` instead."""

from __future__ import annotations

from datetime import datetime

import attrs

from enapter_async.models.common import JSON, NO_EXTRA
from enapter_async.models.logs import LogRecord


@attrs.frozen(kw_only=True, weakref_slot=False)
class DeviceFrame:
    """One frame of the stream of several devices: telemetry, properties or a log record.

    Only the fields that the frame contains are not None. Frames of an unknown kind have their content in `extra`.

    Attributes:
        device_id: ID of the device.
        timestamp: Time according to the device.
        received_at: When the platform received it.
        telemetry: Values by attribute.
        properties: Values by property.
        log: Log record, with the device and the times of the frame.
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

    The format is not documented. Both the format of the device stream and a plain object of values are accepted.

    Attributes:
        telemetry: Values by attribute, unchanged.
        timestamp: Time according to the device, if sent.
        received_at: When the platform received it, if sent.
        device_id: ID of the device, if sent.
        extra: Fields that this version does not know. Empty for a plain object of values.
    """

    telemetry: dict[str, JSON] = attrs.field(factory=dict[str, JSON], hash=False)
    timestamp: datetime | None = None
    received_at: datetime | None = None
    device_id: str | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)
