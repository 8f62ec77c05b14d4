"""`enapter-async collect` into lines and Parquet: whole datapoints only, each once, whatever ended the last run."""

from __future__ import annotations

import csv
import errno
import io
import json
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from enapter_async import StorageError
from enapter_async.collector import FORMATS, SUFFIXES, Gap, GapNotingStore, make_store
from enapter_async.collector.stores.lines import LineFile
from enapter_async.collector.stores.parquet import ParquetFolder
from enapter_async.rows import CSV, JSON_LINES, ReadableLineFormat, Row, parse_time, to_microseconds
from tests.cli.commands import Ended, begin, end, figure, run

BOTH = [pytest.param(CSV, id="csv"), pytest.param(JSON_LINES, id="jsonl")]

FILE_FORMATS = sorted(set(FORMATS) - {"postgres", "influx"})  # a database, and a pipe


def made(first: int, count: int, day: int = 14) -> list[Row]:
    start = parse_time(f"2026-03-{day}T09:00:00Z")
    return [("d1", "power", start + n * 1_000_000, n + 0.5, None, "W") for n in range(first, first + count)]


def read_lines(path: Path) -> list[Row]:
    """Read a file as anybody would; every line must be whole."""
    text = path.read_bytes().decode()
    assert text.endswith("\n")
    if path.suffix == ".csv":
        found: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(text, newline="")))
    else:
        found = [json.loads(line) for line in text.splitlines()]
    return [
        (
            one["device_id"],
            one["attribute"],
            parse_time(one["time"]),
            None if one["value"] in (None, "") else float(one["value"]),
            one["text"] or None,
            one["unit"] or None,
        )
        for one in found
    ]


def read_parquet(folder: Path) -> list[Row]:
    """Read what can be seen in a folder."""
    return [
        (one["device_id"], one["attribute"], to_microseconds(one["time"]), one["value"], one["text"], one["unit"])
        for path in sorted(folder.iterdir())
        for one in pq.read_table(path).to_pylist()
    ]


# -- lines -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", BOTH)
def test_a_file_is_continued_and_what_is_in_it_is_not_written_again(tmp_path: Path, form: ReadableLineFormat) -> None:
    path = tmp_path / ("a.csv" if form is CSV else "a.jsonl")
    first = LineFile(path, form)
    assert first.write(made(0, 10)) == 10
    first.close()
    second = LineFile(path, form)
    assert second.write(made(8, 4)) == 2
    assert second.write(made(12, 3)) == 3
    second.close()
    assert second.torn == 0
    assert read_lines(path) == made(0, 15)


@pytest.mark.parametrize("form", BOTH)
def test_a_write_cut_at_any_byte_leaves_whole_lines_and_is_gone_on_with(
    tmp_path: Path, form: ReadableLineFormat
) -> None:
    path = tmp_path / ("a.csv" if form is CSV else "a.jsonl")
    storage = LineFile(path, form)
    storage.write(made(0, 4))
    storage.close()
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        again = LineFile(path, form)
        lines = whole[:size].count(b"\n") - bool(form.header and size >= len(form.header))
        assert again.write(made(0, 4)) == 4 - lines
        again.close()
        assert path.read_bytes() == whole, f"cut at byte {size}"


@pytest.mark.parametrize("form", BOTH)
@pytest.mark.parametrize("content", [b"my thesis", b"a,b\n1,2\n", b'{"a": 1}\n', b"\x00\xff\n" * 10])
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, form: ReadableLineFormat, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(StorageError, match="contains something else"):
        LineFile(path, form)
    assert path.read_bytes() == content


@pytest.mark.parametrize("form", BOTH)
def test_a_disk_that_is_full_leaves_whole_lines(tmp_path: Path, form: ReadableLineFormat) -> None:
    path = tmp_path / ("a.csv" if form is CSV else "a.jsonl")
    storage = LineFile(path, form)
    storage.write(made(0, 3))
    room = iter([70])
    file = storage._file
    write = file.write

    class Full:
        """Takes 70 bytes more."""

        def __getattr__(self, name: str) -> Any:
            return getattr(file, name)

        def write(self, data: memoryview) -> int:
            for most in room:
                return write(data[:most])
            raise OSError(errno.ENOSPC, "No space left on device")

    storage._file = Full()  # type: ignore[assignment]
    with pytest.raises(StorageError, match="No space left on device"):
        storage.write(made(3, 5))
    storage._file = file
    assert read_lines(path) == made(0, 3)
    storage.write(made(3, 5))
    storage.close()
    assert read_lines(path) == made(0, 8)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["csv", "jsonl", "parquet"])
async def test_two_collectors_do_not_share_a_file(tmp_path: Path, name: str) -> None:
    async with make_store(tmp_path / "a", name):
        with pytest.raises(StorageError, match="another process collects into"):
            await make_store(tmp_path / "a", name).__aenter__()
    async with make_store(tmp_path / "a", name):
        pass


