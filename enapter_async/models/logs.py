"""Log records of devices and rules."""

from __future__ import annotations

from datetime import datetime

import attrs

from enapter_async.models.common import JSON, NO_EXTRA, OpenEnum, OrderedEnum


class LogSeverity(OrderedEnum):
    """Severity of a log record, lowest first. See `OrderedEnum` for unknown severities."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogRetention(OpenEnum):
    """Retention of the records to return."""

    ALL = "ALL"
    PERSISTENT = "PERSISTENT"
    EPHEMERAL = "EPHEMERAL"


@attrs.frozen(kw_only=True, weakref_slot=False)
class LogRecord:
    """One log record of a device, from the list or from a stream.

    Attributes:
        timestamp: Time according to the device.
        received_at: When the platform received it.
        severity: Severity.
        message: Text of the record.
        device_id: ID of the device, if the server returns it (streams).
        extra: Fields that this version does not know.
    """

    timestamp: datetime | None = None
    received_at: datetime | None = None
    severity: LogSeverity | None = None
    message: str = ""
    device_id: str | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class RuleLogRecord:
    """One log record of a rule.

    Attributes:
        timestamp: When the rule wrote it.
        severity: Severity.
        message: Text of the record.
        extra: Fields that this version does not know.
    """

    timestamp: datetime | None = None
    severity: LogSeverity | None = None
    message: str = ""
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)
