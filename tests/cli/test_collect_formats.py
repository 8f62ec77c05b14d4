"""`enapter-async collect` into lines and Parquet: whole datapoints only, each once, whatever ended the last run."""

from __future__ import annotations

import csv
import errno
import json
import signal
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from commands import Ended, begin, end, figure, run

from enapter_async.cli.exits import Failure
from enapter_async.cli.storage import NAMES, SUFFIXES, open_storage
from enapter_async.cli.storage_lines import CSV, JSON_LINES, LineFormat, LineStorage
from enapter_async.cli.storage_parquet import ParquetStorage
from enapter_async.cli.store import Row

FORMATS = [pytest.param(CSV, id="csv"), pytest.param(JSON_LINES, id="jsonl")]


def made(first: int, count: int, day: int = 14) -> list[Row]:
    return [
        ("d1", "power", f"2026-03-{day}T09:{n // 60:02}:{n % 60:02}Z", n + 0.5, "W")
        for n in range(first, first + count)
    ]


def read_lines(path: Path) -> list[Row]:
    """Read a file as anybody would; every line must be whole."""
    text = path.read_text()
    assert text.endswith("\n")
    if path.suffix == ".csv":
        found: list[dict[str, Any]] = list(csv.DictReader(text.splitlines()))
    else:
        found = [json.loads(line) for line in text.splitlines()]
    return [
        (
            one["device_id"],
            one["attribute"],
            one["time"],
            None if one["value"] in (None, "") else float(one["value"]),
            one["unit"] or None,
        )
        for one in found
    ]


def read_parquet(folder: Path) -> list[Row]:
    """Read what can be seen in a folder."""
    return [
        (
            one["device_id"],
            one["attribute"],
            one["time"].replace(tzinfo=None).isoformat() + "Z",
            one["value"],
            one["unit"],
        )
        for path in sorted(folder.glob("[!.]*.parquet"))
        for one in pq.read_table(path).to_pylist()
    ]


# -- lines -----------------------------------------------------------------------------------------------------


def test_lines_are_those_of_an_export(tmp_path: Path) -> None:
    odd: list[Row] = [
        ("d,1", "power", "2026-03-14T09:00:00Z", 1.5, "W"),
        ("d1", "level", "2026-03-14T09:00:00.250000Z", None, None),
        ("d1", "Füllstand", "2026-03-14T09:00:01Z", float("inf"), '"%"'),
    ]
    for form, name in ((CSV, "a.csv"), (JSON_LINES, "a.jsonl")):
        storage = LineStorage(tmp_path / name, form)
        assert storage.write(odd) == 0
        storage.close()
    assert (tmp_path / "a.csv").read_text() == (
        "time,device_id,attribute,value,unit\n"
        '2026-03-14T09:00:00Z,"d,1",power,1.5,W\n'
        "2026-03-14T09:00:00.250000Z,d1,level,,\n"
        '2026-03-14T09:00:01Z,d1,Füllstand,inf,"""%"""\n'
    )
    assert (tmp_path / "a.jsonl").read_text() == (
        '{"time":"2026-03-14T09:00:00Z","device_id":"d,1","attribute":"power","value":1.5,"unit":"W"}\n'
        '{"time":"2026-03-14T09:00:00.250000Z","device_id":"d1","attribute":"level","value":null,"unit":null}\n'
        '{"time":"2026-03-14T09:00:01Z","device_id":"d1","attribute":"Füllstand","value":"Infinity","unit":"\\"%\\""}\n'
    )


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_is_continued_and_what_is_in_it_is_not_written_again(tmp_path: Path, form: LineFormat) -> None:
    path = tmp_path / ("a.csv" if form is CSV else "a.jsonl")
    first = LineStorage(path, form)
    assert first.write(made(0, 10)) == 0
    first.close()
    second = LineStorage(path, form)
    assert second.write(made(8, 4)) == 2
    assert second.write(made(12, 3)) == 0
    second.close()
    assert (first.written, second.written, second.torn) == (10, 5, 0)
    assert read_lines(path) == made(0, 15)


