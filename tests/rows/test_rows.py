"""One row for every value, and what a row is in each format."""

from __future__ import annotations

import csv
import io
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async import Column, DataType, TimeseriesBatch
from enapter_async.rows import (
    COLUMNS,
    CSV,
    JSON_LINES,
    LINE_PROTOCOL,
    Row,
    format_time,
    make_batch_rows,
    make_row,
    parse_time,
    split_value,
)
from enapter_async.rows.row import clean_text

TIME = 1_773_480_413_000_000
MOMENT = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
ODD_NAMES = st.text(min_size=1).map(clean_text)
ROWS = st.builds(
    make_row,
    ODD_NAMES,
    ODD_NAMES,
    st.datetimes(timezones=st.just(UTC)),
    st.one_of(st.none(), st.floats(), st.booleans(), st.integers(), st.text(), st.lists(st.text())),
    st.none() | ODD_NAMES,
)


@pytest.mark.parametrize(
    ("value", "split"),
    [
        (1.5, (1.5, None)),
        (7, (7.0, None)),
        (True, (1.0, None)),
        (False, (0.0, None)),
        (None, (None, None)),
        (math.nan, (None, "NaN")),
        (math.inf, (None, "Infinity")),
        (-math.inf, (None, "-Infinity")),
        (10**400, (None, "1" + "0" * 400)),
        ("", (None, "")),
        ("on\ngrid", (None, "on\ngrid")),
        (["fault", "ü"], (None, '["fault","ü"]')),
        ({"a": [1, None]}, (None, '{"a":[1,null]}')),
        ([math.nan, {"b": -math.inf}], (None, '["NaN",{"b":"-Infinity"}]')),
        ("\ud800", (None, "\ufffd")),
    ],
)
def test_a_value_is_a_number_or_a_text(value: Any, split: tuple[float | None, str | None]) -> None:
    assert split_value(value) == split
    number, _ = split_value(value)
    assert number is None or type(number) is float


def test_a_value_that_is_nested_too_deeply_is_refused() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ValueError, match="nested too deeply"):
        split_value(value)


def test_a_row_has_microseconds_and_text_that_can_be_encoded() -> None:
    moment = MOMENT + timedelta(microseconds=250)
    assert make_row("d\udfff", "a\ud800b", moment, 1, "\ud83d") == ("d�", "a�b", TIME + 250, 1.0, None, "�")
    assert make_row("d", "😀", TIME, "x") == ("d", "😀", TIME, None, "x", None)


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_survive(moment: datetime) -> None:
    time = make_row("d", "a", moment, 1)[2]
    assert parse_time(format_time(time)) == time
    assert datetime.fromisoformat(format_time(time)) == moment


def test_times_as_text() -> None:
    assert format_time(TIME) == "2026-03-14T09:26:53Z"
    assert format_time(TIME + 5) == "2026-03-14T09:26:53.000005Z"
    assert format_time(-1) == "1969-12-31T23:59:59.999999Z"
    assert parse_time("2026-03-14T10:26:53.5+01:00") == TIME + 500_000
    with pytest.raises(ValueError, match="no time zone"):
        parse_time("2026-03-14T09:26:53")


def test_rows_as_csv() -> None:
    rows: list[Row] = [
        ("d,1", "power", TIME, 1.5, None, "W"),
        ("d1", "mode", TIME, None, 'a "b"\nc', None),
        ("d1", "level", TIME + 250_000, None, None, "%"),
        ("d1", "note", TIME, None, "", None),
    ]
    assert CSV.header == b"device_id,attribute,time,value,text,unit\n"
    assert CSV.encode(rows).decode() == (
        '"d,1",power,2026-03-14T09:26:53Z,1.5,,W\n'
        'd1,mode,2026-03-14T09:26:53Z,,"a ""b""\nc",\n'
        "d1,level,2026-03-14T09:26:53.250000Z,,,%\n"
        'd1,note,2026-03-14T09:26:53Z,,"",\n'
    )


