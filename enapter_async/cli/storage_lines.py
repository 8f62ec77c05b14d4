"""Datapoints as lines of a file, CSV or JSON: whole ones only, whatever ends the program."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final, Protocol

from enapter_async.cli.exits import Exit, Failure
from enapter_async.cli.storage import Recent, lock
from enapter_async.cli.store import Row

COLUMNS: Final = ("time", "device_id", "attribute", "value", "unit")
"""As `export` has them."""

_FIRST: Final = 64 * 1024
"""Bytes among which the first line must end."""
_TAIL: Final = 16 * 1024 * 1024
"""Bytes at the end of a file in which its newest datapoints are looked for: about 150,000."""
_NOT_FINITE: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


class LineFormat(Protocol):
    """How a datapoint is a line.

    Attributes:
        header: The first line, with its end; empty where there is none.
    """

    header: bytes

    def encode(self, rows: Sequence[Row]) -> str:
        """Return the lines of some rows, each with its end."""
        ...

    def decode(self, line: str) -> tuple[str, str, str] | None:
        """Return device, attribute and time of a line, None where it is no datapoint."""
        ...

    def may_begin_with(self, data: bytes) -> bool:
        """Whether a file that has no whole line yet can have been begun by us."""
        ...


class _Csv:
    header = (",".join(COLUMNS) + "\n").encode()

    def encode(self, rows: Sequence[Row]) -> str:
        text = io.StringIO()
        write = csv.writer(text, lineterminator="\n").writerow
        for device, attribute, time, value, unit in rows:
            # A line break in a name would make two lines of one; no name of a manifest has any.
            write((time, _line(device), _line(attribute), "" if value is None else repr(value), _line(unit or "")))
        return text.getvalue()

    def decode(self, line: str) -> tuple[str, str, str] | None:
        try:
            (cells,) = csv.reader([line], strict=True)
            time, device, attribute, _, _ = cells
        except (ValueError, csv.Error):
            return None
        return device, attribute, time

    def may_begin_with(self, data: bytes) -> bool:
        return self.header.startswith(data)


class _JsonLines:
    header = b""
    _start: Final = b'{"time":'

    def encode(self, rows: Sequence[Row]) -> str:
        lines: list[str] = []
        for device, attribute, time, value, unit in rows:
            number = value if value is None or math.isfinite(value) else _NOT_FINITE[repr(value)]
            record = dict(zip(COLUMNS, (time, device, attribute, number, unit), strict=True))
            lines.append(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
        return "".join(lines)

    def decode(self, line: str) -> tuple[str, str, str] | None:
        try:
            record = json.loads(line)
            time, device, attribute = (str(record[name]) for name in COLUMNS[:3])
        except (ValueError, TypeError, KeyError):
            return None
        return device, attribute, time

    def may_begin_with(self, data: bytes) -> bool:
        return self._start.startswith(data[: len(self._start)])


CSV: Final[LineFormat] = _Csv()
JSON_LINES: Final[LineFormat] = _JsonLines()


class LineStorage:
    """A file that grows by whole lines; a datapoint that stands near its end already is not written again.

    A write that was cut off, by a kill or a full disk, leaves a line without an end: it is cut away, when the
    write fails or when the file is opened next.

    Attributes:
        size: Bytes of the file.
        torn: Bytes that were cut away when it was opened.
    """

    def __init__(self, path: Path, form: LineFormat, recent: Recent | None = None) -> None:
        """Open the file, and make it where it is missing.

        Args:
            path: The file.
            form: What its lines are.
            recent: Gets what stands near its end.

        Raises:
            Failure: It cannot be opened, or holds something else.
        """
        self.path = path
        self.written = 0
        self.size = 0
        self.torn = 0
        self._form = form
        self._recent = Recent() if recent is None else recent
        try:
            self._file: IO[bytes] = os.fdopen(
                os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b", buffering=0
            )
        except OSError as error:
            raise Failure(f"{path} cannot be opened: {error.strerror}", Exit.STORAGE) from error
        try:
            lock(self._file, path)
            self._prepare()
        except OSError as error:
            self._file.close()
            raise Failure(f"{path} cannot be used: {error.strerror}", Exit.STORAGE) from error
        except BaseException:
            self._file.close()
            raise

    def write(self, rows: Sequence[Row]) -> int:
        """Append datapoints; returns how many were there already.

        Raises:
            Failure: They cannot be written; what was written before stays.
        """
        new = self._recent.new(rows)
        try:
            self._append(self._form.encode(new).encode())
        except OSError as error:
            raise Failure(f"{self.path} cannot be written: {error.strerror}", Exit.STORAGE) from error
        self.written += len(new)
        return len(rows) - len(new)

    def close(self) -> None:
        """Bring everything to the disk and close the file."""
        with self._file, contextlib.suppress(OSError):  # what has no disk below it has nothing to sync
            os.fsync(self._file.fileno())

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
        if not ended:
            if not self._form.may_begin_with(start):
                raise self._something_else()
            self._cut(0)
            self._append(self._form.header)
        else:
            if not self._is_ours(first + ended):
                raise self._something_else()
            self._read_tail(whole)
        self.torn = whole - self.size if ended or whole else 0

    def _is_ours(self, line: bytes) -> bool:
        if self._form.header:
            return line.replace(b"\r", b"") == self._form.header
        return self._form.decode(line.decode("utf-8", "replace")) is not None

    def _read_tail(self, whole: int) -> None:
        begin = self._file.seek(max(0, whole - _TAIL))
        tail = b""
        while piece := self._file.read(_TAIL):
            tail += piece
        end = tail.rfind(b"\n") + 1
        if not end:
            raise self._something_else()
        for line in tail[:end].decode("utf-8", "replace").split("\n")[1 if begin else 0 : -1]:
            if (point := self._form.decode(line)) is not None:
                self._recent.add(*point)
        self.size = begin + end
        self._cut(self.size)

    def _something_else(self) -> Failure:
        return Failure(f"{self.path} holds something else; choose another file", Exit.STORAGE)


def _line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")
