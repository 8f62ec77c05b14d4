"""Splits a long history into requests: time windows and groups of devices.

Parts are independent: they can be pickled, and run anywhere, in any order, and repeatedly. A part returns only rows of
its own window `[start, end)`, so no timestamp is returned twice, even if the server includes `to`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar, overload

import attrs

from enapter_async._arguments import refuse_argument, require_whole_number
from enapter_async._duration import to_positive_timedelta
from enapter_async.models.common import Duration
from enapter_async.models.timeseries import Series, TimeseriesBatch, TimeseriesQuery

DEVICES_PER_REQUEST: Final = 10
"""Limit of the v1 API (reference.md, Telemetry CSV). No limit of v3 is documented."""
COLUMNS_PER_REQUEST: Final = 100
"""The response has a header for each column, and aiohttp accepts 128 headers."""
STEPS_PER_REQUEST: Final = 10_000
"""Default number of steps in a window: a week at one minute."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_Batch = TypeVar("_Batch", bound=TimeseriesBatch)


@attrs.frozen
class HistoryPart:
    """One request of a history, and the range of rows that belong to it.

    Attributes:
        index: Number of the part in its plan, counted from 0.
        query: Query of the request.
        first: Start of the part, in Unix seconds.
        before: End of the part (exclusive), in Unix seconds.
    """

    index: int
    query: TimeseriesQuery
    first: int
    before: int

    def own_rows(self, batch: _Batch) -> _Batch:
        """Return the rows of a batch that belong to this part."""
        moments = batch.unix_seconds
        start, stop = bisect_left(moments, self.first), bisect_left(moments, self.before)
        return batch if stop - start == len(moments) else batch.slice(start, stop)

    def after(self, unix_seconds: int) -> HistoryPart | None:
        """Return the rest of the part after a delivered row, or None if nothing is left.

        The rest begins at the timestamp of the last delivered row, which is then left out. A later start could fall
        into the middle of a step, and the server would begin a new step there.

        Args:
            unix_seconds: Timestamp of the last delivered row.
        """
        if unix_seconds < self.first:
            return self
        if unix_seconds + 1 >= self.before:
            return None
        start = max(self.query.start, _EPOCH + timedelta(seconds=unix_seconds))
        return attrs.evolve(self, query=attrs.evolve(self.query, start=start), first=unix_seconds + 1)


@attrs.frozen
class HistoryPlan(Sequence[HistoryPart]):
    """The parts of a history: all devices of the first window, then all of the next.

    A part is created on access, so even the plan for a year of ten thousand devices costs nothing.

    Attributes:
        query: Query of the whole history.
        window: Length of a window, in whole steps. Borders are multiples of it since 1970 (UTC). So no step is split,
            and parts inside the range do not depend on the range.
        groups: The series of each request of a window, by device.
    """

    query: TimeseriesQuery
    window: timedelta
    groups: tuple[tuple[Series, ...], ...] = attrs.field(repr=False)

    def __len__(self) -> int:
        return -((self._base - self.query.end) // self.window) * len(self.groups)

    @overload
    def __getitem__(self, index: int) -> HistoryPart: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[HistoryPart, ...]: ...
    def __getitem__(self, index: int | slice) -> HistoryPart | tuple[HistoryPart, ...]:
        places = range(len(self))[index]
        return self._part(places) if isinstance(places, int) else tuple(map(self._part, places))

    @property
    def _base(self) -> datetime:
        """The border at or before the start."""
        return _floor(self.query.start, self.window)

    def _part(self, index: int) -> HistoryPart:
        window, group = divmod(index, len(self.groups))
        start = self._base + window * self.window
        end = start + min(self.window, self.query.end - start)
        if window == 0:
            # The server may label the first step with its beginning, which is before the start.
            first = _floor(self.query.start, self.query.granularity)
            start = self.query.start
        else:
            first = start
        query = attrs.evolve(self.query, start=start, end=end, series=self.groups[group])
        return HistoryPart(index, query, (first - _EPOCH) // _SECOND, -((_EPOCH - end) // _SECOND))


def plan_history(
    query: TimeseriesQuery,
    *,
    window: Duration | None = None,
    devices_per_request: int = DEVICES_PER_REQUEST,
) -> HistoryPlan:
    """Split a query for any time range and any number of devices.

    Args:
        query: Query of the whole history.
        window: Longest span of one request, a timedelta or seconds, raised to whole steps; None for 10,000
            steps.
        devices_per_request: Maximum number of devices in one request. All series of a device go together, unless
            they have more than 100 attributes, the maximum of one request.

    Raises:
        InvalidArgumentError: An argument is invalid.
    """
    if not isinstance(query, TimeseriesQuery):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refuse_argument("query", "must be a TimeseriesQuery", query)
    step = query.granularity
    length = step * STEPS_PER_REQUEST if window is None else to_positive_timedelta(window, "window")
    devices_per_request = require_whole_number(devices_per_request, "devices_per_request", 1)
    by_device: dict[str, list[Series]] = {}
    for series in query.series:
        by_device.setdefault(series.device, []).append(series)
    groups = tuple(_make_groups(by_device.values(), devices_per_request))
    return HistoryPlan(query, -(-length // step) * step, groups)


def count_columns(series: Iterable[Series]) -> int:
    """Return the number of columns of the response."""
    return sum(len(one.attributes) for one in series)


def _make_groups(by_device: Iterable[Sequence[Series]], most_devices: int) -> Iterator[tuple[Series, ...]]:
    """Yield the series of each request, within the limits of devices and columns."""
    group: list[Series] = []
    columns = devices = 0
    for whole in by_device:
        for part in _divide(whole):
            width = count_columns(part)
            if group and (devices == most_devices or columns + width > COLUMNS_PER_REQUEST):
                yield tuple(group)
                group, columns, devices = [], 0, 0
            group += part
            columns += width
            devices += 1
    if group:
        yield tuple(group)


def _divide(series: Sequence[Series]) -> Iterator[Sequence[Series]]:
    """Yield the series of one device, in parts within the limit of columns."""
    if count_columns(series) <= COLUMNS_PER_REQUEST:
        yield series
        return
    part: list[Series] = []
    room = COLUMNS_PER_REQUEST
    for one in series:
        names = one.attributes
        while names:
            part.append(attrs.evolve(one, attributes=names[:room]))
            names, room = names[room:], room - len(part[-1].attributes)
            if not room:
                yield part
                part, room = [], COLUMNS_PER_REQUEST
    if part:
        yield part


def _floor(moment: datetime, step: timedelta) -> datetime:
    return _EPOCH + (moment - _EPOCH) // step * step
