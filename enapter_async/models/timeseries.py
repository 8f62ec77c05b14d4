"""Historical telemetry: queries, and the columns they return."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, Self, TypeAlias

import attrs

from enapter_async._arguments import refuse_argument, require_aware_time, require_several
from enapter_async._duration import to_timedelta, to_whole_seconds
from enapter_async.errors import InvalidArgumentError
from enapter_async.models.common import Duration, OpenEnum

if TYPE_CHECKING:
    # pyarrow is untyped; the types of pandas are inferred.
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    import polars as pl
    import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]

TimeseriesValue: TypeAlias = "float | int | str | bool | list[str] | None"
"""One cell: a plain Python value, or None if it is empty."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Aggregation(OpenEnum):
    """How the values within one step are combined."""

    AUTO = "auto"
    """The server chooses by data type."""
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    LAST = "last"
    BOOL_OR = "bool_or"
    """True if any value of the step is true. Known only from the vendor's SDK."""


class DataType(OpenEnum):
    """Type of a column. Cells of an unknown type stay text."""

    FLOAT = "float"
    INTEGER = "integer"
    STRING = "string"
    STRING_ARRAY = "string_array"
    BOOLEAN = "boolean"


def _granularity(value: Duration) -> timedelta:
    return to_whole_seconds(value, "granularity")


def _look_around(value: Duration) -> timedelta:
    return to_timedelta(value, "look_around")


