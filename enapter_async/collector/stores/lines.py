"""Telemetry as CSV or JSON lines in a file, with complete rows even after a crash."""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Literal, Self, cast

from enapter_async._arguments import require_path
from enapter_async._files import NewFile, explain_unopened, identify_file, try_to_lock
from enapter_async._protocol.query import one_of
from enapter_async.collector._silence import CHECKED_IN_FILES
from enapter_async.collector._times import DAY, read_clock
from enapter_async.collector.events import CollectorEvent
from enapter_async.collector.gaps import Gap
from enapter_async.collector.stores._blocking import Worker
from enapter_async.collector.stores._committed import find_replaced_rows
from enapter_async.collector.stores._events import StoreEvents
from enapter_async.collector.stores._failures import storage_error
from enapter_async.collector.stores._gap_file import append_gaps
from enapter_async.collector.stores._recent import Recent
from enapter_async.errors import StorageError
from enapter_async.rows import CSV, JSON_LINES, ReadableLineFormat, Row, make_row, parse_time

_FORMS: Final = frozenset({"csv", "jsonl"})
_FIRST: Final = 64 * 1024
"""Number of bytes within which the first line must end."""
_TAIL: Final = 16 * 1024 * 1024
"""Number of bytes at the end of a file to search for its newest rows, about 150,000."""
_OLD_COLUMNS: Final = ("time", "device_id", "attribute", "value", "unit")
_OLD_HEADER: Final = (",".join(_OLD_COLUMNS) + "\n").encode()
_OLD_JSON: Final = b'{"time":'
_ROWS_AT_ONCE: Final = 10_000


class LineStore:
    """A file of CSV or JSON lines that always consists of complete rows. A row near its end is not written again.

    If the open file is removed, renamed, truncated or replaced, it is reopened before the next write. Gaps are recorded
    in a file next to it, `NAME.gaps.jsonl`. A file of an earlier version is rewritten in place when it is opened.

    Attributes:
        path: The file.
    """

    def __init__(self, path: str | os.PathLike[str], form: Literal["csv", "jsonl"]) -> None:
        """Set the file. `async with` opens it, and creates it if it does not exist.

        Args:
            path: The file.
            form: Format of its lines.

        Raises:
            InvalidArgumentError: An argument is invalid.
        """
        self.path: Path = Path(require_path(path, "path"))
        self._form = CSV if one_of(form, _FORMS, "form") == "csv" else JSON_LINES
        self._worker = Worker()
        self._file: LineFile | None = None
        self._events = StoreEvents()

    async def __aenter__(self) -> Self:
        self._file = await self._worker.run(LineFile, self.path, self._form, None, self._events, self._append_gaps)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        file, self._file = self._file, None
        if file is not None:
            await self._worker.run(file.close)

    async def write(self, rows: Sequence[Row]) -> int:
        """Append rows. Return the number of new ones."""
        return await self._worker.run(self._open().write, rows)

    async def read_newest(self, devices: Collection[str], before: int) -> Mapping[str, int]:
        """Return the newest time of each device near the end of the file."""
        return self._open().recent.newest(devices, before)

    async def note_gaps(self, gaps: Sequence[Gap]) -> None:
        """Record gaps in the file next to this one."""
        await self._worker.run(append_gaps, self.path, gaps)

    async def reopen(self) -> None:
        """Reopen the file, for example after log rotation."""
        await self._worker.run(self._open().reopen)

    def take_events(self) -> Sequence[CollectorEvent]:
        """Return the events since the last call."""
        return self._events.take()

    def _append_gaps(self, gaps: Sequence[Gap]) -> None:
        append_gaps(self.path, gaps)

    def _open(self) -> LineFile:
        if self._file is None:
            raise StorageError(self.path, "is not open: use `async with`")
        return self._file