@pytest.mark.anyio
@pytest.mark.parametrize("name", FILE_FORMATS)
async def test_a_path_that_cannot_be_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot be opened"):
        await make_store(tmp_path / "file" / "a", name).__aenter__()


@pytest.mark.parametrize("form", BOTH)
@pytest.mark.parametrize("rotate", ["remove", "rename", "truncate", "replace"])
def test_a_file_that_is_taken_away_is_opened_again(tmp_path: Path, form: ReadableLineFormat, rotate: str) -> None:
    path = tmp_path / ("a.csv" if form is CSV else "a.jsonl")
    file = LineFile(path, form)
    file.write(made(0, 5))
    match rotate:
        case "remove":
            path.unlink()
        case "rename":
            path.rename(tmp_path / "a.1")
        case "truncate":  # logrotate's copytruncate
            (tmp_path / "a.1").write_bytes(path.read_bytes())
            path.write_bytes(b"")
        case _:
            path.rename(tmp_path / "a.1")
            path.write_bytes(b"")
    assert file.write(made(5, 5)) == 5
    file.close()
    assert read_lines(path) == made(5, 5)


@pytest.mark.parametrize("form", BOTH)
def test_text_of_any_kind_is_one_row(tmp_path: Path, form: ReadableLineFormat) -> None:
    path = tmp_path / ("a.csv" if form is CSV else "a.jsonl")
    odd: list[Row] = [
        ("d,1", "note", 1_000_000, None, 'first line\nsecond "line"', None),
        ("d1", "note", 2_000_000, None, '["a"]', '"%"'),
        ("d1", "note", 3_000_000, None, "\r\n", None),
    ]
    for size in (1, 2, 3):
        file = LineFile(path, form)
        assert file.write(odd[:size]) == 1
        file.close()
    assert read_lines(path) == odd


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["csv", "jsonl", "parquet"])
async def test_gaps_are_noted_beside_the_output(tmp_path: Path, name: str) -> None:
    async with make_store(tmp_path / "a", name) as store:
        await store.write(made(0, 5))
    async with make_store(tmp_path / "a", name) as store:
        assert isinstance(store, GapNotingStore)
        assert await store.read_newest(["d1"], made(9, 1)[0][2]) == {"d1": made(4, 1)[0][2]}
        await store.note_gaps([Gap(device_id="d1", start=0, before=1_500_000, reason="test")])
    assert json.loads((tmp_path / "a.gaps.jsonl").read_text()) == {
        "device_id": "d1",
        "start": "1970-01-01T00:00:00Z",
        "before": "1970-01-01T00:00:01.500000Z",
        "reason": "test",
    }


@pytest.mark.parametrize("form", BOTH)
def test_a_file_of_an_earlier_version_is_rewritten(tmp_path: Path, form: ReadableLineFormat) -> None:
    path = tmp_path / ("a.csv" if form is CSV else "a.jsonl")
    if form is CSV:
        path.write_text(
            "time,device_id,attribute,value,unit\n2026-03-14T09:00:00Z,d1,power,0.5,W\n"
            "2026-03-14T09:00:01Z,d1,power,inf,\n2026-03-14T09:00:02Z,d1,pow"
        )
    else:
        path.write_text(
            '{"time":"2026-03-14T09:00:00Z","device_id":"d1","attribute":"power","value":0.5,"unit":"W"}\n'
            '{"time":"2026-03-14T09:00:01Z","device_id":"d1","attribute":"power","value":"Infinity","unit":null}\n'
            '{"time":"2026-03-14T09:00:02Z","dev'
        )
    file = LineFile(path, form)
    assert file.write(made(0, 3)) == 1
    file.close()
    (first, second, third) = read_lines(path)
    assert (first, second[3:], third) == (made(0, 1)[0], (None, "Infinity", None), made(2, 1)[0])


def test_a_folder_of_an_earlier_version_is_rewritten(tmp_path: Path) -> None:
    schema = pa.schema(
        [
            pa.field("time", pa.timestamp("us", "UTC"), nullable=False),
            pa.field("device_id", pa.string(), nullable=False),
            pa.field("attribute", pa.string(), nullable=False),
            pa.field("value", pa.float64()),
            pa.field("unit", pa.string()),
        ]
    )
    folder = tmp_path / "p"
    folder.mkdir()
    row = made(0, 1)[0]
    table = pa.table([[row[2]], [row[0]], [row[1]], [row[3]], [row[5]]], schema=schema)
    pq.write_table(table, folder / "2026-03-14.000001.parquet")
    (folder / ".2026-03-14.000002.csv").write_text(
        "time,device_id,attribute,value,unit\n2026-03-14T09:00:01Z,d1,power,1.5,W\n"
    )
    (folder / ".lock").touch()
    store = ParquetFolder(folder)
    assert store.write(made(0, 3)) == 1
    store.close()
    assert read_parquet(folder) == made(0, 3)


