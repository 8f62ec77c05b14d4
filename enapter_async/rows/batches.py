"""Conversion of history to rows."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Final, TypeAlias

from enapter_async.errors import NotFoundError
from enapter_async.models.timeseries import Column, TimeseriesBatch
from enapter_async.rows.row import Row, clean_text, split_value

_NOTHING_THERE: Final = "telemetrypersistence/NO_TELEMETRY_ATTRIBUTES_FOUND"

Units: TypeAlias = Mapping[str, Mapping[str, str | None]]
"""Units by device and attribute."""


def make_batch_rows(batch: TimeseriesBatch, units: Units) -> list[Row]:
    """Return a row for each value, in order of time and, for the same time, in the order of the columns.

    Args:
        batch: Batch of history.
        units: Units of its attributes. Attributes that are missing have no unit.

    Raises:
        ValueError: A value is nested too deeply to be written as JSON.
    """
    times = [second * 1_000_000 for second in batch.unix_seconds]
    columns = [_make_column_rows(column, times, units) for column in batch.columns]
    return [row for rows in zip(*columns, strict=True) for row in rows if row is not None]


def _make_column_rows(column: Column, times: list[int], units: Units) -> list[Row | None]:
    unit = units.get(column.device, {}).get(column.attribute)
    device_id, attribute = clean_text(column.device), clean_text(column.attribute)
    unit = clean_text(unit) if unit else None
    rows: list[Row | None] = []
    for time, value in zip(times, column.values, strict=True):
        if value is None:
            rows.append(None)
        elif type(value) is float and value - value == 0.0:  # finite, as almost all values are
            rows.append((device_id, attribute, time, value, None, unit))
        else:
            number, text = split_value(value)  # type: ignore[arg-type]
            rows.append((device_id, attribute, time, number, text, unit))
    return rows


@contextmanager
def none_is_empty() -> Generator[None, None, None]:
    """Take the answer that no attribute of a request has any history for an empty one (reference.md, Telemetry CSV)."""
    try:
        yield
    except NotFoundError as error:
        if error.code != _NOTHING_THERE:
            raise