@pytest.mark.parametrize("form", FORMATS)
def test_a_write_cut_at_any_byte_leaves_whole_lines_and_is_gone_on_with(tmp_path: Path, form: LineFormat) -> None:
    path = tmp_path / ("a.csv" if form is CSV else "a.jsonl")
    storage = LineStorage(path, form)
    storage.write(made(0, 4))
    storage.close()
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        again = LineStorage(path, form)
        lines = whole[:size].count(b"\n") - bool(form.header and size >= len(form.header))
        assert again.write(made(0, 4)) == lines
        again.close()
        assert path.read_bytes() == whole, f"cut at byte {size}"


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("content", [b"my thesis", b"a,b\n1,2\n", b'{"a": 1}\n', b"\x00\xff\n" * 10])
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, form: LineFormat, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(Failure, match="holds something else"):
        LineStorage(path, form)
    assert path.read_bytes() == content


@pytest.mark.parametrize("form", FORMATS)
def test_a_disk_that_is_full_leaves_whole_lines(tmp_path: Path, form: LineFormat) -> None:
    path = tmp_path / ("a.csv" if form is CSV else "a.jsonl")
    storage = LineStorage(path, form)
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
    with pytest.raises(Failure, match="No space left on device"):
        storage.write(made(3, 5))
    storage._file = file
    assert read_lines(path) == made(0, 3)
    storage.write(made(3, 5))
    storage.close()
    assert read_lines(path) == made(0, 8)


@pytest.mark.parametrize("name", ["csv", "jsonl", "parquet"])
def test_two_collectors_do_not_share_a_file(tmp_path: Path, name: str) -> None:
    storage = open_storage(tmp_path / "a", name)
    with pytest.raises(Failure, match="another process collects into"):
        open_storage(tmp_path / "a", name)
    storage.close()
    open_storage(tmp_path / "a", name).close()


@pytest.mark.parametrize("name", NAMES)
def test_a_path_that_cannot_be_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(Failure, match="cannot be opened"):
        open_storage(tmp_path / "file" / "a", name)


# -- Parquet ---------------------------------------------------------------------------------------------------


def killed(storage: ParquetStorage) -> None:
    """Leave a storage as a kill does: nothing is completed, and the system takes the locks back."""
    for day in storage._days.values():
        day.lines._file.close()
    storage._lock.close()


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(".") and path.name != ".lock")


def test_a_parquet_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    storage = ParquetStorage(tmp_path / "p")
    storage.write(made(0, 10))
    assert visible(tmp_path / "p") == []
    storage.close()
    assert visible(tmp_path / "p") == ["2026-03-14.000001.parquet"]
    assert hidden(tmp_path / "p") == []
    assert read_parquet(tmp_path / "p") == made(0, 10)
    schema = pq.read_schema(tmp_path / "p" / "2026-03-14.000001.parquet")
    assert [str(field.type) for field in schema] == ["timestamp[us, tz=UTC]", "string", "string", "double", "string"]


def test_values_and_names_of_any_kind_survive(tmp_path: Path) -> None:
    odd: list[Row] = [
        ("d,1", 'po"wer', "2026-03-14T09:00:00.250000Z", None, None),
        ("1", "2", "2026-03-14T09:00:01Z", float("-inf"), "°C"),
        ("NA", "null", "2026-03-14T09:00:02Z", 1e300, "NaN"),
        ("true", "1.50", "2026-03-14T09:00:03Z", 0.1, ""),
    ]
    storage = ParquetStorage(tmp_path)
    storage.write(odd)
    storage.close()
    assert read_parquet(tmp_path) == [*odd[:3], (*odd[3][:4], None)]


def test_files_are_rolled_by_size_and_by_day(tmp_path: Path) -> None:
    now = [0.0]
    storage = ParquetStorage(tmp_path, most_bytes=400, clock=lambda: now[0])
    for n in range(25):
        storage.write(made(n, 1))
    assert visible(tmp_path) == ["2026-03-14.000001.parquet", "2026-03-14.000002.parquet"]
    storage.write(made(0, 3, day=15))
    storage.write(made(25, 1))  # a device was late
    assert len(hidden(tmp_path)) == 2
    now[0] = 61.0
    storage.write(made(3, 1, day=15))
    assert visible(tmp_path)[-1] == "2026-03-14.000003.parquet"
    assert hidden(tmp_path) == [".2026-03-15.000001.csv"]
    storage.close()
    assert visible(tmp_path)[3:] == ["2026-03-15.000001.parquet"]
    assert read_parquet(tmp_path) == made(0, 26) + made(0, 4, day=15)


