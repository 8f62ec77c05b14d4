"""Datapoints as a folder of Parquet files (extra `arrow`), each of which appears when it is complete.

A Parquet file can be read when its end is written, not before. So datapoints first go, line by line, into a
hidden CSV file for their day, `.2026-03-14.000001.csv`, which survives a kill; when it is large enough, when its
day is over, or at the end, it becomes `2026-03-14.000001.parquet`. Programs that read folders of Parquet pass
hidden files over.
"""

# pyarrow has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import attrs
import pyarrow as pa
from pyarrow import csv, parquet

from enapter_async.cli.exits import Exit, Failure
from enapter_async.cli.storage import Recent, lock
from enapter_async.cli.storage_lines import CSV, LineStorage
from enapter_async.cli.store import Row

_MOST_BYTES: Final = 64 * 1024 * 1024
"""Of lines, about 600,000 datapoints; as Parquet they take a tenth or less."""
_QUIET_SECONDS: Final = 60.0
"""A day that is not the newest is over when nothing came for it for so long."""
_NAME: Final = re.compile(r"(\d{4}-\d\d-\d\d)\.(\d{6})\.parquet")
_LINES_NAME: Final = re.compile(r"\.(\d{4}-\d\d-\d\d)\.(\d{6})\.csv")
_SCHEMA: Final = pa.schema(
    [
        pa.field("time", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("attribute", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("unit", pa.string()),
    ]
)


@attrs.define(eq=False)
class _Day:
    """The lines of a day that are no Parquet yet."""

    number: int
    lines: LineStorage
    touched: float


class ParquetStorage:
    """A folder of Parquet files, none over a size and each of one day (UTC)."""

    def __init__(
        self, folder: Path, *, most_bytes: int = _MOST_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Open the folder, and make it where it is missing; what a kill left behind is continued.

        Args:
            folder: The folder.
            most_bytes: Bytes of lines that become one file.
            clock: Seconds.

        Raises:
            Failure: It is no folder, or cannot be used.
        """
        self.written = 0
        self._folder = folder
        self._most_bytes = most_bytes
        self._clock = clock
        self._recent = Recent()
        self._days: dict[str, _Day] = {}
        self._numbers: dict[str, int] = {}
        try:
            folder.mkdir(exist_ok=True, parents=True)
            self._lock = (folder / ".lock").open("ab")
        except OSError as error:
            raise Failure(f"{folder} cannot be opened as a folder: {error.strerror}", Exit.STORAGE) from error
        try:
            lock(self._lock, folder)
            self._recover()
        except (OSError, pa.ArrowException) as error:
            self._lock.close()
            raise Failure(f"{folder} cannot be used: {error}", Exit.STORAGE) from error
        except BaseException:
            self._lock.close()
            raise

    def write(self, rows: Sequence[Row]) -> int:
        """Keep datapoints; returns how many were there already.

        Raises:
            Failure: They cannot be written; what was written before stays.
        """
        days: dict[str, list[Row]] = {}
        for row in rows:
            days.setdefault(row[2][:10], []).append(row)
        now = self._clock()
        there = 0
        for name, some in days.items():
            day = self._days.get(name) or self._begin(name)
            day.touched = now
            known = day.lines.write(some)
            there += known
            self.written += len(some) - known
            if day.lines.size >= self._most_bytes:
                self._finish(name)
        newest = max(self._days, default="")
        for name in [name for name, day in self._days.items() if name < newest and now - day.touched > _QUIET_SECONDS]:
            self._finish(name)
        return there

    def close(self) -> None:
        """Make Parquet of all lines.

        Raises:
            Failure: It cannot be written; the lines stay, and the next run goes on with them.
        """
        with self._lock:
            try:
                for name in list(self._days):
                    self._finish(name)
            finally:
                for day in self._days.values():
                    day.lines.close()

    def _recover(self) -> None:
        newest: Path | None = None
        left: list[tuple[str, int, Path]] = []
        for path in sorted(self._folder.iterdir()):
            if match := _NAME.fullmatch(path.name):
                newest = path
                self._count(match[1], int(match[2]))
            elif match := _LINES_NAME.fullmatch(path.name):
                self._count(match[1], int(match[2]))
                left.append((match[1], int(match[2]), path))
            elif path.name.endswith(".parquet.tmp"):
                path.unlink()
        if newest is not None:
            self._remember(newest)
        for name, number, path in left:
            if self._target(name, number).exists():
                path.unlink()  # the kill came between the two
            else:
                self._days[name] = _Day(number, LineStorage(path, CSV, self._recent), self._clock())

    def _count(self, name: str, number: int) -> None:
        self._numbers[name] = max(number, self._numbers.get(name, 0))

    def _remember(self, path: Path) -> None:
        with parquet.ParquetFile(path) as file:
            if file.num_row_groups == 0:
                return
            table = file.read_row_group(file.num_row_groups - 1, columns=list(_SCHEMA.names[:3]))
        moments: list[datetime] = table["time"].to_pylist()
        texts = [moment.replace(tzinfo=None).isoformat() + "Z" for moment in moments]
        for one in zip(table["device_id"].to_pylist(), table["attribute"].to_pylist(), texts, strict=True):
            self._recent.add(*one)

    def _target(self, name: str, number: int) -> Path:
        return self._folder / f"{name}.{number:06}.parquet"

    def _begin(self, name: str) -> _Day:
        number = self._numbers[name] = self._numbers.get(name, 0) + 1
        lines = LineStorage(self._folder / f".{name}.{number:06}.csv", CSV, self._recent)
        day = self._days[name] = _Day(number, lines, self._clock())
        return day

    def _finish(self, name: str) -> None:
        day = self._days[name]
        day.lines.close()
        del self._days[name]
        target = self._target(name, day.number)
        temporary = target.with_name(target.name + ".tmp")
        try:
            if day.lines.size > len(CSV.header):
                _convert(day.lines.path, temporary)
                temporary.replace(target)
            day.lines.path.unlink()
        except (OSError, pa.ArrowException) as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise Failure(f"{target} cannot be written: {error}", Exit.STORAGE) from error


def _convert(lines: Path, target: Path) -> None:
    """Write lines as Parquet, and bring it to the disk."""
    options = csv.ConvertOptions(
        column_types=_SCHEMA, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=True
    )
    table = csv.read_csv(lines, convert_options=options).cast(_SCHEMA)
    with target.open("wb") as file:
        parquet.write_table(table, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
