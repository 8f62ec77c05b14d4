"""Times and durations come back as they were sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from enapter_async._protocol.values import format_duration, format_time, parse_duration, parse_time
from enapter_async.errors import InvalidArgumentError

OFFSETS = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(
    lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
)
MOMENTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=OFFSETS)  # noqa: DTZ001


@given(moment=MOMENTS)
@settings(deadline=None)
def test_a_time_comes_back(moment: datetime) -> None:
    wire = format_time(moment, "at")
    assert wire.endswith("Z")
    assert parse_time(wire) == moment
    assert parse_time(wire).tzinfo is UTC


@given(moment=MOMENTS, digits=st.integers(0, 9), fraction=st.integers(0, 10**9 - 1))
@settings(deadline=None)
def test_fractions_of_any_length_are_cut_to_microseconds(moment: datetime, digits: int, fraction: int) -> None:
    text = f"{fraction:09}"[:digits]
    base = moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()
    wire = f"{base}.{text}Z" if text else f"{base}Z"
    assert parse_time(wire) == datetime.fromisoformat(base).replace(microsecond=int(f"{text:0<6}"[:6]), tzinfo=UTC)


@given(seconds=st.integers(-(10**9), 10**10))
@settings(deadline=None)
def test_unix_seconds_as_number_and_as_text(seconds: int) -> None:
    moment = parse_time(seconds)
    assert moment.timestamp() == seconds
    assert parse_time(str(seconds)) == parse_time(float(seconds)) == moment


@given(value=st.text() | st.integers() | st.floats() | st.none() | st.booleans())
@settings(deadline=None)
def test_any_value_is_a_time_or_a_value_error(value: object) -> None:
    try:
        moment = parse_time(value)
    except ValueError:
        return
    assert moment.tzinfo is UTC


@given(duration=st.timedeltas(timedelta(0), timedelta(days=10_000)))
@settings(deadline=None)
def test_a_duration_comes_back_or_is_refused(duration: timedelta) -> None:
    if duration % timedelta(milliseconds=1):
        try:
            format_duration(duration, "granularity")
        except InvalidArgumentError:
            return
        raise AssertionError("finer than a millisecond")
    assert parse_duration(format_duration(duration, "granularity")) == duration


@given(text=st.text() | st.from_regex(r"\A([0-9]{0,4}\.?[0-9]{0,12}(h|m|s|ms|us|ns)){1,4}\Z"))
@settings(deadline=None)
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        duration = parse_duration(text)
    except ValueError:
        return
    assert duration >= timedelta(0)


@given(value=st.floats() | st.integers())
@settings(deadline=None)
def test_any_number_of_seconds_is_sent_or_refused(value: float) -> None:
    try:
        wire = format_duration(value, "granularity")
    except InvalidArgumentError:
        return
    assert abs(parse_duration(wire).total_seconds() - value) < 1e-6 * max(1, value)
