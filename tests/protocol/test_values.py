"""Times and durations, both ways."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from enapter_async._protocol.values import format_duration, format_time, parse_duration, parse_time
from enapter_async.errors import InvalidArgumentError

MARCH = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wire", "moment"),
    [
        ("2026-03-14T09:26:53Z", MARCH),
        ("2026-03-14T09:26:53.5Z", MARCH.replace(microsecond=500_000)),
        ("2026-03-14T09:26:53.589793Z", MARCH.replace(microsecond=589_793)),
        ("2026-03-14T09:26:53.589793999Z", MARCH.replace(microsecond=589_793)),  # nanoseconds are cut off
        ("2026-03-14T09:26:53.000000001Z", MARCH),
        ("2026-03-14t09:26:53z", MARCH),
        ("2026-03-14 09:26:53Z", MARCH),
        ("2026-03-14T09:26:53+00:00", MARCH),
        ("2026-03-14T14:56:53+05:30", MARCH),
        ("2026-03-14T01:26:53-08:00", MARCH),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),  # a leap second
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),  # Go's zero time
        (1773480413, MARCH),
        (1773480413.25, MARCH.replace(microsecond=250_000)),
        ("1773480413", MARCH),
        ("1773480413.25", MARCH.replace(microsecond=250_000)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_every_form_that_servers_send(wire: object, moment: datetime) -> None:
    parsed = parse_time(wire)
    assert parsed == moment
    assert parsed.tzinfo is UTC


@pytest.mark.parametrize(
    "wire",
    [
        "",
        "yesterday",
        "2026-03-14",
        "2026-03-14T09:26:53",  # no offset: it could be any time
        "2026-13-14T09:26:53Z",
        "2026-03-14T25:26:53Z",
        "0001-01-01T00:00:00+10:00",  # before the first year in UTC
        "9999-12-31T23:59:60Z",
        "1" * 21,
        "1e9",
        "NaN",
        "１７７３",  # digits of another script
        float("nan"),
        float("inf"),
        10**30,
        1_773_480_413_000,  # milliseconds are not seconds
        True,
        None,
        [],
        {},
        b"2026-03-14T09:26:53Z",
    ],
)
def test_what_is_no_time_is_refused(wire: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the converter makes the message
        parse_time(wire)


@pytest.mark.parametrize(
    ("moment", "wire"),
    [
        (MARCH, "2026-03-14T09:26:53Z"),
        (MARCH.replace(microsecond=120_000), "2026-03-14T09:26:53.120000Z"),
        (datetime(2026, 3, 14, 14, 56, 53, tzinfo=timezone(timedelta(hours=5, minutes=30))), "2026-03-14T09:26:53Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
    ],
)
def test_a_time_is_sent_in_utc_with_z(moment: datetime, wire: str) -> None:
    assert format_time(moment, "start") == wire


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 3, 14),  # noqa: DTZ001 - naive on purpose
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=1))),
        date(2026, 3, 14),
        "2026-03-14T09:26:53Z",
        1773480413,
        None,
    ],
)
def test_what_cannot_be_sent_as_a_time_names_the_argument(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^created_at_gte: ") as caught:
        format_time(value, "created_at_gte")  # type: ignore[arg-type]
    assert caught.value.argument == "created_at_gte"


@pytest.mark.parametrize(
    ("wire", "duration"),
    [
        ("1h0m0s", timedelta(hours=1)),
        ("3600s", timedelta(hours=1)),
        ("500ms", timedelta(milliseconds=500)),
        ("2m30s", timedelta(seconds=150)),
        ("24h", timedelta(days=1)),
        ("1.5h", timedelta(minutes=90)),
        (".5s", timedelta(milliseconds=500)),
        ("1.s", timedelta(seconds=1)),
        ("0", timedelta(0)),
        ("0s", timedelta(0)),
        ("1h15m30.918273645s", timedelta(hours=1, minutes=15, seconds=30, microseconds=918_273)),
        ("5us", timedelta(microseconds=5)),
        ("5µs", timedelta(microseconds=5)),
        ("5μs", timedelta(microseconds=5)),  # Go reads both
        ("1999ns", timedelta(microseconds=1)),
        ("1s1s", timedelta(seconds=2)),  # Go adds them up
    ],
)
def test_a_duration_is_read_the_way_go_writes_it(wire: str, duration: timedelta) -> None:
    assert parse_duration(wire) == duration


@pytest.mark.parametrize(
    "wire",
    ["", " ", "1", "s", "1d", "-1s", "+1s", "1 s", "1s ", "1S", "1h-5m", ".s", "١s", "1e3s", "NaNs", "9" * 40 + "h"],
)
def test_what_is_no_duration_is_refused(wire: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(wire)


def test_a_time_of_absurd_length_is_refused_before_it_is_searched() -> None:
    class Unsearchable(str):
        __slots__ = ()

        def upper(self) -> str:
            raise AssertionError("searched")

    with pytest.raises(ValueError, match="expected a time"):
        parse_time(Unsearchable(":59:60Z" * 1_000))


def test_a_duration_of_absurd_length_is_refused() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - Python's own limit on digits
        parse_duration("9" * 5000 + "h")


def test_a_duration_of_many_parts_is_refused_before_they_are_counted() -> None:
    """Eight million of them took 4 s and 500 MB."""
    with pytest.raises(ValueError, match="duration"):
        parse_duration("1ns" * 34)


@pytest.mark.parametrize(
    ("duration", "wire"),
    [
        (0, "0s"),
        (1, "1s"),
        (30.0, "30s"),
        (0.5, "500ms"),
        (1.5, "1500ms"),
        (0.1 + 0.2, "300ms"),
        (60, "1m"),
        (150, "2m30s"),
        (3600, "1h"),
        (3605, "1h0m5s"),
        (5400, "1h30m"),
        (timedelta(days=1), "24h"),
        (timedelta(milliseconds=1), "1ms"),
    ],
)
def test_a_duration_is_sent_short(duration: timedelta | float, wire: str) -> None:
    assert format_duration(duration, "granularity") == wire


@pytest.mark.parametrize(
    "value",
    [
        -1,
        timedelta(seconds=-1),
        float("nan"),
        float("inf"),
        1e300,
        10**400,
        0.0001,
        1e-9,
        timedelta(microseconds=1),
        True,
        "30s",
        None,
        Decimal(1),
    ],
)
def test_what_cannot_be_sent_as_a_duration_names_the_argument(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^granularity: ") as caught:
        format_duration(value, "granularity")  # type: ignore[arg-type]
    assert caught.value.argument == "granularity"
