"""The header of a time series: labels and data types of the columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from enapter_async.errors import TimeseriesFormatError
from enapter_async.models.timeseries import ColumnHeader, DataType

DATA_TYPES_HEADER: Final = "X-Enapter-Timeseries-Data-Types"
_TIMESTAMP: Final = "ts"


def parse_data_types(lines: Iterable[str]) -> tuple[DataType, ...]:
    """Read the data types of the columns.

    Args:
        lines: Values of the header `X-Enapter-Timeseries-Data-Types`: one for each column, or joined by
            commas (reference.md, Telemetry CSV). An unknown type keeps its text.
    """
    names = [name.strip() for line in lines for name in line.split(",")]
    while names and not names[-1]:  # the header is present but empty
        names.pop()
    return tuple(DataType(name) for name in names)


def parse_columns(cells: Sequence[str], data_types: Sequence[DataType]) -> tuple[ColumnHeader, ...]:
    """Read the header row.

    Args:
        cells: Cells of the header row: `ts`, then the labels of each column.
        data_types: Type of each column.

    Raises:
        TimeseriesFormatError: The header is invalid (row 0), or the types do not match it.
    """
    if not cells or cells[0] != _TIMESTAMP:
        found = cells[0] if cells else ""
        raise TimeseriesFormatError(f"the header must begin with 'ts', not {found[:40]!r}", row=0, column=0)
    if len(data_types) != len(cells) - 1:
        raise TimeseriesFormatError(
            f"{len(cells) - 1} columns, but {len(data_types)} data types in {DATA_TYPES_HEADER}", row=0
        )
    return tuple(
        _parse_column(cell, data_type, column)
        for column, (cell, data_type) in enumerate(zip(cells[1:], data_types, strict=True), start=1)
    )


def _parse_column(cell: str, data_type: DataType, column: int) -> ColumnHeader:
    labels: dict[str, str] = {}
    for label in cell.split(" "):
        if not label:
            continue
        key, equals, value = label.partition("=")
        if not key or not equals:
            raise TimeseriesFormatError(f"a label must be key=value, not {label[:40]!r}", row=0, column=column)
        if key in labels:
            raise TimeseriesFormatError(f"the label {key[:40]!r} occurs twice", row=0, column=column)
        labels[key] = value
    for needed in ("device", "telemetry"):
        if not labels.get(needed):
            raise TimeseriesFormatError(f"the label {needed!r} is missing", row=0, column=column)
    if not data_type:
        raise TimeseriesFormatError("the data type is empty", row=0, column=column)
    return ColumnHeader(labels["device"], labels["telemetry"], data_type, labels)
