"""Live and listed log records as one sequence: nothing twice, nothing left out."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta

import attrs
from hypothesis import given
from hypothesis import strategies as st

from enapter_async._protocol.log_overlap import MARGIN, LogOverlap
from enapter_async.models.logs import LogRecord

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def record(seconds: float, message: str = "") -> LogRecord:
    return LogRecord(timestamp=at(seconds), received_at=at(seconds), message=message or f"{seconds}")


def opened(seconds: float = 0) -> LogOverlap:
    overlap = LogOverlap()
    overlap.opened(at(seconds))
    return overlap


def test_without_any_record_the_list_begins_where_the_stream_did() -> None:
    overlap = opened(7)
    overlap.opened(at(50))
    assert overlap.begin() == at(7)


def test_the_list_begins_a_margin_before_the_newest_record() -> None:
    overlap = opened()
    for seconds in (100, 98, 99):  # arrival is not quite in order
        assert overlap.is_new(record(seconds))
    assert overlap.begin() == at(100) - MARGIN


def test_the_list_does_not_reach_back_before_the_stream_was_opened() -> None:
    overlap = opened(99)
    overlap.is_new(record(100))
    assert overlap.begin() == at(99)


def test_where_the_clocks_differ_the_records_clock_counts() -> None:
    overlap = opened(1000)  # the proxy in front is ahead of what stamps the records
    overlap.is_new(record(100))
    assert overlap.begin() == at(100) - MARGIN


def test_what_was_live_is_not_missing_and_what_was_listed_is_not_new() -> None:
    overlap = opened()
    overlap.is_new(record(10))
    overlap.opened(at(20))
    overlap.begin()
    assert [overlap.is_missing(record(seconds)) for seconds in (10, 11, 20, 21)] == [False, True, True, True]
    assert [overlap.is_new(record(seconds)) for seconds in (20, 21, 22)] == [False, False, True]


def test_equal_records_are_counted() -> None:
    overlap = opened()
    overlap.is_new(record(10, "tick"))
    overlap.opened(at(11))
    overlap.begin()
    assert [overlap.is_missing(record(10, "tick")) for _ in range(3)] == [False, True, True]
    assert [overlap.is_new(record(10, "tick")) for _ in range(3)] == [False, False, True]


def test_old_listed_records_do_not_hide_new_live_ones() -> None:
    overlap = opened()
    overlap.opened(at(100))
    overlap.begin()
    assert overlap.is_missing(record(50, "tick"))
    assert overlap.is_new(record(50, "tick")), "it was received long before the new connection: not the same one"


def test_memory_is_bounded_and_the_list_begins_where_it_does() -> None:
    overlap = LogOverlap(memory=3)
    overlap.opened(at(0))
    for step in range(10):
        assert overlap.is_new(record(100 + step / 10))
    assert overlap.begin() == at(100.6)


def test_a_second_gap_is_filled_from_where_the_first_filling_ended() -> None:
    overlap = opened()
    overlap.is_new(record(10))
    overlap.begin()
    for seconds in (10, 11, 12):
        overlap.is_missing(record(seconds))
    overlap.opened(at(13))
    assert overlap.begin() == at(12) - MARGIN
    assert [overlap.is_missing(record(seconds)) for seconds in (10, 11, 12, 13)] == [False, False, False, True]


@attrs.frozen
class Connection:
    """One connection: it misses records, then is there while some are listed, and drops after some came live."""

    missed: int
    listed_too_late: int
    live: int


_CONNECTIONS = st.lists(st.builds(Connection, *[st.integers(0, 4)] * 3), max_size=6)
_LOG = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab")), min_size=1, max_size=40)


def follow(log: list[LogRecord], connections: list[Connection]) -> list[LogRecord]:
    """Return what a stream that fills its gaps gives of a log; the last connection stays."""
    overlap = opened()
    records: list[LogRecord] = []
    made = 0  # records that the server has made by now
    for number, connection in enumerate([Connection(0, 0, 2), *connections, Connection(1, 1, len(log))]):
        made = min(made + connection.missed, len(log))
        begin = made
        if number:
            overlap.opened(log[made - 1].received_at or START if made else START)
            since = overlap.begin() or START
            made = min(made + connection.listed_too_late, len(log))
            records += [one for one in log[:made] if (one.received_at or START) >= since and overlap.is_missing(one)]
        end = min(begin + connection.live, len(log))
        records += [one for one in log[begin:end] if overlap.is_new(one)]
        made = max(made, end)
    return records


@given(_LOG, _CONNECTIONS)
def test_however_a_log_is_cut_every_record_is_given_exactly_once(
    steps: list[tuple[int, str]], connections: list[Connection]
) -> None:
    moments = list(itertools.accumulate(pause + 0.001 for pause, _ in steps))
    log = [record(moment, message) for moment, (_, message) in zip(moments, steps, strict=True)]
    assert Counter(follow(log, connections)) == Counter(log)


@given(_LOG, _CONNECTIONS)
def test_with_coarse_times_nothing_is_given_too_often_and_everything_once(
    steps: list[tuple[int, str]], connections: list[Connection]
) -> None:
    moments = list(itertools.accumulate(pause for pause, _ in steps))
    log = [record(moment, message) for moment, (_, message) in zip(moments, steps, strict=True)]
    given_counts, log_counts = Counter(follow(log, connections)), Counter(log)
    assert given_counts.keys() == log_counts.keys()
    assert given_counts <= log_counts
