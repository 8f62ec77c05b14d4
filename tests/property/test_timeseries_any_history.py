"""Histories of any shape: every row of the span once, whatever the server does at the borders."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from enapter_async._protocol.timeseries.plan import HistoryPart, plan_history
from enapter_async.models.timeseries import Series, Timeseries, TimeseriesQuery

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

queries = st.builds(
    lambda start, length, granularity, devices: TimeseriesQuery(
        start=EPOCH + timedelta(milliseconds=start),
        end=EPOCH + timedelta(milliseconds=start + length),
        granularity=granularity,
        series=[Series(f"d{number}", ["a"]) for number in range(devices)],
    ),
    st.integers(-1_000_000, 1_000_000),
    st.integers(1, 500_000),
    st.integers(1, 60),
    st.integers(1, 5),
)
windows = st.integers(1, 400)


def steps(query: TimeseriesQuery, *, end_counts: bool) -> list[int]:
    """What a server answers: steps since 1970, named by their beginning, that the span touches."""
    step = query.granularity
    first = (query.start - EPOCH) // step
    last = -((EPOCH - query.end) // step) - 1
    if end_counts and (query.end - EPOCH) % step == timedelta(0):
        last += 1
    return [int((number * step).total_seconds()) for number in range(first, last + 1)]


def moments(query: TimeseriesQuery, *, end_counts: bool) -> list[int]:
    """What a server answers that has a row every second."""
    return [
        second
        for second in range(-1001, 1503)
        if query.start <= EPOCH + timedelta(seconds=second) < query.end
        or (end_counts and EPOCH + timedelta(seconds=second) == query.end)
    ]


@given(queries, windows, st.integers(1, 4), st.booleans(), st.sampled_from([steps, moments]))
def test_every_row_comes_once(query: TimeseriesQuery, window: int, size: int, end_counts: bool, server: object) -> None:
    assert callable(server)
    plan = plan_history(query, window=window, devices_per_request=size)
    expected = server(query, end_counts=False)
    delivered: dict[str, list[int]] = {series.device: [] for series in query.series}
    for part in plan:
        assert len(part.query.series) <= size
        answer = part.own_rows(Timeseries(server(part.query, end_counts=end_counts), ()))
        for series in part.query.series:
            delivered[series.device] += answer.unix_seconds
    assert all(rows == expected for rows in delivered.values())


@given(queries, windows, st.data(), st.booleans(), st.sampled_from([steps, moments]))
def test_a_part_that_is_resumed_anywhere_gives_the_same_rows(
    query: TimeseriesQuery, window: int, data: st.DataObject, end_counts: bool, server: object
) -> None:
    assert callable(server)
    plan = plan_history(query, window=window)
    part: HistoryPart | None = plan[data.draw(st.integers(0, len(plan) - 1), "part")]
    assert part is not None
    expected = part.own_rows(Timeseries(server(part.query, end_counts=end_counts), ())).unix_seconds
    delivered: list[int] = []
    while part is not None:
        answer = list(part.own_rows(Timeseries(server(part.query, end_counts=end_counts), ())).unix_seconds)
        if not answer:
            break
        delivered += answer[: data.draw(st.integers(1, len(answer)), "rows before the failure")]
        part = part.after(delivered[-1])
    assert delivered == list(expected)
