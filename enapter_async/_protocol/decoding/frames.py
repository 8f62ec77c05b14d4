"""Decoding of WebSocket messages into typed frames, in all forms of reference.md, section 10."""

from __future__ import annotations

from typing import Final, Generic, TypeVar, cast

from enapter_async._protocol.decoding import json_text
from enapter_async._protocol.decoding.converter import structurer
from enapter_async.errors import InvalidBodyError, ResponseTooLargeError, SchemaError
from enapter_async.models.common import JSON
from enapter_async.models.logs import LogRecord, RuleLogRecord
from enapter_async.models.streams import DeviceFrame, TelemetryFrame

F = TypeVar("F", LogRecord, RuleLogRecord, DeviceFrame, TelemetryFrame)

_EXCERPT: Final = 200
_LOG_FIELDS: Final = frozenset({"log", "message", "severity"})


class FrameOf(Generic[F]):
    """Decodes one message. Text and binary messages are both accepted if they contain a JSON object."""

    __slots__ = ("_is_log", "_type")

    def __init__(self, type_: type[F]) -> None:
        self._type: type[F] = type_
        self._is_log = type_ in (LogRecord, RuleLogRecord)

    def __call__(self, message: str | bytes) -> F:
        """Return the frame.

        Raises:
            InvalidBodyError: The message is not JSON.
            SchemaError: The message is JSON of another structure.
        """
        payload = _loads(message)
        if self._is_log and isinstance(payload, dict) and _LOG_FIELDS.isdisjoint(payload):
            # Every field of a record is optional, so without this check any object would count as a record.
            raise SchemaError("the frame does not contain a log record")
        return structurer(self._type)(payload)


def excerpt(message: str | bytes) -> str:
    """Return the beginning of a message, for display."""
    piece = message[:_EXCERPT]
    return piece if isinstance(piece, str) else piece.decode("utf-8", "replace")


def _loads(message: str | bytes) -> JSON:
    body = message if isinstance(message, bytes) else message.encode()
    if json_text.has_more_values(body, json_text.MAX_VALUES):
        raise ResponseTooLargeError(f"the frame contains more than {json_text.MAX_VALUES:,} values")
    try:
        return cast("JSON", json_text.loads(body))
    except (ValueError, RecursionError) as error:
        reason = type(error).__name__ if isinstance(error, RecursionError) else str(error)
    raise InvalidBodyError(f"the frame is not JSON ({reason})")


LOG_RECORD: Final = FrameOf(LogRecord)
RULE_LOG_RECORD: Final = FrameOf(RuleLogRecord)
DEVICE_FRAME: Final = FrameOf(DeviceFrame)
TELEMETRY_FRAME: Final = FrameOf(TelemetryFrame)
