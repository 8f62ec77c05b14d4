"""Rows as Parquet: one schema, and every reader understands it."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from test_rows import ROWS, TIME

from enapter_async import Column, DataType, TimeseriesBatch
from enapter_async.rows import COLUMNS, Row, make_batch_rows
from enapter_async.rows.parquet import SCHEMA, ParquetWriter, make_batch_table, make_table

SOME: list[Row] = [
    ("d1", "power", TIME, 1.5, None, "W"),
    ("d1", "mode", TIME + 250_000, None, "charging", None),
    ("d2", "level", TIME, None, None, "%"),
    ("d2", "note", TIME, None, "", None),
]


def as_rows(table: pa.Table) -> list[Row]:
    return list(zip(*(table[name].cast(pa.int64()).to_pylist() if name == "time" else table[name].to_pylist()
                      for name in COLUMNS), strict=True))  # fmt: skip


def written(*tables: pa.Table, rows_in_group: int = 7) -> bytes:
    file = io.BytesIO()
    writer = ParquetWriter(file, rows_in_group)
    for table in tables:
        writer.write(table)
    writer.close()
    return file.getvalue()


def test_the_schema() -> None:
    assert SCHEMA.names == list(COLUMNS)
    assert [str(field.type) for field in SCHEMA] == [
        "string", "string", "timestamp[us, tz=UTC]", "double", "string", "string",
    ]  # fmt: skip


@given(st.lists(ROWS, max_size=5))
def test_a_table_gives_back_every_row(rows: list[Row]) -> None:
    assert as_rows(make_table(rows)) == rows
    assert as_rows(parquet.read_table(io.BytesIO(written(make_table(rows))))) == rows


@given(st.lists(st.integers(1, 30), max_size=6))
def test_the_same_rows_are_the_same_bytes_however_they_come(sizes: list[int]) -> None:
    rows: list[Row] = [("d", "a", TIME + number, float(number), None, "W") for number in range(sum(sizes))]
    pieces, start = [], 0
    for size in sizes:
        pieces.append(make_table(rows[start : start + size]))
        start += size
    assert written(*pieces) == written(make_table(rows))


@pytest.mark.parametrize(
    ("data_type", "values"),
    [
        (DataType.FLOAT, [1.5, None, math.nan, math.inf, -math.inf]),
        (DataType.FLOAT, [0.1, None, -1e300]),
        (DataType.INTEGER, [2**53 + 1, None, 0]),
        (DataType.INTEGER, [10**400, 7]),
        (DataType.BOOLEAN, [True, False, None]),
        (DataType.STRING, ["", None, "\ud800", "NaN"]),
        (DataType.STRING_ARRAY, [["a", "ü"], [], None]),
        (DataType("other"), ["x", None]),
        (DataType.FLOAT, [None, None]),
    ],
)
def test_history_becomes_the_same_rows_as_a_table(data_type: DataType, values: list[Any]) -> None:
    seconds = range(1_773_480_413, 1_773_480_413 + len(values))
    columns = (
        Column("d1", "power", data_type, {}, values),
        Column("d\ud800", "level", DataType.FLOAT, {}, [float(second) for second in seconds]),
    )
    batch = TimeseriesBatch(seconds, columns)
    units = {"d1": {"power": "k\ud800W"}}
    assert as_rows(make_batch_table(batch, units)) == make_batch_rows(batch, units)


def test_nothing_is_a_file_too() -> None:
    assert as_rows(parquet.read_table(io.BytesIO(written()))) == []
    assert as_rows(make_batch_table(TimeseriesBatch([], ()), {})) == []
    assert as_rows(make_table([])) == []


def test_pandas_pyarrow_polars_and_duckdb_read_a_folder(tmp_path: Path) -> None:
    (tmp_path / "1.parquet").write_bytes(written(make_table(SOME)))
    (tmp_path / "2.parquet").write_bytes(written(make_table(SOME[:1])))
    texts = sorted(str(row[4]) for row in [*SOME, SOME[0]])
    assert sorted(map(str, ds.dataset(tmp_path).to_table()["text"].to_pylist())) == texts
    frame = pd.read_parquet(tmp_path)
    assert sorted(str(text if isinstance(text, str) else None) for text in frame["text"]) == texts
    assert frame["time"].dt.tz is not None
    polars = pl.scan_parquet(tmp_path).collect()
    assert sorted(map(str, polars["text"].to_list())) == texts
    assert polars.schema["time"] == pl.Datetime("us", "UTC")
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT text, epoch_us(time) FROM '{tmp_path}/*.parquet'").fetchall()
    assert sorted(str(text) for text, _ in found) == texts
    assert {time for _, time in found} == {TIME, TIME + 250_000}
