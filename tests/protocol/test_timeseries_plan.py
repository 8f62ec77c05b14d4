"""Long histories: windows and groups that leave nothing out and give nothing twice."""

from __future__ import annotations

import math
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from enapter_async._protocol.timeseries.plan import HistoryPart, plan_history
from enapter_async.errors import InvalidArgumentError
from enapter_async.models.timeseries import Series, Timeseries, TimeseriesQuery

DAY = timedelta(days=1)
START = datetime(2026, 3, 14, tzinfo=UTC)


def query(
    days: float = 3, devices: int = 1, start: datetime = START, granularity: float | timedelta = 60
) -> TimeseriesQuery:
    return TimeseriesQuery(
        start=start,
        end=start + timedelta(days=days),
        granularity=granularity,
        series=[Series(f"d{number}", ["power"]) for number in range(devices)],
    )


def spans(parts: Any) -> list[tuple[datetime, datetime]]:
    return [(part.query.start, part.query.end) for part in parts]


def rows(*moments: int) -> Timeseries:
    return Timeseries(list(moments), ())


def test_windows_are_cut_at_multiples_of_their_length() -> None:
    morning = START + timedelta(hours=7)
    plan = plan_history(query(2, start=morning), window=DAY)
    assert spans(plan) == [
        (morning, START + DAY),
        (START + DAY, START + 2 * DAY),
        (START + 2 * DAY, morning + 2 * DAY),
    ]
    assert [part.index for part in plan] == [0, 1, 2]


def test_a_window_is_raised_to_whole_steps() -> None:
    plan = plan_history(query(1, granularity=timedelta(hours=7)), window=timedelta(hours=8))
    assert plan.window == timedelta(hours=14)
    for part in plan[1:]:
        assert part.first % (7 * 3600) == 0


def test_without_a_window_ten_thousand_steps_are_asked_at_once() -> None:
    assert plan_history(query(granularity=1)).window == timedelta(seconds=10_000)
    assert plan_history(query(granularity=60)).window == timedelta(seconds=600_000)


def test_devices_are_grouped_and_all_series_of_a_device_go_together() -> None:
    series = [Series("a", ["x"]), Series("b", ["x"]), Series("a", ["y"], aggregation="max"), Series("c", ["x"])]
    asked = TimeseriesQuery(start=START, end=START + DAY, granularity=60, series=series)
    plan = plan_history(asked, window=DAY, devices_per_request=2)
    assert [part.query.series for part in plan] == [(series[0], series[2], series[1]), (series[3],)]
    assert len(plan_history(query(1, devices=25), window=DAY)) == 3


def wide(*series: Series) -> TimeseriesQuery:
    return TimeseriesQuery(start=START, end=START + DAY, granularity=60, series=series)


def names(first: int, before: int) -> list[str]:
    return [f"a{number}" for number in range(first, before)]


def test_a_request_has_at_most_a_hundred_columns() -> None:
    plan = plan_history(wide(*(Series(f"d{number}", names(0, 30)) for number in range(7))), window=DAY)
    assert [[one.device for one in part.query.series] for part in plan] == [
        ["d0", "d1", "d2"],
        ["d3", "d4", "d5"],
        ["d6"],
    ]


def test_a_device_with_more_columns_than_a_request_takes_several() -> None:
    first = Series("d", names(0, 150), aggregation="max")
    second = Series("d", names(0, 60), aggregation="min")
    plan = plan_history(wide(Series("c", ["x"]), first, second), window=DAY)
    assert [part.query.series for part in plan] == [
        (Series("c", ["x"]),),
        (Series("d", names(0, 100), aggregation="max"),),
        (Series("d", names(100, 150), aggregation="max"), Series("d", names(0, 50), aggregation="min")),
        (Series("d", names(50, 60), aggregation="min"),),
    ]


