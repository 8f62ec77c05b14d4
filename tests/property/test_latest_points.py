"""Latest values are read in three places, which agree: for one point, for a whole answer, and for a watch."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enapter_async._protocol.decoding.converter import structure
from enapter_async._streaming.latest_reader import LatestReader
from enapter_async.errors import SchemaError
from enapter_async.models.common import JSON
from enapter_async.models.telemetry import LatestPoint
from enapter_async.models.watch import ValueMissing, ValueUnreadable, WatchEvent

VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3) | st.just(["a"])
# Few different ones, and such that Python takes for the same: a point may follow another one of the same time.
TIMES = st.sampled_from(
    [0, 1, 1.0, True, False, 1773482399, 1773482399.0, "1", "2026-03-14T09:26:53Z", -1, 10**18, None]
)
FIELDS = {"value": VALUES, "timestamp": TIMES | VALUES}
POINTS: st.SearchStrategy[Any] = (
    st.fixed_dictionaries(FIELDS)
    | st.fixed_dictionaries({}, optional={**FIELDS, "warning": st.none() | st.text(max_size=3) | VALUES, "new": VALUES})
    | VALUES
)
DEVICES = st.dictionaries(st.sampled_from("abcdef"), POINTS, max_size=6)
ANSWERS = st.dictionaries(st.sampled_from(["d1", "d2"]), st.none() | DEVICES, max_size=2)
REPORTS = (ValueMissing, ValueUnreadable)


def alone(point: JSON) -> LatestPoint | SchemaError:
    """Read one point by itself: the truth that the others are held against."""
    try:
        return structure(point, LatestPoint)
    except SchemaError as error:
        return error


@given(points=DEVICES)
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_points_of_an_answer_are_what_each_is_alone(points: dict[str, Any]) -> None:
    expected = {name: alone(point) for name, point in points.items() if point is not None}
    wrong = [(name, error) for name, error in expected.items() if isinstance(error, SchemaError)]
    if not wrong:
        found = structure(points, dict[str, LatestPoint])
        assert repr(found) == repr(expected)
        assert all(type(point) is LatestPoint for point in found.values())
        return
    with pytest.raises(SchemaError) as caught:
        structure(points, dict[str, LatestPoint], at="telemetry")
    name, error = wrong[0]
    assert caught.value.path == f"telemetry.{name}" + (f".{error.path}" if error.path else "")
    assert str(error).rpartition(": ")[2] == str(caught.value).rpartition(": ")[2]


@given(answers=st.lists(ANSWERS, min_size=1, max_size=3))
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_watch_reads_what_each_point_is_alone(answers: list[dict[str, dict[str, Any] | None]]) -> None:
    """Once for each time: and what has a warning, or cannot be read, is reported and costs itself only."""
    events: list[WatchEvent] = []
    reader = LatestReader(events.append)
    seen: set[tuple[str, str, datetime]] = set()
    for answer in answers:
        expected: list[tuple[str, str, datetime, JSON]] = []
        told: list[tuple[str, str]] = []
        for device, points in answer.items():
            for name, wire in (points or {}).items():
                if wire is None:  # counts as absent
                    told.append((device, name))
                    continue
                point = alone(wire)
                if isinstance(point, SchemaError):
                    told.append((device, name))
                    continue
                if point.warning is not None:
                    told.append((device, name))
                if point.timestamp is not None and (device, name, point.timestamp) not in seen:
                    seen.add((device, name, point.timestamp))
                    expected.append((device, name, point.timestamp, point.value))
        events.clear()
        assert repr(reader.read(answer, late=False)) == repr(expected)
        # What was reported before, for the same reason, is not reported again.
        assert {(event.device, event.attribute) for event in events if isinstance(event, REPORTS)} <= set(told)


def test_null_is_absent_for_a_watch_too() -> None:
    events: list[WatchEvent] = []
    reader = LatestReader(events.append)
    assert reader.read({"d1": {"power": None}, "d2": None}, late=False) == []
    assert events == [ValueMissing(device="d1", attribute="power", warning="not found in the server's response")]


@pytest.mark.parametrize("twice", [True, 1.0])
def test_a_time_that_only_python_takes_for_a_known_one_is_looked_at(twice: JSON) -> None:
    events: list[WatchEvent] = []
    reader = LatestReader(events.append)
    second = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert reader.read({"d": {"a": {"value": 5, "timestamp": 1}}}, late=False) == [("d", "a", second, 5)]
    found = reader.read({"d": {"b": {"value": 6, "timestamp": twice}}}, late=False)
    assert found == ([] if twice is True else [("d", "b", second, 6)])
    assert len(events) == (twice is True)
