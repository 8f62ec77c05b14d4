"""Rows as bytes: every value as it was, and the same bytes however the answer was cut."""

from __future__ import annotations

import csv
import io
import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import enapter_async.rows.parquet as rows_parquet
from enapter_async import Column, DataType, InvalidArgumentError, TimeseriesBatch
from enapter_async.exporter._formats import FORMATS, get_format, guess_format

UNITS = {"pump": {"power": "W", "note": None, 'odd, "name"': 'W, "peak"'}}
MOMENTS = [1_773_482_400 + 60 * number for number in range(4)]


def batch(**columns: tuple[DataType, list[Any]]) -> TimeseriesBatch:
    made = [Column("pump", name, data_type, {}, values) for name, (data_type, values) in columns.items()]
    return TimeseriesBatch(MOMENTS[: len(made[0])], tuple(made))


def written(name: str, *batches: TimeseriesBatch, units: Any = UNITS) -> bytes:
    form, file = get_format(name), io.BytesIO()
    writer = form.begin_part(file, units)
    for one in batches:
        writer.write(one)
    writer.close()
    return file.getvalue()


def joined(name: str, folder: Path, *parts: bytes) -> bytes:
    paths = [folder / f"part-{number}" for number in range(len(parts))]
    for path, part in zip(paths, parts, strict=True):
        path.write_bytes(part)
    file = io.BytesIO()
    get_format(name).join_parts(paths, file, lambda: None)
    return file.getvalue()


def test_csv_quotes_what_needs_it() -> None:
    odd = [None, "a,b", 'say "hi"\nthere', " "]
    made = batch(**{'odd, "name"': (DataType.STRING, odd)})
    rows = list(csv.reader(io.StringIO(written("csv", made).decode(), newline="")))
    assert [row[4] for row in rows] == odd[1:]
    assert {(row[1], row[3], row[5]) for row in rows} == {('odd, "name"', "", 'W, "peak"')}


@pytest.mark.parametrize(
    ("data_type", "values", "texts"),
    [
        (DataType.FLOAT, [0.1, None, -1e300, 5e-324], ["0.1,", "-1e+300,", "5e-324,"]),
        (DataType.FLOAT, [math.nan, math.inf, -math.inf], [",NaN", ",Infinity", ",-Infinity"]),
        (DataType.INTEGER, [2**53 + 1, 0, None], ["9007199254740992.0,", "0.0,"]),
        (DataType.BOOLEAN, [True, False, None], ["1.0,", "0.0,"]),
        (DataType.STRING_ARRAY, [["a", "ü"], [], None], [',"[""a"",""ü""]"', ",[]"]),
        (DataType("other"), ["x", None], [",x"]),
    ],
)
def test_values_as_csv(data_type: DataType, values: list[Any], texts: list[str]) -> None:
    lines = written("csv", batch(power=(data_type, values))).decode().splitlines()
    assert [line.split(",", 3)[3].removesuffix(",W") for line in lines] == texts


def test_values_as_json_lines() -> None:
    made = batch(
        power=(DataType.FLOAT, [1.5, math.nan, math.inf, -math.inf]), note=(DataType.STRING, ['ü"', None, None, None])
    )
    lines = [json.loads(line, parse_constant=pytest.fail) for line in written("jsonl", made).splitlines()]
    assert lines[0] == {
        "device_id": "pump",
        "attribute": "power",
        "time": "2026-03-14T10:00:00Z",
        "value": 1.5,
        "text": None,
        "unit": "W",
    }
    assert lines[1] == {
        "device_id": "pump",
        "attribute": "note",
        "time": "2026-03-14T10:00:00Z",
        "value": None,
        "text": 'ü"',
        "unit": None,
    }
    assert [(line["value"], line["text"]) for line in lines[2:]] == [
        (None, "NaN"),
        (None, "Infinity"),
        (None, "-Infinity"),
    ]


def test_values_as_parquet(tmp_path: Path) -> None:
    made = batch(
        power=(DataType.FLOAT, [1.5, math.nan, None, math.inf]),
        count=(DataType.INTEGER, [3, None, None, -1]),
        on=(DataType.BOOLEAN, [True, False, None, None]),
        alerts=(DataType.STRING_ARRAY, [["a"], None, [], None]),
    )
    path = tmp_path / "history.parquet"
    path.write_bytes(joined("parquet", tmp_path, written("parquet", made)))
    table = parquet.read_table(path)
    assert [str(field.type) for field in table.schema] == [
        "string",
        "string",
        "timestamp[us, tz=UTC]",
        "double",
        "string",
        "string",
    ]
    rows = [(row["time"].minute, row["attribute"], row["value"], row["text"], row["unit"]) for row in table.to_pylist()]
    assert str(rows) == str(
        [
            (0, "power", 1.5, None, "W"),
            (0, "count", 3.0, None, None),
            (0, "on", 1.0, None, None),
            (0, "alerts", None, '["a"]', None),
            (1, "power", None, "NaN", "W"),
            (1, "on", 0.0, None, None),
            (2, "alerts", None, "[]", None),
            (3, "power", None, "Infinity", "W"),
            (3, "count", -1.0, None, None),
        ]
    )


@pytest.mark.parametrize("name", FORMATS)
@given(
    cells=st.lists(
        st.tuples(st.none() | st.floats(), st.none() | st.text(min_size=1, max_size=3)), min_size=1, max_size=40
    ),
    cuts=st.sets(st.integers(1, 39)),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_rows_are_the_same_bytes_however_they_were_cut(
    name: str,
    cells: list[tuple[float | None, str | None]],
    cuts: set[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rows_parquet, "_ROWS_IN_GROUP", 7)
    power, note = (list(column) for column in zip(*cells, strict=True))
    columns = (Column("pump", "power", DataType.FLOAT, {}, power), Column("pump", "note", DataType.STRING, {}, note))
    whole = TimeseriesBatch(range(len(cells)), columns)
    places = [0, *sorted(cut for cut in cuts if cut < len(cells)), len(cells)]
    pieces = [whole.slice(start, stop) for start, stop in pairwise(places)]
    expected = joined(name, tmp_path, written(name, whole))
    assert joined(name, tmp_path, written(name, *pieces)) == expected
    assert joined(name, tmp_path, *(written(name, piece) for piece in pieces)) == expected


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_a_file_too(name: str, tmp_path: Path) -> None:
    content = joined(name, tmp_path, written(name), written(name))
    if name == "csv":
        assert content == b"device_id,attribute,time,value,text,unit\n"
    elif name == "jsonl":
        assert content == b""
    else:
        assert parquet.ParquetFile(io.BytesIO(content)).metadata.num_rows == 0


def test_the_name_of_a_file_tells_its_format() -> None:
    names = ("a.csv", "a.JSONL", "a.ndjson", "a.parquet", "a", "a.txt")
    assert [guess_format(Path(name)) for name in names] == ["csv", "jsonl", "jsonl", "parquet", None, None]


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="file_format: must be one of csv, jsonl, parquet, got 'xml'"):
        get_format("xml")
