"""Conversion of history to rows."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from math import isfinite
from typing import Final, TypeAlias, cast, overload

from enapter_async.errors import NotFoundError
from enapter_async.models.timeseries import TimeseriesBatch, TimeseriesValue
from enapter_async.rows.row import Row, clean_text, split_value

_NOTHING_THERE: Final = "telemetrypersistence/NO_TELEMETRY_ATTRIBUTES_FOUND"

Units: TypeAlias = Mapping[str, Mapping[str, str | None]]
"""Units by device and attribute."""
_Series: TypeAlias = tuple[str, str, str | None]
"""device_id, attribute, unit."""
_FLOATS: Final = frozenset({float, type(None)})
_NUMBERS: Final = _FLOATS | {int, bool}


def make_batch_rows(batch: TimeseriesBatch, units: Units) -> list[Row]:
    """Return a row for each value, in order of time and, for the same time, in the order of the columns.

    Args:
        batch: Batch of history.
        units: Units of its attributes. Attributes that are missing have no unit.

    Raises:
        ValueError: A value is nested too deeply to be written as JSON.
    """
    times = [second * 1_000_000 for second in batch.unix_seconds]
    columns = [
        _make_column_rows(_name_series(column.device, column.attribute, units), times, column.values)
        for column in batch.columns
    ]
    return [row for rows in zip(*columns, strict=True) for row in rows if row is not None]


class RowBlock(Sequence[Row]):
    """Rows of history, stored by column: a store that can write them so need not make each of them.

    Attributes:
        times: Microseconds since 1970, ascending.
        series: Device, attribute and unit of each column.
        numbers: For each column its number at each time. None means that the row does not exist.
        others: The rows whose value is not a number.
    """

    def __init__(
        self,
        times: Sequence[int],
        series: Sequence[_Series],
        numbers: Sequence[Sequence[float | None]],
        others: Sequence[Row],
    ) -> None:
        self.times: Sequence[int] = times
        self.series: Sequence[_Series] = series
        self.numbers: Sequence[Sequence[float | None]] = numbers
        self.others: Sequence[Row] = others

    def find_first_times(self) -> dict[tuple[str, str], int]:
        """Return the time of the first row by device and attribute, in microseconds since 1970."""
        first: dict[tuple[str, str], int] = {}
        for (device, attribute, _), values in zip(self.series, self.numbers, strict=True):
            time = next((time for time, value in zip(self.times, values, strict=True) if value is not None), None)
            if time is not None:
                first[device, attribute] = min(time, first.get((device, attribute), time))
        for device, attribute, time, *_ in self.others:
            first[device, attribute] = min(time, first.get((device, attribute), time))
        return first

    def select(self, find_filter: Callable[[str, str], Callable[[int], bool] | None]) -> RowBlock:
        """Return the block with some of its rows.

        Args:
            find_filter: Gets device and attribute. Returns what tells by the time whether a row is wanted, or None
                if all rows are.
        """
        filters = [find_filter(device, attribute) for device, attribute, _ in self.series]
        numbers = [
            values if is_wanted is None else _mask(values, map(is_wanted, self.times))
            for values, is_wanted in zip(self.numbers, filters, strict=True)
        ]
        others = [row for row in self.others if (is_wanted := find_filter(row[0], row[1])) is None or is_wanted(row[2])]
        return RowBlock(self.times, self.series, numbers, others)

    @cached_property
    def _counts(self) -> list[int]:
        return [len(values) - values.count(None) for values in self.numbers]

    @cached_property
    def _rows(self) -> list[Row]:
        rows: list[Row] = [
            (device, attribute, time, value, None, unit)
            for time, values in zip(self.times, zip(*self.numbers, strict=True), strict=False)
            for (device, attribute, unit), value in zip(self.series, values, strict=True)
            if value is not None
        ]
        return rows + list(self.others)

    def __len__(self) -> int:
        return sum(self._counts) + len(self.others)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        return self._rows[index]


def has_same_series(one: TimeseriesBatch, other: TimeseriesBatch) -> bool:
    """Return whether two batches have the same columns, as `make_row_block` requires."""
    return [(column.device, column.attribute) for column in one.columns] == [
        (column.device, column.attribute) for column in other.columns
    ]


def make_row_block(batches: Sequence[TimeseriesBatch], units: Units) -> RowBlock:
    """Return a row for each value, stored by column.

    Args:
        batches: Consecutive batches of one response.
        units: Units of its attributes. Attributes that are missing have no unit.

    Raises:
        ValueError: A value is nested too deeply to be written as JSON.
    """
    times = [second * 1_000_000 for batch in batches for second in batch.unix_seconds]
    series: list[_Series] = []
    numbers: list[Sequence[float | None]] = []
    others: list[Row] = []
    for column in zip(*(batch.columns for batch in batches), strict=True):
        values = column[0].values if len(column) == 1 else [value for part in column for value in part.values]
        named = _name_series(column[0].device, column[0].attribute, units)
        if (plain := _take_numbers(values)) is not None:
            series.append(named)
            numbers.append(plain)
        else:
            others += [row for row in _make_column_rows(named, times, values) if row is not None]
    return RowBlock(times, series, numbers, others)


def _name_series(device: str, attribute: str, units: Units) -> _Series:
    unit = units.get(device, {}).get(attribute)
    return clean_text(device), clean_text(attribute), clean_text(unit) if unit else None


def _make_column_rows(series: _Series, times: Sequence[int], values: Sequence[TimeseriesValue]) -> list[Row | None]:
    device, attribute, unit = series
    rows: list[Row | None] = []
    for time, value in zip(times, values, strict=True):
        if value is None:
            rows.append(None)
        elif type(value) is float and value - value == 0.0:  # finite, as almost all values are
            rows.append((device, attribute, time, value, None, unit))
        else:
            number, text = split_value(value)  # type: ignore[arg-type]
            rows.append((device, attribute, time, number, text, unit))
    return rows


def _take_numbers(values: Sequence[TimeseriesValue]) -> Sequence[float | None] | None:
    """Return the values of a column as floats, or None if one of them is not a finite number, a boolean or empty."""
    kinds = set(map(type, values))
    if not kinds <= _NUMBERS:
        return None
    numbers = cast("Sequence[float | None]", values)
    if not kinds <= _FLOATS:
        try:
            numbers = [None if value is None else float(value) for value in numbers]
        except OverflowError:
            return None
    # The sum of all is finite only if each of them is.
    return numbers if isfinite(sum(filter(None, numbers))) else None


def _mask(values: Sequence[float | None], wanted: Iterator[bool]) -> list[float | None]:
    return [value if is_wanted else None for value, is_wanted in zip(values, wanted, strict=True)]


@contextmanager
def none_is_empty() -> Generator[None, None, None]:
    """Treat the response that no requested attribute has any history as an empty one (reference.md, Telemetry CSV)."""
    try:
        yield
    except NotFoundError as error:
        if error.code != _NOTHING_THERE:
            raise
