"""Long histories as many requests: windows of time, groups of devices.

Parts are independent: they can be pickled, run anywhere and in any order, and run again. A part returns only rows of
its own window, `[start, end)`, so no timestamp is returned twice whether the server includes `to` or not.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar, overload

import attrs

from enapter_async.models.arguments import refuse_argument, require_whole_number
from enapter_async.models.common import Duration
from enapter_async.models.duration import to_timedelta
from enapter_async.models.timeseries import Series, TimeseriesBatch, TimeseriesQuery

DEVICES_PER_REQUEST: Final = 10
"""What the v1 API allowed (reference.md, Telemetry CSV); no limit of v3 is known."""
COLUMNS_PER_REQUEST: Final = 100
"""The response has a header for each column, and aiohttp accepts 128 headers."""
STEPS_PER_REQUEST: Final = 10_000
"""Length of a window where none is given: a week at one minute."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_Batch = TypeVar("_Batch", bound=TimeseriesBatch)


@attrs.frozen
class HistoryPart:
    """One request of a history, and which rows of its answer belong to it.

    Attributes:
        index: Number of the part in its plan, counted from 0.
        query: What to ask.
        first: Unix seconds of the first moment that belongs to the part.
        before: Unix seconds of the first moment after the part.
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
        """Return what is left of the part once all rows up to a moment were delivered; None for nothing.

        It asks from the last delivered moment on, whose row is then left out: a later start could fall into
        the middle of a step, and the server would make a step of its own from there.

        Args:
            unix_seconds: Moment of the last row that was delivered.
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

    A part is made when it is asked for: the plan for a year of ten thousand devices costs nothing.

    Attributes:
        query: The whole question.
        window: Length of a window, whole steps. Borders are multiples of it since 1970 (UTC), so that no step
            is cut in two, and a part inside the span is the same whatever the span.
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
            # The server may name the first step by its beginning, which lies before the start.
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
    """Split a question of any span and any number of devices.

    Args:
        query: The whole question.
        window: Longest span of one request, a timedelta or seconds, raised to whole steps; None for 10,000
            steps.
        devices_per_request: Maximum number of devices in one request. All series of a device go together, unless
            they have more than 100 attributes, the maximum of one request.

    Raises:
        InvalidArgumentError: An argument cannot work; it is named.
    """
    if not isinstance(query, TimeseriesQuery):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refuse_argument("query", "must be a TimeseriesQuery", query)
    step = query.granularity
    length = step * STEPS_PER_REQUEST if window is None else to_timedelta(window, "window")
    if length <= timedelta(0):
        raise refuse_argument("window", "must be positive", window)
    devices_per_request = require_whole_number(devices_per_request, "devices_per_request", 1)
    by_device: dict[str, list[Series]] = {}
    for series in query.series:
        by_device.setdefault(series.device, []).append(series)
    groups = tuple(_make_groups(by_device.values(), devices_per_request))
    return HistoryPlan(query, -(-length // step) * step, groups)


def count_columns(series: Iterable[Series]) -> int:
    """Return the number of columns of the answer."""
    return sum(len(one.attributes) for one in series)


def _make_groups(by_device: Iterable[Sequence[Series]], most_devices: int) -> Iterator[tuple[Series, ...]]:
    """Yield the series of each request, of few enough devices and columns."""
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
    """Yield the series of one device, in parts of few enough columns."""
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
