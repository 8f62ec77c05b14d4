"""Conversion of time series to tables of other libraries, which are imported on first use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from enapter_async.errors import InvalidArgumentError, MissingExtraError
from enapter_async.models.timeseries import Column, DataType, TimeseriesBatch

TIMESTAMP: Final = "timestamp"
"""Name of the column or index of timestamps."""


def to_arrow(batch: TimeseriesBatch) -> Any:
    """See `TimeseriesBatch.to_arrow`."""
    pa = _library("pyarrow", "arrow")
    types = {
        DataType.FLOAT: pa.float64(),
        DataType.INTEGER: pa.int64(),
        DataType.BOOLEAN: pa.bool_(),
        DataType.STRING_ARRAY: pa.list_(pa.string()),
    }

    def chunks(column: Column) -> Any:
        if not isinstance(column.stored, list):
            return column.stored.to_arrow()
        return pa.chunked_array([pa.array(column.stored, types.get(column.data_type, pa.string()))])

    moments = pa.array(batch.unix_seconds, pa.timestamp("s", "UTC"))
    return pa.table({TIMESTAMP: moments, **_converted(batch, chunks)})


def to_pandas(batch: TimeseriesBatch) -> Any:
    """See `TimeseriesBatch.to_pandas`."""
    pd = _library("pandas", "pandas")
    types = {
        DataType.FLOAT: "float64",
        DataType.INTEGER: "Int64",
        DataType.BOOLEAN: "boolean",
        DataType.STRING_ARRAY: "object",
    }

    def series(column: Column) -> Any:
        return pd.Series(column.values, index=index, dtype=types.get(column.data_type, "string"))

    index = pd.DatetimeIndex(pd.to_datetime(batch.unix_seconds, unit="s", utc=True), name=TIMESTAMP)
    return pd.DataFrame(_converted(batch, series), index=index)


def to_polars(batch: TimeseriesBatch) -> Any:
    """See `TimeseriesBatch.to_polars`."""
    pl = _library("polars", "polars")
    types = {
        DataType.FLOAT: pl.Float64,
        DataType.INTEGER: pl.Int64,
        DataType.BOOLEAN: pl.Boolean,
        DataType.STRING_ARRAY: pl.List(pl.String),
    }

    def series(column: Column) -> Any:
        return pl.Series(column.values, dtype=types.get(column.data_type, pl.String))

    moments = pl.from_epoch(pl.Series(batch.unix_seconds, dtype=pl.Int64), "s").dt.replace_time_zone("UTC")
    return pl.DataFrame({TIMESTAMP: moments, **_converted(batch, series)})


def _library(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(module, extra) from error


def _converted(batch: TimeseriesBatch, convert: Callable[[Column], Any]) -> dict[str, Any]:
    """Return the converted columns by name."""
    converted: dict[str, Any] = {}
    for name, column in zip(batch.column_names, batch.columns, strict=True):
        try:
            converted[name] = convert(column)
        except (OverflowError, TypeError, ValueError) as error:
            raise InvalidArgumentError(name, f"a value does not fit type {column.data_type}: {error}") from error
    return converted
