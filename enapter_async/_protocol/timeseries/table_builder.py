"""Combines batches into one table."""

from __future__ import annotations

from collections.abc import Sequence

from enapter_async._protocol.timeseries.csv import with_values
from enapter_async.models.timeseries import (
    ColumnHeader,
    StoredValues,
    Timeseries,
    TimeseriesBatch,
    TimeseriesValue,
)


class TimeseriesCollector:
    """Collects the batches of one response.

    Args:
        headers: Columns of the response.
    """

    def __init__(self, headers: Sequence[ColumnHeader]) -> None:
        self._headers = tuple(headers)
        self._unix_seconds: list[int] = []
        self._columns = [_Values() for _ in self._headers]

    def add(self, batch: TimeseriesBatch) -> None:
        """Add the next batch."""
        self._unix_seconds += batch.unix_seconds
        for values, column in zip(self._columns, batch.columns, strict=True):
            values.add(column.stored)

    def result(self) -> Timeseries:
        """Return all batches as one table."""
        columns = zip(self._headers, self._columns, strict=True)
        return Timeseries(self._unix_seconds, tuple(with_values(header, values.joined()) for header, values in columns))


class _Values:
    """Values of one column. They stay in their compact form unless batches differ, and become plain values then."""

    __slots__ = ("_parts", "_plain")

    def __init__(self) -> None:
        self._parts: list[StoredValues] = []
        self._plain: list[TimeseriesValue] = []

    def add(self, stored: list[TimeseriesValue] | StoredValues) -> None:
        if not isinstance(stored, list) and not self._plain:
            self._parts.append(stored)
            return
        for part in (*self._parts, stored):
            self._plain += part if isinstance(part, list) else part.to_list()
        self._parts.clear()

    def joined(self) -> list[TimeseriesValue] | StoredValues:
        return self._parts[0].joined(self._parts) if self._parts else self._plain