# -- Parquet ---------------------------------------------------------------------------------------------------


def killed(storage: ParquetFolder) -> None:
    """Leave a storage as a kill does: nothing is completed, and the system takes the locks back."""
    for day in storage._days.values():
        day.lines._file.close()
    storage._lock.close()


NO_ROWS = "no-rows-yet.parquet"
"""What is in a folder until there is a file with rows."""


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def unfinished_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.unfinished")


def hidden(folder: Path) -> list[str]:
    unfinished = unfinished_of(folder)
    return sorted(path.name for path in unfinished.iterdir() if path.name != "lock") if unfinished.exists() else []


def test_a_parquet_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    storage = ParquetFolder(tmp_path / "p")
    storage.write(made(0, 10))
    assert visible(tmp_path / "p") == [NO_ROWS]
    storage.close()
    assert visible(tmp_path / "p") == ["2026-03-14.000001.parquet"]
    assert hidden(tmp_path / "p") == []
    assert read_parquet(tmp_path / "p") == made(0, 10)
    schema = pq.read_schema(tmp_path / "p" / "2026-03-14.000001.parquet")
    assert [str(field.type) for field in schema] == [
        "string",
        "string",
        "timestamp[us, tz=UTC]",
        "double",
        "string",
        "string",
    ]


def test_values_and_names_of_any_kind_survive(tmp_path: Path) -> None:
    odd: list[Row] = [
        ("d,1", 'po"wer', 1_250_000, None, None, None),
        ("1", "2", 2_000_000, None, "-Infinity", "°C"),
        ("NA", "null", 3_000_000, 1e300, None, "NaN"),
        ("true", "1.50", 4_000_000, None, "two\nlines", None),
    ]
    storage = ParquetFolder(tmp_path / "p")
    storage.write(odd)
    storage.close()
    assert read_parquet(tmp_path / "p") == odd


def test_files_are_rolled_by_size_and_by_day(tmp_path: Path) -> None:
    now = [0.0]
    storage = ParquetFolder(tmp_path / "p", most_bytes=400, clock=lambda: now[0])
    for n in range(25):
        storage.write(made(n, 1))
    assert visible(tmp_path / "p") == ["2026-03-14.000001.parquet", "2026-03-14.000002.parquet"]
    storage.write(made(0, 3, day=15))
    storage.write(made(25, 1))  # a device was late
    assert len(hidden(tmp_path / "p")) == 2
    now[0] = 61.0
    storage.write(made(3, 1, day=15))
    assert visible(tmp_path / "p")[-1] == "2026-03-14.000003.parquet"
    assert hidden(tmp_path / "p") == ["2026-03-15.000001.csv"]
    storage.close()
    assert visible(tmp_path / "p")[3:] == ["2026-03-15.000001.parquet"]
    assert read_parquet(tmp_path / "p") == made(0, 26) + made(0, 4, day=15)


def test_what_was_killed_goes_on_without_a_loss_or_a_duplicate(tmp_path: Path) -> None:
    storage = ParquetFolder(tmp_path / "p", most_bytes=400)
    storage.write(made(0, 5))
    killed(storage)
    lines = unfinished_of(tmp_path / "p") / "2026-03-14.000001.csv"
    lines.write_bytes(lines.read_bytes()[:-3])
    (unfinished_of(tmp_path / "p") / "2026-03-14.000001.parquet.tmp").write_bytes(b"PAR1 half")
    again = ParquetFolder(tmp_path / "p", most_bytes=400)
    assert again.write(made(3, 4)) == 3
    again.close()
    assert read_parquet(tmp_path / "p") == made(0, 7)
    assert hidden(tmp_path / "p") == []
    assert visible(tmp_path / "p") == ["2026-03-14.000001.parquet"]


def test_a_kill_between_the_two_names_of_the_same_rows_doubles_nothing(tmp_path: Path) -> None:
    storage = ParquetFolder(tmp_path / "p")
    storage.write(made(0, 5))
    lines = unfinished_of(tmp_path / "p") / "2026-03-14.000001.csv"
    data = lines.read_bytes()
    storage.close()
    lines.parent.mkdir(exist_ok=True)
    lines.write_bytes(data)
    again = ParquetFolder(tmp_path / "p")
    assert again.write(made(4, 2)) == 1
    again.close()
    assert read_parquet(tmp_path / "p") == made(0, 6)
    assert visible(tmp_path / "p") == ["2026-03-14.000001.parquet", "2026-03-14.000002.parquet"]


def test_a_run_without_a_datapoint_leaves_no_file(tmp_path: Path) -> None:
    ParquetFolder(tmp_path / "p").close()
    assert visible(tmp_path / "p") == hidden(tmp_path / "p") == []