def test_rows_as_json_lines() -> None:
    rows: list[Row] = [("d1", "power", TIME, 1.5, None, "W"), ("d1", 'm"', TIME, None, "a\nü", None)]
    assert JSON_LINES.header == b""
    assert JSON_LINES.encode(rows).decode() == (
        '{"device_id":"d1","attribute":"power","time":"2026-03-14T09:26:53Z","value":1.5,"text":null,"unit":"W"}\n'
        '{"device_id":"d1","attribute":"m\\"","time":"2026-03-14T09:26:53Z","value":null,"text":"a\\nü","unit":null}\n'
    )


@given(st.lists(ROWS, max_size=5))
def test_csv_and_json_lines_give_back_every_row(rows: list[Row]) -> None:
    text = CSV.encode(rows).decode()
    cells = list(csv.reader(io.StringIO(text, newline="")))
    assert [cell[:2] for cell in cells] == [[row[0], row[1]] for row in rows]
    assert [CSV.decode(CSV.encode([row]).decode()) for row in rows] == rows
    lines = JSON_LINES.encode(rows).decode().split("\n")
    assert [JSON_LINES.decode(line) for line in lines[:-1]] == rows
    assert [list(json.loads(line, parse_constant=pytest.fail)) for line in lines[:-1]] == [list(COLUMNS)] * len(rows)


@pytest.mark.parametrize(
    "line",
    ["", "a", "{}", "[]", "d,a,now,1,,", "d,a,2026-03-14T09:26:53Z,x,,", "d,a,2026-03-14T09:26:53Z,1,", '"', "null",
     '{"device_id":1,"attribute":"a","time":"2026-03-14T09:26:53Z","value":1,"text":null,"unit":null}',
     "[" * 100_000],
)  # fmt: skip
def test_a_line_of_something_else_is_no_row(line: str) -> None:
    assert CSV.decode(line) is None
    assert JSON_LINES.decode(line) is None


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (("d1", "power", TIME, 1.5, None, "W"), "telemetry,device_id=d1,attribute=power,unit=W value=1.5"),
        (("d 1", "a,b=c", TIME, 1.0, None, None), r"telemetry,device_id=d\ 1,attribute=a\,b\=c value=1.0"),
        (("d", "a", TIME, None, 'x "\\n"\n', "%"), 'telemetry,device_id=d,attribute=a,unit=% text="x \\"\\\\n\\"\n"'),
        (("d\n", "a\\", TIME, 1e300, None, ""), r"telemetry,device_id=d\n,attribute=a/ value=1e+300"),
        (("d", "a\\,b", TIME, 0.0, None, None), r"telemetry,device_id=d,attribute=a\\,b value=0.0"),
    ],
)  # fmt: skip
def test_rows_as_line_protocol(row: Row, line: str) -> None:
    assert LINE_PROTOCOL.encode([row]).decode() == f"{line} 1773480413000000000\n"


def test_line_protocol_has_no_line_without_a_value() -> None:
    assert LINE_PROTOCOL.encode([("d", "a", TIME, None, None, "W")]) == b""


def test_history_as_rows() -> None:
    batch = TimeseriesBatch(
        [TIME // 1_000_000, TIME // 1_000_000 + 1],
        (
            Column("d1", "power", DataType.FLOAT, {}, [1.5, math.nan]),
            Column("d1", "on", DataType.BOOLEAN, {}, [None, True]),
            Column("d2", "alerts", DataType.STRING_ARRAY, {}, [["a"], None]),
        ),
    )
    assert make_batch_rows(batch, {"d1": {"power": "W"}}) == [
        ("d1", "power", TIME, 1.5, None, "W"),
        ("d2", "alerts", TIME, None, '["a"]', None),
        ("d1", "power", TIME + 1_000_000, None, "NaN", "W"),
        ("d1", "on", TIME + 1_000_000, 1.0, None, None),
    ]