def test_exactly_a_hundred_columns_are_one_request() -> None:
    assert len(plan_history(wide(Series("d", names(0, 100))), window=DAY)) == 1
    assert len(plan_history(wide(Series("d", names(0, 101))), window=DAY)) == 2


def test_all_groups_of_a_window_come_before_the_next_window() -> None:
    plan = plan_history(query(2, devices=3), window=DAY, devices_per_request=2)
    assert [(part.query.start, part.query.series[0].device) for part in plan] == [
        (START, "d0"),
        (START, "d2"),
        (START + DAY, "d0"),
        (START + DAY, "d2"),
    ]


def test_a_plan_of_a_million_parts_costs_nothing_until_it_is_asked() -> None:
    plan = plan_history(query(365, devices=30_000), window=DAY)
    assert len(plan) == 365 * 3000
    last = plan[-1]
    assert last.index == 365 * 3000 - 1
    assert last.query.end == START + timedelta(days=365)
    assert last.query.series[-1].device == "d29999"
    with pytest.raises(IndexError):
        plan[len(plan)]


def test_parts_are_picklable_and_stand_for_themselves() -> None:
    plan = plan_history(query(devices=3), window=DAY)
    again = pickle.loads(pickle.dumps(plan))
    assert again == plan
    assert list(again) == list(plan)
    assert pickle.loads(pickle.dumps(plan[1])) == plan[1]


def test_a_part_keeps_the_rows_of_its_window_only() -> None:
    part = plan_history(query(), window=DAY)[1]
    begin = int((START + DAY).timestamp())
    assert (part.first, part.before) == (begin, begin + 86_400)
    answer = rows(begin - 60, begin, begin + 60, begin + 86_340, begin + 86_400)
    assert part.own_rows(answer).unix_seconds == [begin, begin + 60, begin + 86_340]
    whole = rows(begin, begin + 60)
    assert part.own_rows(whole) is whole


def test_the_first_part_keeps_the_step_that_holds_the_start() -> None:
    start = START + timedelta(seconds=90, microseconds=500)
    first, second = plan_history(query(1, start=start), window=DAY)
    midnight = int(START.timestamp())
    assert first.first == midnight + 60
    assert first.query.start == start
    assert second.before == midnight + 86_400 + 91  # the end is half a millisecond after :90


def part() -> HistoryPart:
    return plan_history(query(), window=DAY)[1]


def test_what_is_left_of_a_part_goes_on_after_the_last_row() -> None:
    whole = part()
    rest = whole.after(whole.first + 600)
    assert rest is not None
    assert rest.query.start == whole.query.start + timedelta(seconds=600)
    assert (rest.query.end, rest.before, rest.index) == (whole.query.end, whole.before, whole.index)
    answer = rows(whole.first + 600, whole.first + 660)
    assert rest.own_rows(answer).unix_seconds == [whole.first + 660]


def test_nothing_delivered_leaves_the_whole_part_and_everything_leaves_none() -> None:
    whole = part()
    assert whole.after(whole.first - 1) is whole
    assert whole.after(whole.before - 1) is None
    left = whole.after(whole.before - 2)
    assert left is not None
    assert left.query.start < left.query.end


def test_a_rest_never_asks_from_before_the_start() -> None:
    first = plan_history(query(1, start=START + timedelta(seconds=90)), window=DAY)[0]
    rest = first.after(first.first)  # the step that holds the start: named before it
    assert rest is not None
    assert rest.query.start == first.query.start


@pytest.mark.parametrize(
    ("argument", "changes"),
    [
        ("window", {"window": 0}),
        ("window", {"window": -DAY}),
        ("window", {"window": math.inf}),
        ("window", {"window": "1d"}),
        ("devices_per_request", {"devices_per_request": 0}),
        ("devices_per_request", {"devices_per_request": True}),
    ],
)
def test_what_cannot_work_is_refused_and_named(argument: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        plan_history(query(), **changes)
    assert caught.value.argument == argument
