"""The incremental reader of time series, which converts CSV bytes, split anywhere, to batches of columns.

Memory is limited by the size of a block and of a record, not by the length of the response. The result is complete, or
ends with an error (reference.md, Telemetry CSV).
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Literal, TypeAlias

from enapter_async._protocol.timeseries.csv import (
    MalformedBlockError,
    Position,
    defect,
    read_block,
    records,
)
from enapter_async._protocol.timeseries.header import parse_columns, parse_data_types
from enapter_async.errors import TimeseriesFormatError
from enapter_async.models.timeseries import ColumnHeader, TimeseriesBatch

Engine: TypeAlias = Literal["auto", "standard", "arrow"]
_ReadBlock: TypeAlias = Callable[[bytes, Sequence[ColumnHeader], Position], TimeseriesBatch]

BLOCK: Final = 64 * 1024
"""Block size of the standard reader, in bytes. Measurements show that larger blocks are not faster."""
ARROW_BLOCK: Final = 512 * 1024
"""Block size of pyarrow, in bytes. Each call switches to a thread, which takes time on a busy machine."""
LONGEST_RECORD: Final = 1024 * 1024
"""Maximum size of a record, in bytes. A longer one is an error, usually a quote that is never closed."""


class TimeseriesReader:
    """Reads one response.

    Args:
        data_types: All values of the header `X-Enapter-Timeseries-Data-Types`.
        engine: `auto` uses pyarrow, if installed, for responses longer than a block. `standard` and `arrow` force one
            reader.
    """

    def __init__(self, data_types: Iterable[str], *, engine: Engine = "auto") -> None:
        self._data_types = parse_data_types(data_types)
        self._columns: tuple[ColumnHeader, ...] | None = None
        self._position = Position()
        self._buffer = bytearray()
        self._read: _ReadBlock = read_block
        self._undecided = engine == "auto"
        self._block = self._wanted = BLOCK
        if engine == "arrow":
            self._use_arrow()

    @property
    def columns(self) -> tuple[ColumnHeader, ...] | None:
        """The columns, or None until the header has arrived."""
        return self._columns

    @property
    def rows(self) -> int:
        """Number of rows returned so far."""
        return self._position.row - 1

    def feed(self, data: bytes) -> Iterator[TimeseriesBatch]:
        """Process more of the body. Exhaust the iterator before the next call.

        Args:
            data: Decoded bytes, split anywhere.

        Yields:
            Non-empty batches in order. Often there are none, because a block is not complete yet.

        Raises:
            TimeseriesFormatError: The response is malformed. Rows before the malformed block were already yielded.
        """
        view = memoryview(data)
        for start in range(0, len(view), BLOCK):
            self._buffer += view[start : start + BLOCK]
            if self._columns is None and not self._take_header():
                continue
            if len(self._buffer) < self._wanted:
                continue
            if self._undecided:
                self._decide()
            else:
                yield from self._take_block()

    def finish(self, *, complete: bool) -> Iterator[TimeseriesBatch]:
        """Process the end of the body.

        Args:
            complete: Whether the length, the last chunk or the end of gzip proves that the body is complete. Without
                proof a truncated response could look complete, so it is rejected.

        Yields:
            The last batch, if there is one.

        Raises:
            TimeseriesFormatError: The response is malformed, or nothing proves that it is complete.
        """
        if not complete:
            raise TimeseriesFormatError(f"nothing proves that the response is complete: it ended after row {self.rows}")
        if self._buffer and not self._buffer.endswith(b"\n"):
            self._buffer += b"\n"
        if self._columns is None and not self._take_header():
            self._columns = ()  # an empty body: no values
        if self._buffer:
            if _records_end(self._buffer) < len(self._buffer):
                raise defect(bytes(self._buffer), self._columns or (), self._position)
            yield from self._take_block()

    def rest(self) -> Iterator[TimeseriesBatch]:
        """Process the end of the body after the connection was lost.

        Yields:
            The remaining complete records, so that a retry need not request them.

        Raises:
            TimeseriesFormatError: A record is malformed.
        """
        if self._columns is not None and _records_end(self._buffer):
            yield from self._take_block()

    def _take_header(self) -> bool:
        """Read the header, the first line that is not blank. Return whether it has arrived."""
        while end := self._buffer.find(b"\n") + 1:
            line = bytes(self._buffer[:end])
            del self._buffer[:end]
            if line.strip(b"\r\n"):
                self._columns = parse_columns(_header_cells(line), self._data_types)
                return True
        self._bound_record()
        return False

    def _take_block(self) -> Iterator[TimeseriesBatch]:
        end = _records_end(self._buffer)
        if end == 0:
            self._bound_record()
            self._wanted = min(2 * len(self._buffer), LONGEST_RECORD + 1)
            return
        with memoryview(self._buffer) as view:
            block = bytes(view[:end])
        del self._buffer[:end]
        self._wanted = self._block
        batch = self._read_block(block)
        if batch.unix_seconds:
            self._position = Position(self._position.row + len(batch), batch.unix_seconds[-1])
            yield batch

    def _read_block(self, block: bytes) -> TimeseriesBatch:
        columns = self._columns or ()
        try:
            return self._read(block, columns, self._position)
        except MalformedBlockError:
            pass
        raise defect(block, columns, self._position)

    def _bound_record(self) -> None:
        if len(self._buffer) <= LONGEST_RECORD:
            return
        if self._columns is None:
            raise TimeseriesFormatError(f"the header is longer than {LONGEST_RECORD} bytes", row=0)
        found = defect(bytes(self._buffer), self._columns, self._position)
        if found.column is None:
            found = TimeseriesFormatError(f"a record longer than {LONGEST_RECORD} bytes", row=self._position.row)
        raise found

    def _decide(self) -> None:
        """Switch to pyarrow if it is installed, since the response is long enough to justify importing it."""
        self._undecided = False
        with contextlib.suppress(ImportError):
            self._use_arrow()

    def _use_arrow(self) -> None:
        from enapter_async._protocol.timeseries.arrow import read_block_with_arrow

        self._read = read_block_with_arrow
        self._block = self._wanted = ARROW_BLOCK


def _header_cells(record: bytes) -> list[str]:
    try:
        (cells,) = records(record)
    except (MalformedBlockError, ValueError, csv.Error):
        pass
    else:
        return cells
    raise TimeseriesFormatError("the header is malformed", row=0)


def _records_end(buffer: bytearray) -> int:
    """Return the end of the last complete record, after the last unquoted line ending, or 0 if there is none.

    A line ending is unquoted after an even number of quotes. Otherwise the last quote before it is the opening quote,
    and the search continues before that quote, so each quote is visited once.
    """
    end = buffer.rfind(b"\n") + 1
    quotes = buffer.count(b'"', 0, end)
    while quotes % 2:
        before = buffer.rfind(b"\n", 0, buffer.rfind(b'"', 0, end)) + 1
        quotes -= buffer.count(b'"', before, end)
        end = before
    return end
