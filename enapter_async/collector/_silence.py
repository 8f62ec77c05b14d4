"""The times of a device's datapoints, and the silences that they reveal."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

import attrs

from enapter_async.collector._times import DAY, SECOND
from enapter_async.collector.gaps import Gap

LONGEST_GAP: Final = 31 * DAY
"""Longer gaps are shortened: reading years of seconds takes days, and most such gaps come from wrong clocks."""

CHECKED_AGAIN: Final = 30
"""Steps before the newest row that are looked up too: a kill may have lost some datapoints of them, and silences that
were not certain to be gaps yet, which takes up to twenty steps."""
CHECKED_IN_FILES: Final = 5
"""The same for stores whose gaps are only recorded, so that they do not claim that much is missing."""
CLOCK_TOLERANCE: Final = 5 * SECOND
"""Microseconds by which a device's clock must be ahead before it counts as set back."""
STEPS_AFTER: Final = 60
"""Steps after the newest time of a device that failed polls may have missed, if responses arrive out of order."""
_UNDECIDED_ADVANCES: Final = 10
"""Advances after which a cadence is believed. Polls that jitter around full seconds can skip every other one."""

Advance = tuple[str, int, int]
"""An attribute with its newest time before and after a response."""


@attrs.frozen(kw_only=True)
class Rhythm:
    """The intervals between polls and between rows of a collector.

    Attributes:
        step: Microseconds between two rows.
        interval: Microseconds between two polls.
    """

    step: int
    interval: int


@attrs.frozen
class _Arrival:
    """A response for a device.

    Attributes:
        previous: Newest time of the device before it.
        top: Newest time in it.
        waited: Microseconds between the arrivals of the two.
        now: When it arrived.
        in_doubt: Whether a poll in between failed, was missed or was late.
    """

    previous: int
    top: int
    waited: int
    now: int
    in_doubt: bool


@attrs.define
class _Question:
    """A silence that history may explain.

    Attributes:
        size: Its length.
        start: Start of what has not been looked up.
        before: Its end.
    """

    size: int
    start: int
    before: int


@attrs.frozen
class _Candidate:
    """A silence at the start, when nobody knows how often an attribute reports.

    Attributes:
        start: The newest time before it.
        advances_left: How many more advances may leave it undecided.
    """

    start: int
    advances_left: int


@attrs.define
class Doubt:
    """A range of the server's time in which polls of a device failed or were missed.

    Attributes:
        first: When the last poll before it was due.
        last: When the next poll was due.
        reason: Human-readable reason.
        noted_at: When the gap was recorded as one that lasts, if it was.
    """

    first: int
    last: int
    reason: str
    noted_at: int | None = None


