"""What an export is asked for: checked at once, kept, and told from another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest

from enapter_async import InvalidArgumentError, StorageError
from enapter_async.exporter import ExportRequest, SelectedDevice
from enapter_async.exporter.request import ExportRecord

NOW = datetime(2026, 3, 14, 9, 26, 53, 589_000, UTC)
REQUEST = ExportRequest(start=timedelta(days=30))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"start": datetime(2026, 3, 14)}, "start: must have a time zone"),  # noqa: DTZ001
        ({"start": 1_714_000_000}, "start: must be a datetime, or a timedelta before now, got 1714000000"),
        ({"end": "now"}, "end: must be a datetime"),
        ({"end": timedelta(-1)}, "end: must not be in the future"),
        ({"granularity": "1m"}, "granularity: must be a timedelta or a number of seconds"),
        ({"window": -1}, "window: must not be negative"),
        ({"devices": "battery-1"}, "devices: must be a list of names, got 'battery-1'"),
        ({"devices": [7]}, "devices: every one must be a name, got 7 (int)"),
        ({"attributes": "power"}, 'attributes: must be "numeric", "all" or a list of names'),
        ({"attributes": []}, "attributes: must have at least one name"),
    ],
)
def test_an_invalid_argument_is_named(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        ExportRequest(**{"start": timedelta(days=1), **arguments})
    assert text in str(caught.value)


def test_times_before_now_are_cut_down_to_whole_steps() -> None:
    request = ExportRequest(start=timedelta(hours=1), granularity=timedelta(minutes=5))
    assert request.resolve(NOW) == (datetime(2026, 3, 14, 8, 25, tzinfo=UTC), datetime(2026, 3, 14, 9, 25, tzinfo=UTC))


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        (timedelta(days=1), timedelta(days=2), "end: must be later than start"),
        (timedelta(days=1), timedelta(days=1), "end: must be later than start"),
        (timedelta(days=900_000), timedelta(0), "start: is before the year 1"),
        (datetime(2027, 1, 1, tzinfo=UTC), timedelta(0), "end: must be later than start"),
    ],
)
def test_a_span_that_cannot_work_is_refused(start: Any, end: Any, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        ExportRequest(start=start, end=end).resolve(NOW)


def question(request: ExportRequest, **more: str) -> dict[str, Any]:
    return {"source": "plant", "format": "csv", **request.to_json(), **more}


RECORD = ExportRecord.make(REQUEST, NOW, [SelectedDevice(f"d{number}", "", {"power": None}) for number in range(25)])


def test_the_second_start_asks_exactly_what_the_first_did() -> None:
    kept = RECORD.to_json(question(REQUEST))
    again = ExportRecord.from_json(kept, REQUEST, question(REQUEST), "h.csv.partial")
    assert list(again.plan) == list(RECORD.plan)
    assert again.units == RECORD.units


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"start": timedelta(days=7)}, "start: h.csv.partial was begun with 30 days, 0:00:00 ago, not with 7 days"),
        ({"end": timedelta(days=1)}, "end: h.csv.partial was begun with now, not with 1 day"),
        ({"granularity": 3600}, "granularity: h.csv.partial was begun with 60, not with 3600"),
        ({"aggregation": "max"}, "aggregation: h.csv.partial was begun with the default, not with max"),
        ({"window": 3600}, "window: h.csv.partial was begun with the default, not with 3600"),
        ({"devices": ["a", "b"]}, "devices: h.csv.partial was begun with all, not with a, b"),
        ({"attributes": ["power"]}, "attributes: h.csv.partial was begun with numeric, not with power"),
        ({"attributes": "all"}, "attributes: h.csv.partial was begun with numeric, not with all"),
    ],
)
def test_another_request_is_told_from_the_first(changes: dict[str, Any], difference: str) -> None:
    kept, other = RECORD.to_json(question(REQUEST)), attrs.evolve(REQUEST, **changes)
    with pytest.raises(InvalidArgumentError) as caught:
        ExportRecord.from_json(kept, other, question(other), "h.csv.partial")
    assert str(caught.value).startswith(difference)


@pytest.mark.parametrize(("name", "value"), [("source", "other"), ("format", "jsonl")])
def test_another_server_or_format_is_told_from_the_first(name: str, value: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{name}: .* not with {value}"):
        ExportRecord.from_json(RECORD.to_json(question(REQUEST)), REQUEST, question(REQUEST, **{name: value}), "folder")


def test_one_moment_in_two_zones_is_one_request() -> None:
    east = timezone(timedelta(hours=2))
    assert ExportRequest(start=datetime(2026, 3, 1, 2, tzinfo=east)) == ExportRequest(
        start=datetime(2026, 3, 1, tzinfo=UTC)
    )


def test_an_export_of_an_older_version_is_refused_with_what_to_do() -> None:
    old = {"version": 1, "asked": {"since": "30d"}, "start": "2026-02-12T09:26:00+00:00", "units": {}}
    with pytest.raises(StorageError, match=r"h.csv.partial: .*another version.*remove the folder to start over"):
        ExportRecord.from_json(old, REQUEST, question(REQUEST), "h.csv.partial")
