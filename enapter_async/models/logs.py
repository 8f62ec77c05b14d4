"""What devices and rules say in their logs."""

from __future__ import annotations

from datetime import datetime

import attrs

from enapter_async.models.common import JSON, NO_EXTRA, OpenEnum, OrderedEnum


class LogSeverity(OrderedEnum):
    """How much a log record matters, lowest first; see `OrderedEnum` for severities that are not known."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogRetention(OpenEnum):
    """Which records are asked for."""

    ALL = "ALL"
    PERSISTENT = "PERSISTENT"
    EPHEMERAL = "EPHEMERAL"


@attrs.frozen(kw_only=True, weakref_slot=False)
class LogRecord:
    """One log record of a device, from the list or from a stream.

    Attributes:
        timestamp: The device's time.
        received_at: When the platform received it.
        severity: How much it matters.
        message: The text.
        device_id: The device, where the server tells it (streams).
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
        severity: How much it matters.
        message: The text.
        extra: Fields that this version does not know.
    """

    timestamp: datetime | None = None
    severity: LogSeverity | None = None
    message: str = ""
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)