@attrs.define
class DeviceTrack:
    """The times of one device, in microseconds.

    Each attribute reports at its own cadence: each second, every ten seconds or when its value changes. So the time
    between two of its datapoints does not prove a gap. There is a gap if the device as a whole was silent for longer
    than the attributes that were alive before, since it may have stored its values, or if an attribute advanced by
    several of its cadences from one poll to the next.

    Attributes:
        since: Time from which the device is collected.
        is_continued: Whether a gap that ends at `since` was recorded.
        is_divided: Whether its attributes need several requests.
        unsteady: Attributes that were missing or unreadable in some responses, or not selected for a while.
        dropped: When attributes that were selected before left the selection.
        misdated: Attributes with rows whose time cannot be right. Only their times are not used.
        last: The newest time of each attribute.
        newest: The newest time of all; None before the first.
        heard_at: When that datapoint arrived.
        has_moved: Whether it was not the first one, which may be old.
        moved_at: When each attribute last advanced.
        slow: The shortest advance of each attribute that has never advanced by a step or less.
    """

    since: int
    is_continued: bool = False
    is_divided: bool = False
    unsteady: set[str] = attrs.field(factory=set[str])
    dropped: dict[str, int] = attrs.field(factory=dict[str, int])
    misdated: set[str] = attrs.field(factory=set[str])
    last: dict[str, int] = attrs.field(factory=dict[str, int])
    moved_at: dict[str, int] = attrs.field(factory=dict[str, int])
    newest: int | None = None
    heard_at: int = 0
    has_moved: bool = False
    slow: dict[str, int] = attrs.field(factory=dict[str, int])
    _first: dict[str, int] = attrs.field(factory=dict[str, int])
    _candidates: dict[str, _Candidate] = attrs.field(factory=dict[str, _Candidate])
    _usual: dict[str | None, int] = attrs.field(factory=dict["str | None", int])
    _in_question: dict[str | None, _Question] = attrs.field(factory=dict["str | None", _Question])
    _doubted_at: int | None = None

    @property
    def reported(self) -> Collection[str]:
        """Attributes with rows."""
        return self.last.keys() | self.misdated if self.misdated else self.last.keys()

    def begin(self, attribute: str, time: int) -> None:
        """Remember the first time of an attribute."""
        self.last[attribute] = self._first[attribute] = time

    def doubt(self, moment: int) -> None:
        """Record a failed, missed or late poll. Until the next response, no silence counts as normal."""
        self._doubted_at = moment

    def follow_clock(self, top: int, now: int) -> None:
        """Use the device's own clock, which may be behind or set back, to tell since when the device is collected.

        Args:
            top: Newest time of a response.
            now: When it arrived.
        """
        if self.newest is None:
            if is_set_back(top, self.since, now):
                self.since = top
        elif is_set_back(top, self.newest, now):
            self.newest, self.heard_at, self.since = top, now, min(top, self.since)
        elif self.newest < top < self.since:
            self.since = self.newest

    def lag(self) -> int:
        """Return the time from the newest datapoint to its arrival."""
        return 0 if self.newest is None else self.heard_at - self.newest

    def settle(
        self,
        start: int,
        before: int,
        found: Collection[str],
        has_rows: Callable[[str | None, int, int], bool],
        step: int,
    ) -> None:
        """Learn from history which silences are normal.

        Args:
            start: Start of the range that was looked up.
            before: End of the range (exclusive).
            found: Attributes with missing rows.
            has_rows: Whether an attribute, or any of them, had rows in the store between two times.
            step: Microseconds between two rows.
        """
        for key, question in list(self._in_question.items()):
            begin, end = question.start // step * step + step, question.before // step * step
            checked = min(before, end)
            if not start <= begin < checked:
                continue  # another range was looked up
            if (bool(found) if key is None else key in found) or has_rows(key, begin, checked):
                del self._in_question[key]
            elif checked < end:
                question.start = checked - step
            else:
                del self._in_question[key]
                self._usual[key] = max(question.size, self._usual.get(key, 0))

    def list_expected(self, length: int, step: int) -> list[str]:
        """Return the attributes that report often enough to have several values in a given time."""
        return [name for name in self.moved_at if 3 * self.slow.get(name, step) <= length]

    def advance(self, top: int, advances: Collection[Advance], now: int, rhythm: Rhythm) -> tuple[int, int] | None:
        """Record the times of a response.

        Args:
            top: Newest time in it.
            advances: Attributes that advanced by more than a step, or usually do.
            now: When it arrived.
            rhythm: Intervals of the collector.

        Returns:
            Start and end of a gap that the response reveals, if any.
        """
        found = self._find_spans(top, advances, now, rhythm)
        latest = top
        # Otherwise a clock that jumps ahead would look like a silence until then.
        # That cannot be told if the time of this machine was set back.
        if found and self.newest is not None and now >= self.heard_at:
            latest = now + max(0, -self.lag()) + 2 * rhythm.step
        for attribute, _, _ in advances:
            self.moved_at[attribute] = now
        if self.newest is None or top > self.newest:
            self.has_moved = self.newest is not None
            self.newest, self.heard_at = top, now
        if not found:
            return None
        step = rhythm.step
        start = min(start for start, _ in found) // step * step + step
        before = min(max(before for _, before in found), latest) // step * step
        return (max(start, before - LONGEST_GAP), before) if start < before else None

    def _find_spans(self, top: int, advances: Collection[Advance], now: int, rhythm: Rhythm) -> list[tuple[int, int]]:
        """Return the times before and after each gap that a response reveals."""
        if self.newest is None:
            return [(self.since, top)] if self.is_continued and top - self.since > rhythm.step else []
        if not advances:
            return []
        in_doubt = self._doubted_at is not None and self._doubted_at >= self.heard_at
        arrival = _Arrival(max(self.newest, self.since), top, now - self.heard_at, now, in_doubt)
        spans = (self._judge(*one, arrival, rhythm) for one in advances)
        return [span for span in spans if span is not None]

    def _judge(
        self, attribute: str, before: int, time: int, arrival: _Arrival, rhythm: Rhythm
    ) -> tuple[int, int] | None:
        """Return the gap that the advance of an attribute reveals, if any."""
        size = time - before
        cadence = self.slow.get(attribute)
        if cadence is None and before == self._first.get(attribute):
            return self._judge_first(attribute, time, size, arrival, rhythm.step)
        candidate = self._candidates.pop(attribute, None)
        if cadence is not None and size < cadence:
            self._learn(attribute, size, rhythm.step)
            if cadence > size + size // 2:
                return None if candidate is None else (candidate.start, before)
        if candidate is not None and candidate.advances_left:
            self._candidates[attribute] = _Candidate(candidate.start, candidate.advances_left - 1)
        limit = rhythm.step if cadence is None else cadence + cadence // 2
        return self._judge_pause(attribute, (before, time), limit, arrival, rhythm) if size > limit else None

    def _judge_pause(
        self, attribute: str, span: tuple[int, int], limit: int, arrival: _Arrival, rhythm: Rhythm
    ) -> tuple[int, int] | None:
        """Judge an advance by more than an attribute's limit: a gap of the device, of the attribute, or none."""
        if arrival.top - arrival.previous > rhythm.step and arrival.previous - span[0] <= limit:
            return self._unless_usual(None, (arrival.previous, arrival.top), arrival)
        # It may have paused while the device was online, but not if the previous poll returned a new value.
        waited = arrival.now - self.moved_at.get(attribute, 0)
        if self.is_divided or attribute in self.unsteady or waited <= rhythm.interval + rhythm.interval // 2:
            return self._unless_usual(attribute, span, arrival)
        return None

    def _judge_first(
        self, attribute: str, time: int, size: int, arrival: _Arrival, step: int
    ) -> tuple[int, int] | None:
        """Judge the first advance of an attribute, when its cadence is unknown."""
        silence = arrival.top - arrival.previous
        if arrival.in_doubt:  # this advance says nothing about the cadence
            self._first[attribute] = time
            return (arrival.previous, arrival.top) if silence > step else None
        self._learn(attribute, size, step)
        if silence <= step:
            return None
        if silence - arrival.waited > 2 * step:
            return arrival.previous, arrival.top
        # The device may have had nothing to report. The first shorter advance proves that something was missed.
        self._candidates[attribute] = _Candidate(arrival.previous, _UNDECIDED_ADVANCES)
        return None

    def _unless_usual(self, key: str | None, span: tuple[int, int], arrival: _Arrival) -> tuple[int, int] | None:
        """Return a gap of an attribute, or of the device, unless history had nothing for one of its size."""
        if arrival.in_doubt:
            return span
        size = span[1] - span[0]
        if size <= self._usual.get(key, 0):
            return None
        question = self._in_question.get(key)
        if question is None or size > question.size:
            self._in_question[key] = _Question(size, *span)
        return span

    def _learn(self, attribute: str, size: int, step: int) -> None:
        if size > step:
            self.slow[attribute] = size
        else:
            self.slow.pop(attribute, None)