class LineFile:
    """An open file of lines, for use in one thread at a time.

    A write that was interrupted by a kill or a full disk leaves an incomplete row. It is removed when the write fails,
    or when the file is next opened.

    Attributes:
        path: The file.
        recent: The newest rows of the file.
        size: Size of the file, in bytes.
        torn: Number of bytes removed when it was opened.
    """

    def __init__(
        self,
        path: Path,
        form: ReadableLineFormat,
        recent: Recent | None = None,
        events: StoreEvents | None = None,
        note_gaps: Callable[[Sequence[Gap]], None] = lambda _: None,
    ) -> None:
        """Open the file, and create it if it does not exist.

        Args:
            path: The file.
            form: Format of its lines.
            recent: Receives the rows near its end.
            events: Receives an event when the file is replaced.
            note_gaps: Records the gaps of a file that replaced this one.

        Raises:
            StorageError: The file cannot be opened, or contains something else.
        """
        self.path = path
        self.recent: Recent = Recent() if recent is None else recent
        self.size: int = 0
        self.torn: int = 0
        self._form = form
        self._events = StoreEvents() if events is None else events
        self._note_gaps = note_gaps
        self._file = self._open()

    def write(self, rows: Sequence[Row]) -> int:
        """Append rows; returns how many were new.

        Raises:
            StorageError: The rows cannot be written. Earlier rows are kept.
        """
        new = self.recent.select_new(rows)
        data = self._form.encode(new)
        try:
            self._follow_rotation()
            self._append(data)
            if self._identity() != identify_file(self.path):
                # The file was removed in the meantime, and with it the rows just written.
                self.reopen()
                self._append(data)
        except OSError as error:
            raise storage_error(self.path, "cannot be written", error) from error
        return len(new)

    def reopen(self) -> None:
        """Reopen the file if the path refers to another one. If that fails, the old one stays open.

        Raises:
            StorageError: The file cannot be opened.
        """
        there, identity = identify_file(self.path), self._identity()
        if there == identity:
            self._follow_truncation()
            return
        old = self._file, self.size, self.torn
        try:
            file = self._open()
            if found := self._find_newest(file):
                gaps = find_replaced_rows(self._find_newest(old[0]), found, CHECKED_IN_FILES)
                if gaps:
                    self._note_gaps(gaps)
        except BaseException:
            if self._file is not old[0]:
                self._file.close()
            self._file, self.size, self.torn = old
            raise
        self._file = file
        self._events.add_replaced(self.path, there, identity)
        old[0].close()

    def take_back(self, size: int) -> None:
        """Truncate the file to a former size, if possible."""
        with contextlib.suppress(OSError):
            self._cut(size)
            self.size = size

    def close(self) -> None:
        """Write everything to disk and close the file."""
        with self._file, contextlib.suppress(OSError):  # special files cannot be synced
            os.fsync(self._file.fileno())

    def _open(self) -> IO[bytes]:
        try:
            file = os.fdopen(
                os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b", buffering=0
            )
        except OSError as error:
            reason = explain_unopened(self.path)
            failed = StorageError(self.path, reason) if reason else storage_error(self.path, "cannot be opened", error)
            raise failed from error
        try:
            if not try_to_lock(file):
                raise StorageError(self.path, f"another process collects into {self.path} now")
            self._file = file
            if self._convert_old():
                file.close()
                return self._open()
            self._prepare()
        except OSError as error:
            file.close()
            raise storage_error(self.path, "cannot be used", error) from error
        except BaseException:
            file.close()
            raise
        return file

    def _follow_rotation(self) -> None:
        """Reopen the file if it was removed, and continue at its end if it was truncated."""
        there = identify_file(self.path)
        if there is None or there != self._identity():
            self.reopen()
        else:
            self._follow_truncation()

    def _follow_truncation(self) -> None:
        if os.fstat(self._file.fileno()).st_size < self.size:
            self._events.add_replaced(self.path, self._identity(), self._identity())
            self._prepare()

    def _identity(self) -> tuple[int, int]:
        found = os.fstat(self._file.fileno())
        return found.st_dev, found.st_ino

    def _append(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            with contextlib.suppress(OSError):
                self._cut(self.size)
            raise
        self.size += len(data)

    def _cut(self, size: int) -> None:
        self._file.truncate(size)
        self._file.seek(size)

    def _prepare(self) -> None:
        whole = self._file.seek(0, os.SEEK_END)
        self._file.seek(0)
        start = self._file.read(_FIRST)
        first, ended, _ = start.partition(b"\n")
        self.size = 0
        if not ended:
            if not self._may_be_begun(start):
                raise self._something_else()
            self._cut(0)
            self._append(self._form.header)
        elif not self._is_ours(first + ended):
            raise self._something_else()
        else:
            self._read_tail(whole)
        self.torn = whole - self.size if ended or whole else 0

    def _may_be_begun(self, data: bytes) -> bool:
        """Whether a file without a complete line may be an interrupted file of this program."""
        start = self._form.header or b'{"device_id":'
        return start.startswith(data[: len(start)])

    def _is_ours(self, line: bytes) -> bool:
        if self._form.header:
            return line.replace(b"\r", b"") == self._form.header
        return self._form.decode(line.decode("utf-8", "replace")) is not None

    def _read_tail(self, whole: int) -> None:
        for row, end in self._scan_tail(self._file, whole):
            self.size = end
            if row is not None:
                self.recent.add((row,))
        self._cut(self.size)

    def _scan_tail(self, file: IO[bytes], whole: int) -> Iterator[tuple[Row | None, int]]:
        """Yield the rows near the end of a file, each with the position after it; first the position before them."""
        begin = file.seek(max(0, whole - _TAIL))
        tail = b""
        while piece := file.read(_TAIL):
            tail += piece
        if begin:
            begin += (place := tail.find(b"\n") + 1)
            tail = tail[place:]
        elif self._form.header:
            begin = len(self._form.header)
            tail = tail[tail.find(b"\n") + 1 :]
        yield None, begin
        for record, after in self._records(tail):
            yield self._form.decode(record), begin + after

    def _find_newest(self, file: IO[bytes]) -> dict[str, int]:
        """Return the newest time of each device near the end of a file, without times that cannot be right."""
        newest: dict[str, int] = {}
        ahead = read_clock() + DAY
        size = file.seek(0, os.SEEK_END)
        for row, _ in self._scan_tail(file, size):
            if row is not None and row[2] < ahead:
                newest[row[0]] = max(row[2], newest.get(row[0], row[2]))
        file.seek(size)
        return newest

    def _records(self, data: bytes) -> Iterator[tuple[str, int]]:
        """Yield complete records and their ends. Text in CSV may contain line breaks."""
        begin = position = quotes = 0
        while (end := data.find(b"\n", position) + 1) > 0:
            if self._form.header:
                quotes += data.count(b'"', position, end)
            position = end
            if quotes % 2 == 0:
                yield data[begin:end].decode("utf-8", "replace"), end
                begin, quotes = end, 0

    def _something_else(self) -> StorageError:
        return StorageError(self.path, "contains something else; choose another file")

    # -- files of earlier versions -------------------------------------------------------------------------

    def _convert_old(self) -> bool:
        """Rewrite a file of an earlier version, without the column `text`. Return whether it was one."""
        self._file.seek(0)
        start = self._file.read(len(_OLD_HEADER) + 2)
        old = start.replace(b"\r", b"").startswith(_OLD_HEADER) if self._form.header else start.startswith(_OLD_JSON)
        if not old:
            return False
        tail = self._file.seek(max(0, self._file.seek(0, os.SEEK_END) - _FIRST))
        self._cut(tail + self._file.read().rfind(b"\n") + 1)  # an interrupted row is not a complete line
        with self.path.open(encoding="utf-8", errors="replace", newline="") as lines, NewFile(self.path) as new:
            new.file.write(self._form.header)
            rows: list[Row] = []
            for row in _read_old(lines, is_csv=bool(self._form.header)):
                rows.append(row)
                if len(rows) >= _ROWS_AT_ONCE:
                    new.file.write(self._form.encode(rows))
                    rows.clear()
            new.file.write(self._form.encode(rows))
        return True


def _read_old(lines: IO[str], *, is_csv: bool) -> Iterator[Row]:
    """Read the rows of an earlier version."""
    records: Iterator[object] = csv.reader(lines) if is_csv else map(_load, lines)
    for record in records:
        fields = cast("dict[str, str | float | None]", record).get if isinstance(record, dict) else None
        values = list(map(fields, _OLD_COLUMNS)) if fields else cast("list[str | float | None]", record)
        try:
            time, device, attribute, value, unit = values
            number = float(value) if value not in (None, "") else None
            yield make_row(str(device), str(attribute), parse_time(str(time)), number, str(unit) if unit else None)
        except (ValueError, TypeError):
            continue


def _load(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None
