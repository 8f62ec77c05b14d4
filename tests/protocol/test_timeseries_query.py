"""What may be asked, and how it stands in the request."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest

from enapter_async._protocol.timeseries.plan import plan_history
from enapter_async._protocol.timeseries.query import timeseries_body
from enapter_async.errors import InvalidArgumentError
from enapter_async.models.timeseries import Aggregation, Locf, Series, TimeseriesQuery

START = datetime(2026, 3, 14, tzinfo=UTC)
END = datetime(2026, 3, 14, 6, tzinfo=UTC)


def query(**changes: Any) -> TimeseriesQuery:
    arguments: dict[str, Any] = {"start": START, "end": END, "granularity": 60, "series": [Series("d1", ["power"])]}
    return TimeseriesQuery(**(arguments | changes))


class Autumn(tzinfo):
    """The night in which the clocks are set back by an hour: each time of it comes twice."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        return timedelta(hours=1 if moment is not None and moment.fold else 2)

    def dst(self, _: datetime | None) -> timedelta:
        return timedelta(0)


def test_the_hour_that_comes_twice_is_ordered_by_time_and_not_by_the_clock() -> None:
    """Python compares two times of one zone by what the clock shows."""
    first = datetime(2026, 10, 25, 2, 30, tzinfo=Autumn())
    second = first.replace(minute=10, fold=1)  # 40 minutes later
    body = timeseries_body(query(start=first, end=second))
    assert (body["from"], body["to"]) == ("2026-10-25T00:30:00Z", "2026-10-25T01:10:00Z")
    assert len(plan_history(query(start=first, end=second), window=600)) == 4
    with pytest.raises(InvalidArgumentError) as caught:
        query(start=second, end=first)
    assert caught.value.argument == "end"


def test_the_documented_example() -> None:
    series = Series("7b1e4c90", ["power", "voltage"], aggregation="avg", gap_filling=Locf(timedelta(minutes=10)))
    assert timeseries_body(query(series=[series])) == {
        "from": "2026-03-14T00:00:00Z",
        "to": "2026-03-14T06:00:00Z",
        "granularity": "1m",
        "telemetry": [
            {
                "device": "7b1e4c90",
                "attribute": ["power", "voltage"],
                "aggregation": "avg",
                "gap_filling": {"method": "locf", "look_around": "10m"},
            }
        ],
    }


def test_only_what_was_given_is_sent() -> None:
    assert timeseries_body(query())["telemetry"] == [{"device": "d1", "attribute": ["power"]}]
    assert "aggregation" not in timeseries_body(query())
    assert timeseries_body(query(aggregation=Aggregation.MAX))["aggregation"] == "max"


def test_times_are_sent_in_utc_and_durations_as_go_writes_them() -> None:
    start = datetime(2026, 3, 14, 2, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=2)))
    body = timeseries_body(query(start=start, granularity=timedelta(days=1)))
    assert body["from"] == "2026-03-14T00:00:00.250000Z"
    assert body["granularity"] == "24h"


def test_an_aggregation_is_read_in_any_case_and_a_new_one_is_sent_as_it_is() -> None:
    assert Series("d", ["a"], aggregation="AVG").aggregation is Aggregation.AVG
    body = timeseries_body(query(series=[Series("d", ["a"], aggregation="p95")]))
    assert body["telemetry"] == [{"device": "d", "attribute": ["a"], "aggregation": "p95"}]


@pytest.mark.parametrize(
    ("argument", "build"),
    [
        ("start", lambda: query(start=START.replace(tzinfo=None))),
        ("end", lambda: query(end=END.replace(tzinfo=None))),
        ("start", lambda: query(start=1773446400)),
        ("end", lambda: query(end="2026-03-14T06:00:00Z")),
        ("end", lambda: query(end=START - timedelta(seconds=1))),
        ("end", lambda: query(end=START)),
        *(
            ("granularity", lambda value=value: query(granularity=value))
            for value in [0, -1, timedelta(0), timedelta(seconds=-60), 0.5, 1.5, math.nan, math.inf, "1m", None, True]
        ),
        ("series", lambda: query(series=[])),
        ("series", lambda: query(series=Series("d", ["a"]))),
        ("series", lambda: query(series=[{"device": "d", "attribute": "a"}])),
        ("series", lambda: query(series=None)),
        ("aggregation", lambda: query(aggregation="")),
        ("device", lambda: Series("", ["a"])),
        ("device", lambda: Series(" ", ["a"])),
        ("device", lambda: Series(None, ["a"])),
        ("attributes", lambda: Series("d", [])),
        ("attributes", lambda: Series("d", [""])),
        ("attributes", lambda: Series("d", ["a", "a"])),
        ("attributes", lambda: Series("d", "power")),
        ("attributes", lambda: Series("d", None)),
        ("attributes", lambda: Series("d", [1])),
        ("aggregation", lambda: Series("d", ["a"], aggregation="")),
        ("gap_filling", lambda: Series("d", ["a"], gap_filling="locf")),
        ("look_around", lambda: Locf(-1)),
        ("look_around", lambda: Locf(math.nan)),
    ],
)
def test_what_cannot_work_is_refused_and_named(argument: str, build: Callable[[], object]) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        build()
    assert caught.value.argument == argument
    assert str(caught.value).startswith(f"{argument}: ")


def test_iterators_are_taken_once_and_kept() -> None:
    asked = query(series=iter([Series("d", iter(["a", "b"]))]))
    assert asked.series[0].attributes == ("a", "b")
    assert asked == query(series=[Series("d", ("a", "b"))])
    assert pickle.loads(pickle.dumps(asked)) == asked