def _name(argument: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise refuse_argument(argument, "must be a name", value)
    return value


def _device(value: str) -> str:
    return _name("device", value)


def _attributes(values: Iterable[str]) -> tuple[str, ...]:
    if isinstance(values, str):
        raise refuse_argument("attributes", "must be an iterable of names, not a single string", values)
    names = tuple(_name("attributes", value) for value in require_several(values, "attributes"))
    if not names:
        raise InvalidArgumentError("attributes", "must not be empty")
    if len(set(names)) < len(names):
        raise InvalidArgumentError("attributes", f"contains a name twice: {', '.join(names)}")
    return names


def _aggregation(value: Aggregation | str | None) -> Aggregation | None:
    return None if value is None else Aggregation(_name("aggregation", value))


def _gap_filling(value: Locf | None) -> Locf | None:
    if value is not None and not isinstance(value, Locf):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refuse_argument("gap_filling", "must be Locf(...) or None", value)
    return value


def _series(values: Iterable[Series]) -> tuple[Series, ...]:
    series = tuple(require_several(values, "series"))
    if not series:
        raise InvalidArgumentError("series", "must not be empty")
    for one in series:
        if not isinstance(one, Series):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise refuse_argument("series", "must contain only Series(...)", one)
    return series


@attrs.frozen
class Locf:
    """Gap filling that carries the last observation forward.

    Attributes:
        look_around: How far a value is carried: a timedelta or a number of seconds.
    """

    look_around: timedelta = attrs.field(converter=_look_around)


@attrs.frozen
class Series:
    """Attributes of one device to query.

    Attributes:
        device: ID or slug of the device.
        attributes: Names of telemetry attributes, as in the device's manifest.
        aggregation: How the values within one step are combined. None uses that of the query, or the server's default.
        gap_filling: `Locf(...)`, or None to leave gaps empty.
    """

    device: str = attrs.field(converter=_device)
    attributes: tuple[str, ...] = attrs.field(converter=_attributes)
    aggregation: Aggregation | None = attrs.field(default=None, converter=_aggregation, kw_only=True)
    gap_filling: Locf | None = attrs.field(default=None, converter=_gap_filling, kw_only=True)


@attrs.frozen(kw_only=True)
class TimeseriesQuery:
    """A query for historical telemetry.

    Attributes:
        start: First moment, an aware datetime.
        end: Moment after the last one, an aware datetime later than `start`.
        granularity: Length of a step: a timedelta or a number of seconds. Whole seconds, at least one.
        series: Devices and attributes to read, at least one.
        aggregation: Aggregation of every series without its own. None uses the server's default (`auto`).

    Raises:
        InvalidArgumentError: An argument is invalid. The message names it.
    """

    start: datetime = attrs.field()
    end: datetime = attrs.field()
    granularity: timedelta = attrs.field(converter=_granularity)
    series: tuple[Series, ...] = attrs.field(converter=_series)
    aggregation: Aggregation | None = attrs.field(default=None, converter=_aggregation)

    def __attrs_post_init__(self) -> None:
        for argument, moment in (("start", self.start), ("end", self.end)):
            require_aware_time(moment, argument)
        # Python compares two times of one zone by their clock, which is set back once a year.
        if self.end - _EPOCH <= self.start - _EPOCH:
            raise InvalidArgumentError("end", f"must be later than start ({self.start.isoformat()})")


class StoredValues(Protocol):
    """Values of a column in another form, such as Arrow memory. They are converted on request."""

    def __len__(self) -> int: ...

    def to_list(self) -> list[TimeseriesValue]:
        """Return the values as plain Python values."""
        ...

    def to_arrow(self) -> Any:
        """Return the values as a `pyarrow.ChunkedArray`."""
        ...

    def slice(self, start: int, stop: int) -> Self:
        """Return some of the values, without copying."""
        ...

    def joined(self, parts: Sequence[Any]) -> Self:
        """Return the values of several parts as one, without copying."""
        ...


@attrs.frozen
class ColumnHeader:
    """Description of a column.

    Attributes:
        device: Identifier of the device in the response, its ID.
        attribute: Name of the telemetry attribute.
        data_type: Type of the values.
        labels: All labels that the server sent, including `aggregation`, `granularity` and the fields above.
    """

    device: str
    attribute: str
    data_type: DataType
    labels: dict[str, str] = attrs.field(factory=dict[str, str], hash=False)


@attrs.frozen(eq=False)
class Column(ColumnHeader):
    """A column with its values."""

    _stored: list[TimeseriesValue] | StoredValues = attrs.field(factory=list[TimeseriesValue], repr=False)

    @property
    def stored(self) -> list[TimeseriesValue] | StoredValues:
        """Values in their internal form. Use `values` instead."""
        return self._stored

    @cached_property
    def values(self) -> list[TimeseriesValue]:
        """Plain Python values, one for each timestamp. None means an empty cell.

        Floats can be NaN or infinite if the server sends that. Empty text is indistinguishable from an empty cell,
        and is None.
        """
        return self._stored if isinstance(self._stored, list) else self._stored.to_list()

    def __len__(self) -> int:
        return len(self._stored)

    def slice(self, start: int, stop: int) -> Column:
        """Return the column with the values from `start` up to, but not including, `stop`."""
        part = self._stored[start:stop] if isinstance(self._stored, list) else self._stored.slice(start, stop)
        return Column(self.device, self.attribute, self.data_type, self.labels, part)


class TimeseriesRow(NamedTuple):
    """All values of one timestamp.

    Attributes:
        timestamp: Aware datetime in UTC.
        values: One value for each column, in the order of the columns.
    """

    timestamp: datetime
    values: tuple[TimeseriesValue, ...]


@attrs.frozen(eq=False)
class TimeseriesBatch:
    """Consecutive rows, stored by column.

    Attributes:
        unix_seconds: Timestamps as the server sends them, strictly ascending. `timestamps` converts them to datetimes
            on first use.
        columns: One column for each attribute of each device that your role can read.
    """

    unix_seconds: Sequence[int] = attrs.field(repr=False)
    columns: tuple[Column, ...]

    def __len__(self) -> int:
        return len(self.unix_seconds)

    @cached_property
    def timestamps(self) -> list[datetime]:
        """Timestamps as aware datetimes in UTC."""
        return [_EPOCH + timedelta(0, seconds) for seconds in self.unix_seconds]

    def rows(self) -> Iterator[TimeseriesRow]:
        """Iterate over the rows. Working by column is faster."""
        if not self.columns:
            return (TimeseriesRow(timestamp, ()) for timestamp in self.timestamps)
        cells = zip(*(column.values for column in self.columns), strict=True)
        return map(TimeseriesRow._make, zip(self.timestamps, cells, strict=True))

    def slice(self, start: int, stop: int) -> Self:
        """Return the rows from `start` up to, but not including, `stop`."""
        columns = tuple(column.slice(start, stop) for column in self.columns)
        return type(self)(self.unix_seconds[start:stop], columns)

    @property
    def column_names(self) -> list[str]:
        """A unique name for each column, as used by the conversions.

        The name is `device.attribute`. If an attribute occurs several times, the aggregation is added, or a number if
        that is not unique: `pump.power`, `pump.power max`, `pump.power #2`.
        """
        names = [f"{column.device}.{column.attribute}" for column in self.columns]
        count = Counter(names)
        taken: set[str] = set()
        for index, column in enumerate(self.columns):
            name = names[index]
            if count[name] > 1 and "aggregation" in column.labels:
                name = f"{name} {column.labels['aggregation']}"
            unique, number = name, 1
            while unique in taken:
                number += 1
                unique = f"{name} #{number}"
            taken.add(unique)
            names[index] = unique
        return names

    def to_arrow(self) -> pa.Table:  # pyright: ignore[reportUnknownParameterType, reportUnknownMemberType]
        """Return a `pyarrow.Table`: `timestamp` (seconds, UTC), then the columns under `column_names`.

        Floats become float64, integers int64, booleans bool, texts string and lists list<string>. None becomes null,
        and NaN stays NaN. Nothing is copied if pyarrow parsed the response.

        Raises:
            MissingExtraError: pyarrow is not installed (extra `arrow`).
            InvalidArgumentError: A value does not fit, such as an integer of more than 64 bits.
        """
        from enapter_async.models._dataframes import to_arrow

        return to_arrow(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return a `pandas.DataFrame` with a UTC index `timestamp` and the columns under `column_names`.

        Integers become `Int64`, booleans `boolean` and texts `string`, all of them nullable. Floats become `float64`,
        with NaN for None, as usual in pandas. Lists become objects.

        Raises:
            MissingExtraError: pandas is not installed (extra `pandas`).
            InvalidArgumentError: A value does not fit, such as an integer of more than 64 bits.
        """
        from enapter_async.models._dataframes import to_pandas

        return to_pandas(self)

    def to_polars(self) -> pl.DataFrame:
        """Return a `polars.DataFrame`: `timestamp` (UTC), then the columns under `column_names`.

        Floats become Float64, integers Int64, booleans Boolean, texts String and lists List(String). None becomes
        null, and NaN stays NaN.

        Raises:
            MissingExtraError: polars is not installed (extra `polars`).
            InvalidArgumentError: A value does not fit, such as an integer of more than 64 bits.
        """
        from enapter_async.models._dataframes import to_polars

        return to_polars(self)  # type: ignore[no-any-return]


@attrs.frozen(eq=False)
class Timeseries(TimeseriesBatch):
    """A whole time series: `timestamps`, and `columns` of values."""
