"""From datapoints to rows, and what must have been missed between two of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from enapter_async import Datapoint
from enapter_async.collector.gaps import Gap
from enapter_async.collector.selection import Units
from enapter_async.rows import Row, split_value, to_microseconds
from enapter_async.rows.row import clean_text

SECOND: Final = 1_000_000
DAY: Final = 86_400 * SECOND
_EARLIEST: Final = 1_420_070_400 * SECOND
"""2015-01-01: a device with an earlier clock has none."""
_LONGEST_GAP: Final = 31 * DAY
"""A longer one is cut: reading years of seconds takes days, and most of them are wrong clocks."""
_LAG_AHEAD: Final = 10 * SECOND
_LONGEST_LAG: Final = 3_600 * SECOND
_MOST_TIMES: Final = 4_096

Key = tuple[str, str]


class Intake:
    """Makes rows of datapoints, and tells gaps by the times of each attribute.

    Telemetry has a datapoint for each step or it has not: an attribute whose time advances by more than a step may
    have been missed in between. It has not if the device reports seldom. So the first advance of a size is looked up
    in history; if that has nothing, advances up to this size are usual for the attribute and not looked up again,
    except where a poll in between failed, was skipped or was late.

    Attributes:
        datapoints: Datapoints that came.
        seen: How many attributes had a datapoint.
        longest_gap: Most seconds between two datapoints of one attribute, with device and attribute.
    """

    def __init__(self, step: int, now: Callable[[], int], skip: Callable[[str, str, str], None]) -> None:
        """Begin.

        Args:
            step: Microseconds between two datapoints.
            now: Gives the server's time, in microseconds since 1970.
            skip: Is called for a value that cannot be stored, with device, attribute and reason.
        """
        self.datapoints: int = 0
        self.longest_gap: tuple[float, str, str] = (0.0, "", "")
        self._step = step
        self._now = now
        self._skip = skip
        self._units: Units = {}
        self._since: dict[str, int] = {}
        self._last: dict[str, dict[str, int]] = {}
        self._usual: dict[Key, int] = {}
        self._in_question: dict[Key, int] = {}
        self._doubtful: dict[str, int] = {}
        self._times: dict[datetime, int] = {}
        self._lag_noted: dict[str, int] = {}

    @property
    def seen(self) -> int:
        """How many attributes had a datapoint."""
        return sum(map(len, self._last.values()))

    def select(self, units: Units, since: int) -> None:
        """Take other devices, attributes or units from now on.

        Args:
            units: Unit by attribute, by device.
            since: From when on new devices are collected.
        """
        self._units = units
        for device in units:
            self._since.setdefault(device, since)

    def knows(self, device: str) -> bool:
        """Whether a device had a datapoint."""
        return device in self._last

    def begin(self, device: str, since: int) -> None:
        """Say from when on a device is collected without a gap."""
        self._since[device] = since

    def doubt(self, devices: Iterable[str]) -> None:
        """Take note that a poll of some devices did not go as it should."""
        moment = self._now()
        for device in devices:
            self._doubtful[device] = moment

    def lagging(self, devices: Iterable[str]) -> list[Gap]:
        """Return gaps from now on, for devices of which some attributes may be collected while others are not.

        Their newest row would not show after a kill what the others lack. A gap reaches some seconds ahead, so that
        one is noted for many polls.
        """
        now = self._now()
        gaps: list[Gap] = []
        for device in devices:
            if self._lag_noted.get(device, 0) > now:
                continue
            reached = min(self._last.get(device, {}).values(), default=self._since.get(device, now))
            start = max(reached, now - _LONGEST_LAG) // self._step * self._step
            before = self._lag_noted[device] = (now + _LAG_AHEAD) // self._step * self._step + self._step
            gaps.append(Gap(device_id=device, start=start, before=before, reason="some attributes were not answered"))
        return gaps

    def settle(self, devices: Collection[str], found: Collection[Key]) -> None:
        """Learn from history what is usual.

        Args:
            devices: Devices whose gaps were looked up.
            found: Attributes of which rows were missing.
        """
        for key in [key for key in self._in_question if key[0] in devices]:
            size = self._in_question.pop(key)
            if key not in found:
                self._usual[key] = max(size, self._usual.get(key, 0))

    def reached(self) -> dict[str, int]:
        """Return the newest time of each device."""
        return {device: max(times.values()) for device, times in self._last.items() if times}

    def take(self, batch: Sequence[Datapoint]) -> tuple[list[Row], list[Gap]]:  # noqa: C901, PLR0912 - the hot loop
        """Return the rows of an answer, and the gaps that it shows."""
        rows: list[Row] = []
        gaps: dict[str, tuple[int, int]] = {}
        self.datapoints += len(batch)
        ahead = self._now() + DAY
        step = self._step
        moments = self._times
        device = ""
        units: Mapping[str, str | None] | None = None
        last: dict[str, int] = {}
        for point in batch:
            if point.device != device:
                device = point.device
                units = self._units.get(device)
                last = {} if units is None else self._last.setdefault(device, {})
            if units is None:
                continue  # nobody asked for this device
            attribute, timestamp, value = point.attribute, point.timestamp, point.value
            time = moments.get(timestamp)
            if time is None:
                if len(moments) >= _MOST_TIMES:
                    moments.clear()
                time = moments[timestamp] = to_microseconds(timestamp)
            if type(value) is float and value - value == 0.0:  # finite, as nearly all are
                name = attribute if attribute.isascii() else clean_text(attribute)
                rows.append((device, name, time, value, None, units.get(attribute)))
            else:
                try:
                    number, text = split_value(value)
                except ValueError as error:
                    self._skip(device, attribute, str(error))
                    continue
                rows.append((device, clean_text(attribute), time, number, text, units.get(attribute)))
            before = last.get(attribute)
            if before is None:
                if time >= ahead or time < _EARLIEST:
                    continue
                last[attribute] = time
                before = self._since.get(device, time)
                if time - before > step:
                    self._note(gaps, device, attribute, before, time)
            elif time > before:
                if time >= ahead:
                    continue
                last[attribute] = time
                if time - before > step:
                    self._note(gaps, device, attribute, before, time)
        return rows, [
            Gap(device_id=name, start=start, before=before, reason="no values were seen")
            for name, (start, before) in gaps.items()
        ]

    def _note(self, gaps: dict[str, tuple[int, int]], device: str, attribute: str, before: int, time: int) -> None:
        step = self._step
        start, end = before // step * step + step, time // step * step
        size = time - before
        if size / SECOND > self.longest_gap[0] and before != self._since.get(device):
            self.longest_gap = (size / SECOND, device, attribute)
        if end <= start or before < _EARLIEST:
            return
        doubtful = self._doubtful.get(device)
        in_doubt = doubtful is not None and doubtful >= before - step
        if not in_doubt and size <= self._usual.get((device, attribute), 0):
            return
        if not in_doubt:
            self._in_question[device, attribute] = max(size, self._in_question.get((device, attribute), 0))
        start = max(start, end - _LONGEST_GAP)
        known = gaps.get(device)
        gaps[device] = (start, end) if known is None else (min(start, known[0]), max(end, known[1]))
