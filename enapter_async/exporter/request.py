"""The request of an export, which is stored so that a later start sends exactly the same queries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import attrs

from enapter_async import (
    Aggregation,
    HistoryPlan,
    InvalidArgumentError,
    Series,
    StorageError,
    TimeseriesQuery,
    plan_history,
)
from enapter_async._arguments import refuse_argument, require_aware_time
from enapter_async._duration import to_positive_timedelta, to_whole_seconds
from enapter_async._protocol.query import text
from enapter_async._selection import Attributes, require_attributes, require_names
from enapter_async.exporter.selection import SelectedDevice
from enapter_async.models.common import JSON, Duration
from enapter_async.rows.batches import Units

_VERSION: Final = 3
"""Version 1 had other columns in its rows, version 2 more options in its requests."""
_DEVICES_PER_REQUEST: Final = 10
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING: Final = timedelta(0)


def _to_moment(value: datetime | timedelta, argument: str) -> datetime | timedelta:
    if isinstance(value, datetime):
        return require_aware_time(value, argument).astimezone(UTC)
    if not isinstance(value, timedelta):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refuse_argument(argument, "must be a datetime, or a timedelta before now", value)
    if value < _NOTHING:
        raise refuse_argument(argument, "must not be in the future: use a positive timedelta", value)
    return value


def _start(value: datetime | timedelta) -> datetime | timedelta:
    return _to_moment(value, "start")


def _end(value: datetime | timedelta) -> datetime | timedelta:
    return _to_moment(value, "end")


def _granularity(value: Duration) -> float:
    return to_whole_seconds(value, "granularity").total_seconds()


def _window(value: Duration | None) -> float | None:
    return None if value is None else to_positive_timedelta(value, "window").total_seconds()


def _aggregation(value: Aggregation | str | None) -> Aggregation | str | None:
    return None if value is None else text(value, "aggregation")


def _devices(values: Iterable[str]) -> tuple[str, ...]:
    return require_names(values, "devices")


@attrs.frozen(kw_only=True)
class ExportRequest:
    """A request for an export of history. An equal request resumes an interrupted export.

    Attributes:
        start: Start of the time range: an aware datetime, or a timedelta before now. The latter is fixed when the
            export begins, so an export that you resume the next day has the same time range.
        end: End of the time range (exclusive), in the same form. The default is now.
        granularity: Length of a step: a timedelta or seconds, in whole seconds, at least one.
        aggregation: How to combine the values of a step; None leaves it to the server.
        window: Longest time range of one HTTP request: a timedelta or seconds; None for 10,000 steps.
        devices: IDs, slugs or names. Empty for all devices that the token can see.
        attributes: `"numeric"`, `"all"`, or names of attributes. `"all"` includes texts, enumerations, booleans
            and alerts.

    Raises:
        InvalidArgumentError: An argument is invalid.
    """

    start: datetime | timedelta = attrs.field(converter=_start)
    end: datetime | timedelta = attrs.field(default=_NOTHING, converter=_end)
    granularity: float = attrs.field(default=60.0, converter=_granularity)
    aggregation: Aggregation | str | None = attrs.field(default=None, converter=_aggregation)
    window: float | None = attrs.field(default=None, converter=_window)
    devices: tuple[str, ...] = attrs.field(default=(), converter=_devices)
    attributes: Attributes = attrs.field(default="numeric", converter=require_attributes)

    def resolve(self, now: datetime) -> tuple[datetime, datetime]:
        """Return start and end. Relative ones are rounded down to whole steps.

        Raises:
            InvalidArgumentError: The end is not later than the start, or the time does not exist.
        """
        start, end = (self._resolve(name, getattr(self, name), now) for name in ("start", "end"))
        if end <= start:
            raise InvalidArgumentError(
                "end", f"must be later than start, got {end:%Y-%m-%dT%H:%M:%SZ} and {start:%Y-%m-%dT%H:%M:%SZ}"
            )
        return start, end

    def _resolve(self, name: str, moment: datetime | timedelta, now: datetime) -> datetime:
        if isinstance(moment, datetime):
            return moment
        step = timedelta(seconds=self.granularity)
        try:
            return _EPOCH + (now - moment - _EPOCH) // step * step
        except OverflowError:
            raise InvalidArgumentError(name, f"is before the year 1: {moment.days:,} days ago") from None

    def to_json(self) -> dict[str, JSON]:
        """Return the request in the form in which it is stored."""
        return {
            "start": _moment_to_json(self.start),
            "end": _moment_to_json(self.end),
            "granularity": self.granularity,
            "aggregation": None if self.aggregation is None else str(self.aggregation),
            "window": self.window,
            "devices": list(self.devices),
            "attributes": self.attributes if isinstance(self.attributes, str) else list(self.attributes),
        }


def _moment_to_json(moment: datetime | timedelta) -> str:
    if isinstance(moment, datetime):
        return moment.isoformat()
    return f"{moment} ago" if moment else "now"


@attrs.frozen
class ExportRecord:
    """A started export.

    Attributes:
        plan: Requests of the export.
        units: Units of the series, by device and attribute.
    """

    plan: HistoryPlan
    units: Units

    @classmethod
    def make(cls, request: ExportRequest, now: datetime, selected: Iterable[SelectedDevice]) -> ExportRecord:
        """Plan an export.

        Raises:
            InvalidArgumentError: An argument of the request is invalid.
        """
        start, end = request.resolve(now)
        return cls._plan(request, start, end, {one.device_id: one.units for one in selected})

    @classmethod
    def _plan(cls, request: ExportRequest, start: datetime, end: datetime, units: Units) -> ExportRecord:
        query = TimeseriesQuery(
            start=start,
            end=end,
            granularity=request.granularity,
            series=[Series(device, list(attributes)) for device, attributes in units.items()],
            aggregation=request.aggregation,
        )
        return cls(plan_history(query, window=request.window, devices_per_request=_DEVICES_PER_REQUEST), units)

    def to_json(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return the state to store.

        Args:
            question: Request, source and format, to compare with those of the next start.
        """
        query = self.plan.query
        return {
            "version": _VERSION,
            "question": question,
            "start": query.start.isoformat(),
            "end": query.end.isoformat(),
            "units": self.units,
        }

    @classmethod
    def from_json(
        cls, kept: dict[str, Any], request: ExportRequest, question: dict[str, Any], folder: str
    ) -> ExportRecord:
        """Read the stored state.

        Args:
            kept: The value that `to_json` returned.
            request: The request of this run.
            question: As in `to_json`, for this run.
            folder: Folder of the state, for messages.

        Raises:
            StorageError: The state is from another version.
            InvalidArgumentError: The state belongs to another request.
        """
        if kept.get("version") != _VERSION:
            raise StorageError(
                folder,
                "this export was started by another version of enapter-async and cannot be continued; finish it with"
                " that version, or remove the folder to start over",
            )
        before = cast("dict[str, Any]", kept["question"])
        for name, value in question.items():
            if before.get(name) != value:
                raise InvalidArgumentError(
                    name,
                    f"{folder} was begun with {_show(before.get(name))}, not with {_show(value)}; repeat the first"
                    " request to resume it, choose another file, or remove the folder to start over",
                )
        start, end = datetime.fromisoformat(kept["start"]), datetime.fromisoformat(kept["end"])
        return cls._plan(request, start, end, kept["units"])


def identify_question(question: dict[str, Any]) -> str:
    """Return a key that distinguishes several exports in one place."""
    text = json.dumps({"version": _VERSION, **question}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _show(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, cast("list[object]", value))) or "all"
    return "the default" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