def count_rows(folder: Path) -> set[int]:
    """Count the rows of a folder with every reader that users have."""
    with duckdb.connect() as connection:
        found: Any = connection.execute(f"SELECT count(*) FROM '{folder}/*.parquet'").fetchone()
    return {
        len(pd.read_parquet(folder)),
        ds.dataset(folder).count_rows(),
        len(pl.scan_parquet(folder).collect()),
        found[0],
    }


def test_pandas_pyarrow_polars_and_duckdb_read_it_at_any_moment(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    storage = ParquetFolder(folder, most_bytes=400)
    assert count_rows(folder) == {0}
    storage.write(made(0, 1))
    assert count_rows(folder) == {0}
    killed(storage)
    assert count_rows(folder) == {0}
    again = ParquetFolder(folder, most_bytes=400)
    for number in range(1, 15):
        again.write(made(number, 1))
    assert 0 < min(count_rows(folder)) == max(count_rows(folder)) < 15
    killed(again)
    assert 0 < min(count_rows(folder)) == max(count_rows(folder)) < 15
    ParquetFolder(folder).close()
    assert count_rows(folder) == {15}
    assert NO_ROWS not in visible(folder)


def test_a_link_to_a_folder_on_another_disk_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk" / "p").mkdir(parents=True)
    link = tmp_path / "p"
    link.symlink_to(tmp_path / "disk" / "p")
    storage = ParquetFolder(link)
    storage.write(made(0, 3))
    assert hidden(tmp_path / "disk" / "p") == ["2026-03-14.000001.csv"]
    storage.close()
    assert read_parquet(link) == made(0, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "p"]


def test_a_mount_point_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path)
    with pytest.raises(StorageError, match="is a mount point; choose a folder in it"):
        ParquetFolder(tmp_path)


def test_parquet_that_cannot_be_written_leaves_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(lines: Path, target: Any) -> None:
        target.write(b"PAR1")
        raise OSError(errno.ENOSPC, "No space left on device")

    storage = ParquetFolder(tmp_path / "p")
    storage.write(made(0, 5))
    with monkeypatch.context() as patch:
        patch.setattr("enapter_async.collector.stores.parquet._convert", full)
        with pytest.raises(StorageError, match="No space left on device"):
            storage.close()
    assert visible(tmp_path / "p") == [NO_ROWS]
    ParquetFolder(tmp_path / "p").close()
    assert read_parquet(tmp_path / "p") == made(0, 5)


# -- the command -----------------------------------------------------------------------------------------------

READERS: dict[str, Callable[[Path], list[Row]]] = {"csv": read_lines, "jsonl": read_lines, "parquet": read_parquet}


def check_once(rows: Sequence[Row]) -> None:
    assert len({row[:3] for row in rows}) == len(rows) > 0
    assert all(abs(row[2] / 1e6 - time.time()) < 60 for row in rows)


def check_clean(ended: Ended) -> None:
    assert ended.code == 0
    assert "Traceback" not in ended.stderr
    assert "Warning" not in ended.stderr


@pytest.mark.parametrize("name", READERS)
def test_after_a_kill_the_next_run_goes_on(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"telemetry.{name}"

    def lines() -> list[Path]:
        return list(unfinished_of(path).glob("*.csv")) if name == "parquet" else [path] if path.exists() else []

    process = begin("collect", "--simulate", "3", "--to", str(path), "--quiet")
    deadline = time.monotonic() + 20
    while sum(one.stat().st_size for one in lines()) < 500:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    end(process)
    (left,) = lines()
    with left.open("ab") as file:
        file.write(left.read_bytes().splitlines()[-1][:20])  # a write that was cut in the middle
    before = left.read_bytes().count(b"\n") - (name != "jsonl")
    ended = run("collect", "--simulate", "3", "--for", "3s", "--to", str(path), "-q")
    check_clean(ended)
    rows = READERS[name](path)
    assert len(rows) == before + figure(ended, "datapoints")
    check_once(rows)


def test_the_format_may_be_given(tmp_path: Path) -> None:
    ended = run("collect", "--simulate", "2", "--for", "3s", "--to", str(tmp_path / "x"), "--format", "jsonl", "-q")
    check_clean(ended)
    assert figure(ended, "datapoints") == len((tmp_path / "x").read_text().splitlines())
    assert json.loads((tmp_path / "x").read_text().splitlines()[0])["device_id"]
    assert set(SUFFIXES.values()) == set(FILE_FORMATS)


def test_a_name_that_tells_nothing_is_refused(tmp_path: Path) -> None:
    ended = run("collect", "--simulate", "2", "--to", str(tmp_path / "telemetry.txt"))
    assert ended.code == 2
    assert "otherwise, set --format" in ended.error