def is_set_back(time: int, before: int, now: int) -> bool:
    """Whether a clock that was ahead was set to about the right time.

    Args:
        time: A time of the device.
        before: A time of the device that arrived earlier.
        now: When the later one arrived.
    """
    return time <= now < before - CLOCK_TOLERANCE


def find_doubt_start(doubt: Doubt, track: DeviceTrack, step: int) -> int:
    """Return the time since which data may be missing, by the device's clock."""
    return max(doubt.first - track.lag() - step, track.since) // step * step


def make_doubt_gap(
    device: str, doubt: Doubt, track: DeviceTrack, *, step: int, now: int, top: int | None = None
) -> Gap | None:
    """Return the gap of failed or missed polls, by the device's clock, or None if it is empty.

    Args:
        device: ID of the device.
        doubt: The polls.
        track: Times of the device.
        step: Microseconds between two rows.
        now: Current time.
        top: Newest time of the response after them, if any.
    """
    start, ahead = find_doubt_start(doubt, track, step), max(0, -track.lag())
    # The current step gets its row from the next response.
    before = min(-(-(doubt.last + ahead) // step), (now + ahead) // step) * step
    if top is None and track.newest is not None:
        top = track.newest + now - track.heard_at
    if top is not None and not track.is_divided:
        before = min(before, (top // step + STEPS_AFTER) * step)  # a clock that is a day behind makes no gap of a day
    start = max(start, before - LONGEST_GAP)
    return Gap(device_id=device, start=start, before=before, reason=doubt.reason) if start < before else None
