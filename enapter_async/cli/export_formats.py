"""How exported rows are written: CSV and JSON lines, and how Parquet is found.

Every format has rows in long form, one for each value: time, device_id, attribute, value, unit. So devices of
any kind share a file, and a value that is not there takes no room. Rows are in time order, and rows of one time
in the order of the question: the same question always gives the same bytes, however the answer was cut.
"""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, ClassVar, Final, Protocol, TypeAlias

from enapter_async import MissingExtraError, TimeseriesBatch
from enapter_async.models.timeseries import TimeseriesValue

COLUMNS: Final = ("time", "device_id", "attribute", "value", "unit")

Units: TypeAlias = Mapping[str, Mapping[str, str | None]]
"""Unit by device and attribute."""


_NOT_FINITE: Final = {"nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}
"""JSON has no such numbers; these texts are what protobuf's mapping to JSON has for them."""


class PartWriter(Protocol):
    """Writes the rows of one part."""

    @property
    def rows(self) -> int:
        """Rows written so far."""
        ...

    def write(self, batch: TimeseriesBatch) -> None:
        """Write what a batch has."""
        ...

    def close(self) -> None:
        """Write what is left; the file stays open."""
        ...

    def give_up(self) -> None:
        """Write no more; does nothing after `close`."""
        ...


class Format(Protocol):
    """A kind of file."""

    def part(self, file: IO[bytes], units: Units) -> PartWriter:
        """Begin a part."""
        ...

    def join(self, parts: Iterable[Path], file: IO[bytes], joined: Callable[[], None]) -> None:
        """Write the whole file from its parts.

        Args:
            parts: The parts in order.
            file: Where to.
            joined: Called after each part; what it raises ends the work.
        """
        ...


class _TextWriter:
    """Writes rows as text."""

    _start: ClassVar[str] = ""

    def __init__(self, file: IO[bytes], units: Units) -> None:
        self.rows = 0
        self._file = file
        self._units = units

    def write(self, batch: TimeseriesBatch) -> None:
        lines = list(self._lines(batch))
        self.rows += len(lines)
        self._file.write("".join(lines).encode())

    def close(self) -> None:
        pass

    def give_up(self) -> None:
        pass

    def _lines(self, batch: TimeseriesBatch) -> Iterator[str]:
        frames = [
            self._frame(one.device, one.attribute, self._units.get(one.device, {}).get(one.attribute))
            for one in batch.columns
        ]
        start, cell = self._start, self._cell
        for timestamp, values in batch.rows():
            time = timestamp.replace(tzinfo=None).isoformat()
            for (between, after), value in zip(frames, values, strict=True):
                if value is not None:
                    yield f"{start}{time}{between}{cell(value)}{after}"

    def _frame(self, device: str, attribute: str, unit: str | None) -> tuple[str, str]:
        """Return the text of a row between time and value, and after the value."""
        raise NotImplementedError

    def _cell(self, value: TimeseriesValue) -> str:
        raise NotImplementedError


class _CsvWriter(_TextWriter):
    def _frame(self, device: str, attribute: str, unit: str | None) -> tuple[str, str]:
        return f"Z,{_csv([device, attribute])},", f",{_csv([unit or ''])}\n"

    def _cell(self, value: TimeseriesValue) -> str:
        if type(value) is float or type(value) is int:
            return repr(value)
        return _csv([value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)])


class _JsonWriter(_TextWriter):
    _start = '{"time":"'

    def _frame(self, device: str, attribute: str, unit: str | None) -> tuple[str, str]:
        between = f'Z","device_id":{_json(device)},"attribute":{_json(attribute)},"value":'
        return between, f',"unit":{_json(unit)}}}\n'

    def _cell(self, value: TimeseriesValue) -> str:
        if type(value) is float:
            return repr(value) if math.isfinite(value) else _NOT_FINITE[repr(value)]
        return _json(value)


def _csv(cells: Sequence[str]) -> str:
    if cells == [""]:
        return ""  # alone in a row it would be quoted
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="").writerow(cells)
    return file.getvalue()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


class TextFormat:
    """A format whose files are the lines of their parts under a header."""

    def __init__(self, header: bytes, writer: type[_TextWriter]) -> None:
        self._header = header
        self._writer = writer

    def part(self, file: IO[bytes], units: Units) -> PartWriter:
        """Begin a part."""
        return self._writer(file, units)

    def join(self, parts: Iterable[Path], file: IO[bytes], joined: Callable[[], None]) -> None:
        """Write the header and copy the parts."""
        file.write(self._header)
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)
            joined()


CSV: Final = TextFormat((",".join(COLUMNS) + "\n").encode(), _CsvWriter)
JSON_LINES: Final = TextFormat(b"", _JsonWriter)
NAMES: Final = ("parquet", "csv", "jsonl")
_SUFFIXES: Final = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def format_of(path: Path) -> str | None:
    """Return the name of the format that a file's name tells; None if it does not."""
    return _SUFFIXES.get(path.suffix.lower())


def format_called(name: str) -> Format:
    """Return the format of a name.

    Raises:
        MissingExtraError: Parquet needs pyarrow, which is not installed.
    """
    if name == "csv":
        return CSV
    if name == "jsonl":
        return JSON_LINES
    try:
        from enapter_async.cli.export_parquet import PARQUET
    except ImportError as error:
        raise MissingExtraError("pyarrow", "arrow") from error
    return PARQUET
