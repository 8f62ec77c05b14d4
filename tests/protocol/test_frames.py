"""Messages to frames: every shape of reference.md, section 10, and none other."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async import DecodeError, DeviceFrame, InvalidBodyError, SchemaError, TelemetryFrame
from enapter_async._protocol.decoding.frames import (
    DEVICE_FRAME,
    LOG_RECORD,
    RULE_LOG_RECORD,
    TELEMETRY_FRAME,
    excerpt,
)
from enapter_async.models.logs import LogRecord, LogSeverity, RuleLogRecord

AT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
RECEIVED = datetime(2023, 11, 14, 22, 13, 21, 500_000, tzinfo=UTC)
STAMPS: dict[str, Any] = {"timestamp": 1_700_000_000, "received_at": "2023-11-14T22:13:21.5Z"}
LOG = {"severity": "warning", "message": "low flow"}
RECORD = LogRecord(timestamp=AT, received_at=RECEIVED, severity=LogSeverity.WARNING, message="low flow")


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        pytest.param({**STAMPS, "log": LOG}, RECORD, id="current"),
        pytest.param({**STAMPS, **LOG}, RECORD, id="older, flat"),
        pytest.param({**STAMPS, **LOG, "timestamp": "1700000000"}, RECORD, id="older still, time as text"),
        pytest.param({"log": {"message": "x"}}, LogRecord(message="x"), id="no times"),
    ],
)
def test_device_log(frame: dict[str, Any], expected: LogRecord) -> None:
    assert LOG_RECORD(json.dumps(frame)) == expected
    assert LOG_RECORD(json.dumps(frame).encode()) == expected, "binary frames are read alike"


def test_device_log_with_its_device_and_a_new_severity() -> None:
    record = LOG_RECORD(json.dumps({**STAMPS, "device_id": "d", "log": {"severity": "FATAL", "message": "x"}, "a": 1}))
    assert (record.device_id, record.severity, record.extra) == ("d", "FATAL", {"a": 1})


def test_rule_log() -> None:
    frame = {"timestamp": 1_700_000_000, **LOG}
    assert RULE_LOG_RECORD(json.dumps(frame)) == RuleLogRecord(
        timestamp=AT, severity=LogSeverity.WARNING, message="low flow"
    )


def test_the_three_kinds_of_the_device_stream() -> None:
    base = {"device_id": "d", **STAMPS}
    common: dict[str, Any] = {"device_id": "d", "timestamp": AT, "received_at": RECEIVED}
    telemetry = {"power": 4.2, "status": "ok", "alerts": ["a"], "nothing": None}
    assert DEVICE_FRAME(json.dumps({**base, "telemetry": telemetry})) == DeviceFrame(**common, telemetry=telemetry)
    assert DEVICE_FRAME(json.dumps({**base, "properties": {"fw": "1"}})) == DeviceFrame(
        **common, properties={"fw": "1"}
    )
    logged = DEVICE_FRAME(json.dumps({**base, "log": LOG}))
    assert logged.log is not None
    assert (logged.log.device_id, logged.log.timestamp, logged.log.message) == ("d", AT, "low flow")


def test_a_kind_that_is_not_known_is_kept() -> None:
    frame = DEVICE_FRAME(json.dumps({"device_id": "d", "alerts": ["x"]}))
    assert frame.extra == {"alerts": ["x"]}


def test_telemetry_in_the_shape_of_the_device_stream_or_bare() -> None:
    values = {"power": 4.2}
    assert TELEMETRY_FRAME(json.dumps({"device_id": "d", **STAMPS, "telemetry": values})) == TelemetryFrame(
        device_id="d", timestamp=AT, received_at=RECEIVED, telemetry=values
    )
    assert TELEMETRY_FRAME(json.dumps(values)) == TelemetryFrame(telemetry=values)
    assert TELEMETRY_FRAME(json.dumps({"timestamp": 1_700_000_000, **values})) == TelemetryFrame(
        timestamp=AT, telemetry=values
    )


@pytest.mark.parametrize("message", ["", "x", b"\xff\xfe\x00", "{", '{"log": {}', "[" * 100_000, b""])
def test_what_is_not_json_says_so(message: str | bytes) -> None:
    with pytest.raises(InvalidBodyError, match="the frame is not JSON"):
        LOG_RECORD(message)


@pytest.mark.parametrize(
    ("decode", "frame"),
    [
        (LOG_RECORD, {}),
        (LOG_RECORD, {"error": "no such device"}),
        (LOG_RECORD, STAMPS),
        (LOG_RECORD, {"log": None}),
        (LOG_RECORD, {"log": "text"}),
        (LOG_RECORD, []),
        (LOG_RECORD, "text"),
        (LOG_RECORD, None),
        (LOG_RECORD, {**LOG, "timestamp": "yesterday"}),
        (LOG_RECORD, {**LOG, "message": 3}),
        (RULE_LOG_RECORD, {"timestamp": 1}),
        (DEVICE_FRAME, {"telemetry": {}}),
        (DEVICE_FRAME, {"device_id": 3}),
        (DEVICE_FRAME, {"device_id": "d", "telemetry": [1]}),
        (TELEMETRY_FRAME, [1]),
        (TELEMETRY_FRAME, {"telemetry": 3}),
    ],
)
def test_another_shape_is_a_schema_error(decode: Any, frame: Any) -> None:
    with pytest.raises(SchemaError):
        decode(json.dumps(frame))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["log", "device_id", "timestamp", "received_at", "telemetry", "severity", "message", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(_JSON.map(json.dumps) | st.text() | st.binary())
def test_whatever_comes_it_is_a_frame_or_a_decode_error(message: str | bytes) -> None:
    for decode in (LOG_RECORD, RULE_LOG_RECORD, DEVICE_FRAME, TELEMETRY_FRAME):
        with contextlib.suppress(DecodeError):
            decode(message)


def test_an_excerpt_is_short_text() -> None:
    assert excerpt("x" * 1000) == "x" * 200
    assert excerpt(b"\xffx") == "\ufffdx"