def test_what_was_killed_goes_on_without_a_loss_or_a_duplicate(tmp_path: Path) -> None:
    storage = ParquetStorage(tmp_path, most_bytes=400)
    storage.write(made(0, 5))
    killed(storage)
    lines = tmp_path / ".2026-03-14.000001.csv"
    lines.write_bytes(lines.read_bytes()[:-3])
    (tmp_path / "2026-03-14.000001.parquet.tmp").write_bytes(b"PAR1 half")
    again = ParquetStorage(tmp_path, most_bytes=400)
    assert again.write(made(3, 4)) == 1
    again.close()
    assert read_parquet(tmp_path) == made(0, 7)
    assert hidden(tmp_path) == []
    assert visible(tmp_path) == ["2026-03-14.000001.parquet"]


def test_a_kill_between_the_two_names_of_the_same_rows_doubles_nothing(tmp_path: Path) -> None:
    storage = ParquetStorage(tmp_path)
    storage.write(made(0, 5))
    lines = tmp_path / ".2026-03-14.000001.csv"
    data = lines.read_bytes()
    storage.close()
    lines.write_bytes(data)
    again = ParquetStorage(tmp_path)
    assert again.write(made(4, 2)) == 1
    again.close()
    assert read_parquet(tmp_path) == made(0, 6)
    assert visible(tmp_path) == ["2026-03-14.000001.parquet", "2026-03-14.000002.parquet"]


def test_a_run_without_a_datapoint_leaves_no_file(tmp_path: Path) -> None:
    ParquetStorage(tmp_path / "p").close()
    assert visible(tmp_path / "p") == hidden(tmp_path / "p") == []


def test_parquet_that_cannot_be_written_leaves_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(lines: Path, target: Path) -> None:
        target.write_bytes(b"PAR1")
        raise OSError(errno.ENOSPC, "No space left on device")

    storage = ParquetStorage(tmp_path)
    storage.write(made(0, 5))
    with monkeypatch.context() as patch:
        patch.setattr("enapter_async.cli.storage_parquet._convert", full)
        with pytest.raises(Failure, match="No space left on device"):
            storage.close()
    assert visible(tmp_path) == []
    ParquetStorage(tmp_path).close()
    assert read_parquet(tmp_path) == made(0, 5)


# -- the command -----------------------------------------------------------------------------------------------

READERS: dict[str, Callable[[Path], list[Row]]] = {"csv": read_lines, "jsonl": read_lines, "parquet": read_parquet}


def check_once(rows: Sequence[Row]) -> None:
    assert len({row[:3] for row in rows}) == len(rows) > 0
    assert all(abs(datetime.fromisoformat(row[2]).timestamp() - time.time()) < 60 for row in rows)


def check_clean(ended: Ended) -> None:
    assert ended.code == 0
    assert "Traceback" not in ended.stderr
    assert "Warning" not in ended.stderr


@pytest.mark.parametrize("name", READERS)
def test_after_a_kill_the_next_run_goes_on(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"telemetry.{name}"

    def lines() -> list[Path]:
        return list(path.glob(".*.csv")) if name == "parquet" else [path] if path.exists() else []

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
    ended = run("collect", "--simulate", "3", "--for", "1s", "--to", str(path), "-q")
    check_clean(ended)
    rows = READERS[name](path)
    assert len(rows) == before + figure(ended, "datapoints")
    check_once(rows)


def test_the_format_may_be_given(tmp_path: Path) -> None:
    ended = run("collect", "--simulate", "2", "--for", "1s", "--to", str(tmp_path / "x"), "--format", "jsonl", "-q")
    check_clean(ended)
    assert figure(ended, "datapoints") == len((tmp_path / "x").read_text().splitlines())
    assert json.loads((tmp_path / "x").read_text().splitlines()[0])["device_id"]
    assert set(SUFFIXES.values()) == set(NAMES)


def test_a_name_that_tells_nothing_is_refused(tmp_path: Path) -> None:
    ended = run("collect", "--simulate", "2", "--to", str(tmp_path / "telemetry.txt"))
    assert ended.code == 2
    assert "or give --format" in ended.error
