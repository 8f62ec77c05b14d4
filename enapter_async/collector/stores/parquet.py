"""Telemetry as a folder of Parquet files (extra `arrow`). Each file is created when it is complete.

A Parquet file is readable only when its end has been written. So rows are first appended to a CSV file for their day,
which survives a kill: `2026-03-14.000001.csv` in the folder `.NAME.unfinished` next to the folder of Parquet files,
since programs that read such a folder fail on other files in it. When the CSV file is large enough, when its day is
over, or at the end, it becomes `2026-03-14.000001.parquet`. Polars and DuckDB reject a folder without files, so a file
without rows is in it until there is another one.
"""

# pyarrow has no type annotations.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import attrs

from enapter_async._arguments import require_callback, require_path, require_whole_number
from enapter_async._files import NewFile, identify_file, try_to_lock
from enapter_async._pauses import FIRST_PAUSE, next_pause
from enapter_async.collector._problems import Problems
from enapter_async.collector._times import DAY
from enapter_async.collector.events import CollectorEvent
from enapter_async.collector.gaps import Gap
from enapter_async.collector.stores._blocking import Worker
from enapter_async.collector.stores._events import StoreEvents
from enapter_async.collector.stores._failures import storage_error
from enapter_async.collector.stores._gap_file import append_gaps
from enapter_async.collector.stores._recent import Recent
from enapter_async.collector.stores.lines import LineFile
from enapter_async.errors import MissingExtraError, StorageError
from enapter_async.rows import CSV, Row, format_time
from enapter_async.rows.parquet import SCHEMA, ParquetWriter, make_table

try:
    import pyarrow as pa
    from pyarrow import parquet
except ImportError as _error:
    raise MissingExtraError("pyarrow", "arrow") from _error

_MOST_BYTES: Final = 64 * 1024 * 1024
"""Size of lines in bytes, about 600,000 rows. As Parquet they take a tenth or less."""
_QUIET_SECONDS: Final = 60.0
"""Seconds without new rows after which a day that is not the newest is over."""
_NAME: Final = re.compile(r"(\d{4}-\d\d-\d\d)\.(\d{6})\.parquet")
_LINES_NAME: Final = re.compile(r"\.?(\d{4}-\d\d-\d\d)\.(\d{6})\.csv")
_NO_ROWS: Final = "no-rows-yet.parquet"
_ROWS_AT_ONCE: Final = 1 << 16


class ParquetStore:
    """A folder of Parquet files, each for one day (UTC). Gaps are recorded in `NAME.gaps.jsonl` next to the folder.

    Attributes:
        path: The folder.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        most_bytes: int = _MOST_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set the folder. `async with` opens it, and creates it if it does not exist.

        Args:
            path: The folder.
            most_bytes: Bytes of lines that become one file.
            clock: Seconds.

        Raises:
            InvalidArgumentError: An argument is invalid.
        """
        self.path: Path = Path(require_path(path, "path"))
        self._most_bytes = require_whole_number(most_bytes, "most_bytes", 1)
        self._clock = require_callback(clock, "clock", 0)
        self._worker = Worker()
        self._folder: ParquetFolder | None = None
        self._entered = False
        self._events = StoreEvents()

    async def __aenter__(self) -> Self:
        self._folder = await self._worker.run(self._open)
        self._entered = True
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        folder, self._folder, self._entered = self._folder, None, False
        if folder is not None:
            await self._worker.run(folder.close)

    async def write(self, rows: Sequence[Row]) -> int:
        """Keep rows. Return the number of new ones."""
        return await self._worker.run(self._write, rows)

    async def read_newest(self, devices: Collection[str], before: int) -> Mapping[str, int]:
        """Return the newest time of each device in the newest file."""
        return self._opened().recent.newest(devices, before)

    async def note_gaps(self, gaps: Sequence[Gap]) -> None:
        """Record gaps in the file next to the folder."""
        await self._worker.run(append_gaps, self.path, gaps)

    async def reopen(self) -> None:
        """Complete the open files, and reopen the folder."""
        await self._worker.run(self._reopen)

    def take_events(self) -> Sequence[CollectorEvent]:
        """Return the events since the last call."""
        return self._events.take()

    def _open(self) -> ParquetFolder:
        return ParquetFolder(self.path, most_bytes=self._most_bytes, clock=self._clock, events=self._events)

    def _opened(self) -> ParquetFolder:
        if not self._entered:
            raise StorageError(self.path, "is not open: use `async with`")
        if self._folder is None:  # reopening it failed
            self._folder = self._open()
        return self._folder

    def _reopen(self) -> None:
        folder, self._folder = self._opened(), None
        if not folder.is_in_place():
            self._events.add_replaced(self.path, identify_file(self.path), folder.identity)
        try:
            folder.close()
        finally:
            self._folder = self._open()

    def _write(self, rows: Sequence[Row]) -> int:
        folder = self._opened()
        if not folder.is_in_place():
            self._folder = None
            self._events.add_replaced(self.path, identify_file(self.path), folder.identity)
            folder.abandon()
            folder = self._opened()
        return folder.write(rows)


