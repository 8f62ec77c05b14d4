"""Conversion of datapoints to rows, and detection of gaps between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Final

from enapter_async.collector._repair_job import StoredSteps
from enapter_async.collector._silence import (
    CHECKED_AGAIN,
    LONGEST_GAP,
    Advance,
    DeviceTrack,
    Doubt,
    Rhythm,
    find_doubt_start,
    is_set_back,
    make_doubt_gap,
)
from enapter_async.collector._times import DAY, EARLIEST, SECOND
from enapter_async.collector.gaps import Gap
from enapter_async.collector.selection import Units
from enapter_async.models.watch import DatapointTuple
from enapter_async.rows import Row, split_value, to_microseconds
from enapter_async.rows.row import clean_text

_LAG_AHEAD: Final = 10 * SECOND
_LASTING_POLLS: Final = 3
"""Failed polls in a row after which an outage is noted although it is not over."""
_NOTED_AGAIN: Final = 30 * SECOND
"""Time after which the gap of a continuing outage is recorded again, with its current length."""
_MOST_TIMES: Final = 4_096

Key = tuple[str, str]


class Intake:
    """Makes rows of datapoints, and finds what was missed: by failed polls, and by the silence of devices.

    Attributes:
        datapoints: Number of datapoints received.
        without_history: Attributes without values in history, although there should be some.
        longest_gap: Most seconds between two times at which a device reported anything, with the device and an
            attribute that ended it.
    """

    def __init__(
        self,
        step: int,
        interval: int,
        now: Callable[[], int],
        skip: Callable[[str, str, str], None],
        report_clock: Callable[[str, int], None] = lambda _, __: None,
    ) -> None:
        """Create the intake.

        Args:
            step: Microseconds between two rows.
            interval: Microseconds between two polls.
            now: Returns the server's time, in microseconds since 1970.
            skip: Called with device, attribute and reason for each value that cannot be stored.
            report_clock: Called with device and time for the first time of a device that cannot be right.
        """
        self.datapoints: int = 0
        self.without_history: set[Key] = set()
        self._maybe_without_history: set[Key] = set()
        """Attributes that seem to have no history, but will be looked up again."""
        self.longest_gap: tuple[float, str, str] = (0.0, "", "")
        self._step = step
        self._interval = interval
        self._rhythm = Rhythm(step=step, interval=interval)
        self._now = now
        self._skip = skip
        self._report_clock = report_clock
        self._units: Units = {}
        self._tracks: dict[str, DeviceTrack] = {}
        self._doubts: dict[str, Doubt] = {}
        self._times: dict[datetime, int] = {}
        self._lag_noted: dict[str, int] = {}
        self._doubts_seen_at = 0

    @property
    def seen(self) -> int:
        """Number of selected attributes with a datapoint."""
        tracks = self._tracks
        return sum(len(tracks[device].reported) - len(tracks[device].dropped) for device in self._units)

    @property
    def devices_seen(self) -> int:
        """Number of selected devices with a datapoint."""
        return sum(bool(self._tracks[device].reported) for device in self._units)

    def list_silent_devices(self, most: int) -> list[str]:
        """Return up to some of the selected devices without a datapoint."""
        return list(islice((device for device in self._units if not self._tracks[device].reported), most))

    def list_wrong_clocks(self) -> list[str]:
        """Return the selected devices with times that cannot be right."""
        return [device for device in self._units if self._tracks[device].misdated]

    def list_without_datapoint(self, most: int) -> list[Key]:
        """Return up to some of the selected attributes without a datapoint, those of devices that had others first."""
        found = (
            (device, name)
            for silent in (False, True)
            for device, names in self._units.items()
            if silent is not bool(reported := self._tracks[device].reported)
            for name in names
            if name not in reported
        )
        return list(islice(found, most))

    def select(self, units: Units, since: int) -> None:
        """Change the devices, attributes or units.

        Args:
            units: Unit by attribute, by device.
            since: Time from which new devices are collected.
        """
        before, self._units = self._units, units
        for device, names in units.items():
            track = self._tracks.get(device)
            if track is None:
                self._tracks[device] = DeviceTrack(since)
                continue
            back = {name: track.dropped.pop(name) for name in names if name in track.dropped}
            if back:
                self.doubt((device,), min(back.values()), since, "it was not selected")
                # The next response may not contain them yet. Their first values then end the gap.
                track.unsteady.update(back)
        for device, names in before.items():
            left = units.get(device, {})
            track = self._tracks[device]
            track.dropped.update((name, since) for name in names if name not in left and name in track.reported)

    def knows(self, device: str) -> bool:
        """Whether a datapoint of the device was received."""
        track = self._tracks.get(device)
        return track is not None and track.newest is not None

    def begin(self, gaps: Iterable[Gap], reached: Mapping[str, int]) -> None:
        """Continue an earlier run. The first response may extend its gap, or reveal that of a clock that is ahead.

        Args:
            gaps: Gaps that end when the devices begin to be collected.
            reached: Time up to which each device was collected.
        """
        since = {gap.device_id: gap.before - self._step for gap in gaps if gap.device_id is not None}
        now = self._now()
        since |= {device: time - CHECKED_AGAIN * self._step for device, time in reached.items() if time > now}
        for device, time in since.items():
            track = self._tracks.setdefault(device, DeviceTrack(time))
            track.since, track.is_continued = time, True

    def divide(self, devices: Collection[str]) -> None:
        """Set the devices that need several requests, some of which may fail while others succeed."""
        for device, track in self._tracks.items():
            track.is_divided = device in devices

    def note_late_polls(self, devices: Iterable[str]) -> None:
        """Record that responses for some devices were late."""
        moment = self._now()
        for device in devices:
            if device in self._tracks:
                self._tracks[device].doubt(moment)

    def note_missing_value(self, device: str, attribute: str | None) -> None:
        """Record that a response had no readable value."""
        if attribute is not None and device in self._tracks:
            self._tracks[device].unsteady.add(attribute)

    def doubt(self, devices: Iterable[str], first: int, last: int, reason: str) -> None:
        """Record that polls of some devices failed or were missed.

        Args:
            devices: The devices.
            first: When the last poll before was due, in the server's time.
            last: When the next poll is due.
            reason: Human-readable reason.
        """
        moment = self._now()
        for device in devices:
            track = self._tracks.get(device)
            if track is None:
                continue
            track.doubt(moment)
            known = self._doubts.get(device)
            if known is None:
                self._doubts[device] = Doubt(first, last, reason)
            else:
                known.first, known.last = min(first, known.first), max(last, known.last)

    def list_lasting_outages(self, devices: Iterable[str]) -> list[Gap]:
        """Return the gaps of devices whose polls have failed for a while, from the start until now.

        The rest of the outage is noted later, at the latest with the first rows after it.
        """
        now = self._now()
        gaps: list[Gap] = []
        for device in devices:
            doubt = self._doubts.get(device)
            if doubt is None or now - doubt.first < _LASTING_POLLS * self._interval + self._step:
                continue
            if doubt.noted_at is not None and now - doubt.noted_at < _NOTED_AGAIN:
                continue
            gap = make_doubt_gap(device, doubt, self._tracks[device], step=self._step, now=now)
            if gap is not None:
                gaps.append(gap)
                doubt.noted_at = doubt.first = now
                doubt.last = max(doubt.last, now)
        return gaps

    def take_doubts(self) -> list[Gap]:
        """Return the gaps of all failed polls that are not noted yet, and forget these."""
        return self._take_doubts(list(self._doubts), self._now())

    def list_lagging(self, devices: Iterable[str]) -> list[Gap]:
        """Return the gaps of devices with some attributes that are collected while polls of others fail.

        After a kill, their newest row would not show what the others lack. So a gap reaches some seconds ahead, and is
        noted once for many polls.
        """
        now, step = self._now(), self._step
        gaps: list[Gap] = []
        for device in devices:
            doubt = self._doubts.pop(device, None)
            if doubt is None or doubt.last < self._lag_noted.get(device, 0):
                continue
            start = max(find_doubt_start(doubt, self._tracks[device], step), now // step * step - LONGEST_GAP)
            before = self._lag_noted[device] = (now + _LAG_AHEAD) // step * step + step
            gaps.append(Gap(device_id=device, start=start, before=before, reason="some attributes were not answered"))
        return gaps

    def settle(
        self,
        spans: Mapping[str, tuple[int, int]],
        missing: Collection[Key],
        stored: StoredSteps,
        again: Collection[str] = (),
    ) -> int:
        """Learn the normal intervals from history.

        Args:
            spans: Start and end of the range that was looked up, by device.
            missing: Attributes with missing rows.
            stored: Rows that the store had in this range.
            again: Devices that will be looked up again. Nothing is learned from them, and they are not counted.

        Returns:
            Number of attributes that report often enough to have rows and had none.
        """
        attributes: defaultdict[str, set[str]] = defaultdict(set)
        for device, attribute in missing:
            attributes[device].add(attribute)
        empty = 0
        for device, (start, before) in spans.items():
            track = self._tracks.get(device)
            if track is None:
                continue
            found = attributes[device]
            is_final = device not in again
            if is_final:
                track.settle(start, before, found, partial(stored.has_rows, device), self._step)
            for name in track.list_expected(before - start, self._step):
                is_empty = name not in found and not stored.has_rows(device, name)
                self._note_history((device, name), is_empty=is_empty, is_final=is_final)
                empty += is_empty and is_final
        return empty

    def _note_history(self, key: Key, *, is_empty: bool, is_final: bool) -> None:
        """Note whether history had nothing for an attribute, which may be withdrawn if that is not final."""
        if is_empty:
            if is_final:
                self._maybe_without_history.discard(key)
            elif key not in self.without_history:
                self._maybe_without_history.add(key)
            self.without_history.add(key)
        elif is_final and key in self._maybe_without_history:
            self._maybe_without_history.discard(key)
            self.without_history.discard(key)

    def reached(self) -> dict[str, int]:
        """Return the newest time of each device that reported something new, by its own clock."""
        tracks = self._tracks.items()
        return {device: track.newest for device, track in tracks if track.newest is not None and track.has_moved}

    def take(  # noqa: C901, PLR0912, PLR0915 - the hot loop
        self, batch: Sequence[DatapointTuple]
    ) -> tuple[list[Row], list[Gap]]:
        """Return the rows of a response, and the gaps that it reveals."""
        rows: list[Row] = []
        gaps: list[Gap] = []
        self.datapoints += len(batch)
        now = self._now()
        ahead = now + DAY
        step = self._step
        moments = self._times
        device = ""
        units: Mapping[str, str | None] | None = None
        track = DeviceTrack(now)
        last, slow, moved_at = track.last, track.slow, track.moved_at
        top = 0
        advances: list[Advance] = []
        for device_id, attribute, timestamp, value in batch:
            if device_id != device:
                if top:
                    gaps += self._advance(device, top, advances, now)
                device = device_id
                top, advances = 0, []
                units = self._units.get(device)
                if units is not None:
                    track = self._tracks[device]
                    last, slow, moved_at = track.last, track.slow, track.moved_at
            if units is None:
                continue  # this device was not requested
            time = moments.get(timestamp)
            if time is None:
                if len(moments) >= _MOST_TIMES:
                    moments.clear()
                time = moments[timestamp] = to_microseconds(timestamp)
            if type(value) is float and value - value == 0.0:  # finite, as almost always
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
                if time >= ahead or time < EARLIEST:
                    self._misdate(device, attribute, time)
                    continue
                track.begin(attribute, time)
            elif time > before:
                if time >= ahead:
                    self._misdate(device, attribute, time)
                    continue
                last[attribute] = time
                if time - before > step or attribute in slow:
                    advances.append((attribute, before, time))
                else:
                    moved_at[attribute] = now
            elif is_set_back(time, before, now):
                last[attribute] = time
            if time > top:  # noqa: PLR1730 - faster than max()
                top = time
        if top:
            gaps += self._advance(device, top, advances, now)
        if self._doubts:
            gaps += self._take_doubts(self._list_over(now), now)
        return rows, gaps

    def _misdate(self, device: str, attribute: str, time: int) -> None:
        track = self._tracks[device]
        if not track.misdated:
            self._report_clock(device, time)
        track.misdated.add(attribute)

    def _advance(self, device: str, top: int, advances: Sequence[Advance], now: int) -> list[Gap]:
        """Return the gaps of a device before its new rows are written."""
        track = self._tracks[device]
        gaps: list[Gap] = []
        doubt = self._doubts.get(device)
        if doubt is not None and track.newest is not None and is_set_back(top, track.newest, now):
            gap = make_doubt_gap(device, doubt, track, step=self._step, now=now)  # by the clock before it was set back
            gaps += [] if gap is None else [gap]
        track.follow_clock(top, now)
        if doubt is not None:
            gaps += self._take_doubts((device,), now, top)
        size = 0 if track.newest is None or track.newest < track.since else top - track.newest
        if size / SECOND > self.longest_gap[0]:
            self.longest_gap = (size / SECOND, device, advances[0][0] if advances else "")
        span = track.advance(top, advances, now, self._rhythm)
        if span is not None:
            start, before = span
            gaps.append(Gap(device_id=device, start=start, before=before, reason="the device was silent"))
        return gaps

    def _list_over(self, now: int) -> list[str]:
        """Return the devices whose polls have not failed again since the next one was due; looks once an interval."""
        if now - self._doubts_seen_at < self._interval:
            return []
        self._doubts_seen_at = now
        return [device for device, doubt in self._doubts.items() if doubt.last + self._interval < now]

    def _take_doubts(self, devices: Iterable[str], now: int, top: int | None = None) -> list[Gap]:
        """Return the gaps of failed polls, and forget these."""
        gaps = (
            make_doubt_gap(device, self._doubts.pop(device), self._tracks[device], step=self._step, now=now, top=top)
            for device in devices
        )
        return [gap for gap in gaps if gap is not None]