@attrs.define(eq=False)
class _Day:
    """The lines of a day that have not been converted to Parquet yet."""

    number: int
    lines: LineFile
    touched: float


class ParquetFolder:
    """An open folder, for use in one thread at a time.

    Attributes:
        recent: The rows of the newest files.
    """

    def __init__(
        self,
        folder: Path,
        *,
        most_bytes: int = _MOST_BYTES,
        clock: Callable[[], float] = time.monotonic,
        events: StoreEvents | None = None,
    ) -> None:
        """Open the folder, and create it if it does not exist. Lines left by a kill are continued.

        Args:
            folder: The folder.
            most_bytes: Bytes of lines that become one file.
            clock: Seconds.
            events: Receives an event when lines cannot be converted for now, and when they can be again.

        Raises:
            StorageError: The path is not a folder, or is unusable.
        """
        self.recent: Recent = Recent()
        self._folder = folder
        place = Path(os.path.realpath(folder))  # a file can only be moved within one file system
        self._unfinished = place.with_name(f".{place.name}.unfinished")
        self._most_bytes = most_bytes
        self._clock = clock
        self._days: dict[str, _Day] = {}
        self._problems = Problems((StoreEvents() if events is None else events).add, clock)
        self._pause = FIRST_PAUSE
        self._retry_at = -inf
        self._numbers: dict[str, int] = {}
        try:
            folder.mkdir(exist_ok=True, parents=True)
            if place.is_mount():
                raise StorageError(folder, "is a mount point; choose a folder in it")
            self._unfinished.mkdir(exist_ok=True)
            self._lock: IO[bytes] = (self._unfinished / "lock").open("ab")
        except OSError as error:
            raise storage_error(folder, "cannot be opened as a folder", error) from error
        try:
            if not try_to_lock(self._lock):
                raise StorageError(folder, f"another process collects into {folder} now")
            self.identity = identify_file(folder)
            self._recover()
        except (OSError, pa.ArrowException) as error:
            self._lock.close()
            raise StorageError(folder, f"cannot be used: {error}") from error
        except BaseException:
            self._lock.close()
            raise

    def is_in_place(self) -> bool:
        """Whether the path still refers to the open folder."""
        return identify_file(self._folder) == self.identity is not None

    def write(self, rows: Sequence[Row]) -> int:
        """Keep rows; returns how many were new.

        Raises:
            StorageError: The rows cannot be written. Earlier rows are kept.
        """
        days: dict[int, list[Row]] = {}
        for row in rows:
            days.setdefault(row[2] // DAY, []).append(row)
        now = self._clock()
        new = 0
        sizes: dict[str, int] = {}
        try:
            for number, some in days.items():
                name = format_time(number * DAY)[:10]
                day = self._days.get(name) or self._begin(name)
                sizes[name] = day.lines.size
                new += day.lines.write(some)
                day.touched = now
        except StorageError:
            # The caller writes all of them again.
            for name, size in sizes.items():
                self._days[name].lines.take_back(size)
            raise
        newest = max(self._days, default="")
        for name, day in list(self._days.items()):
            is_over = name < newest and now - day.touched > _QUIET_SECONDS
            if is_over or day.lines.size >= self._most_bytes:
                self._try_to_finish(name)
        return new

    def close(self) -> None:
        """Convert all lines to Parquet.

        Raises:
            StorageError: The file cannot be written. The lines are kept, and the next run continues with them.
        """
        with self._lock:
            try:
                for name in list(self._days):
                    self._finish(name)
            finally:
                for day in self._days.values():
                    day.lines.close()
        with contextlib.suppress(OSError):
            if not self._days:
                self._remove_placeholder()
                (self._unfinished / "lock").unlink()
                self._unfinished.rmdir()

    def abandon(self) -> None:
        """Close the open files without completing them."""
        for day in self._days.values():
            day.lines.close()
        self._lock.close()

    def _recover(self) -> None:
        newest: Path | None = None
        left: list[tuple[str, int, Path]] = []
        # Earlier versions kept the unfinished lines in the folder itself.
        for path in (*sorted(self._folder.iterdir()), *sorted(self._unfinished.iterdir())):
            if match := _NAME.fullmatch(path.name):
                newest = path
                self._count(match[1], int(match[2]))
                self._convert_old(path)
            elif match := _LINES_NAME.fullmatch(path.name):
                self._count(match[1], int(match[2]))
                left.append((match[1], int(match[2]), path))
            elif path.name.endswith(".parquet.tmp") or (path.name == ".lock" and path.parent == self._folder):
                path.unlink()
        if newest is not None:
            self._remember(newest)
            self._remove_placeholder()
        else:
            with self._new(self._folder / _NO_ROWS) as new:
                ParquetWriter(new.file).close()
        for name, number, path in left:
            if self._target(name, number).exists():
                path.unlink()  # a kill happened between the two steps
                continue
            lines = self._unfinished / f"{name}.{number:06}.csv"
            if path != lines:
                path.rename(lines)
            self._days[name] = _Day(number, LineFile(lines, CSV, self.recent), self._clock())

    def _remove_placeholder(self) -> None:
        (self._folder / _NO_ROWS).unlink(missing_ok=True)

    def _count(self, name: str, number: int) -> None:
        self._numbers[name] = max(number, self._numbers.get(name, 0))

    def _convert_old(self, path: Path) -> None:
        """Convert a file of an earlier version: add the column `text` and reorder the columns."""
        with parquet.ParquetFile(path) as file:
            if file.schema_arrow.names == SCHEMA.names:
                return
            if set(file.schema_arrow.names) != set(SCHEMA.names) - {"text"}:
                raise StorageError(self._folder, f"contains something else: {path.name}; choose another folder")
            with self._new(path) as new:
                writer = ParquetWriter(new.file)
                for batch in file.iter_batches():
                    table = pa.Table.from_batches([batch])
                    table = table.append_column("text", pa.nulls(len(table), pa.string()))
                    writer.write(table.select(SCHEMA.names).cast(SCHEMA))
                writer.close()

    def _remember(self, path: Path) -> None:
        with parquet.ParquetFile(path) as file:
            if file.num_row_groups == 0:
                return
            table = file.read_row_group(file.num_row_groups - 1, columns=list(SCHEMA.names[:3]))
        times = table["time"].cast(pa.int64()).to_pylist()
        devices, attributes = table["device_id"].to_pylist(), table["attribute"].to_pylist()
        self.recent.add(
            (device, attribute, moment, None, None, None)
            for device, attribute, moment in zip(devices, attributes, times, strict=True)
        )

    def _target(self, name: str, number: int) -> Path:
        return self._folder / f"{name}.{number:06}.parquet"

    def _new(self, target: Path) -> NewFile:
        return NewFile(target, self._unfinished / (target.name + ".tmp"))

    def _begin(self, name: str) -> _Day:
        number = self._numbers[name] = self._numbers.get(name, 0) + 1
        lines = LineFile(self._unfinished / f"{name}.{number:06}.csv", CSV, self.recent)
        day = self._days[name] = _Day(number, lines, self._clock())
        return day

    def _try_to_finish(self, name: str) -> None:
        """Convert the lines of a day to Parquet. While the disk is full they stay lines, and the pauses grow."""
        if self._clock() < self._retry_at:
            return
        try:
            self._finish(name)
        except StorageError as error:
            if not error.temporary:
                raise
            self._problems.failed("parquet", error)
            self._retry_at = self._clock() + self._pause
            self._pause = next_pause(self._pause)
        else:
            self._problems.passed("parquet")
            self._pause = FIRST_PAUSE

    def _finish(self, name: str) -> None:
        day = self._days[name]
        target = self._target(name, day.number)
        try:
            if day.lines.size > len(CSV.header):
                with self._new(target) as new:
                    _convert(day.lines.path, new.file)
                self._remove_placeholder()
            day.lines.close()
            del self._days[name]
            day.lines.path.unlink()
        except OSError as error:
            raise storage_error(target, "cannot be written", error) from error
        except pa.ArrowException as error:
            raise StorageError(target, f"cannot be written: {error}") from error


def _convert(lines: Path, target: IO[bytes]) -> None:
    """Convert lines to Parquet."""
    writer = ParquetWriter(target)
    try:
        for rows in _read_rows(lines):
            writer.write(make_table(rows))
        writer.close()
    finally:
        writer.give_up()


def _read_rows(path: Path) -> Iterator[list[Row]]:
    rows: list[Row] = []
    record = ""
    with path.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        next(lines, None)
        for line in lines:
            record += line
            if record.count('"') % 2:
                continue  # a line break within a text
            row = CSV.decode(record)
            record = ""
            if row is not None:
                rows.append(row)
                if len(rows) >= _ROWS_AT_ONCE:
                    yield rows
                    rows = []
    yield rows
