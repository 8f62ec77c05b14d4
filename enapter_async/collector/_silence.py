"""The times of one device, and the silences that they show."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import attrs

from enapter_async.collector.gaps import Gap

LONGEST_GAP: Final = 31 * 86_400 * 1_000_000
"""A longer one is cut: reading years of seconds takes days, and most of them are wrong clocks."""

Advance = tuple[str, int, int]
"""An attribute, its newest time before an answer, and its newest time after it."""


@attrs.frozen(kw_only=True)
class Rhythm:
    """How often a collector polls, and how far apart its rows are.

    Attributes:
        step: Microseconds between two rows.
        interval: Microseconds between two polls.
    """

    step: int
    interval: int


@attrs.frozen
class _Arrival:
    """An answer of a device.

    Attributes:
        previous: Newest time of the device before it.
        top: Newest time in it.
        waited: Microseconds between the arrivals of the two.
        now: When it arrived.
        in_doubt: Whether a poll in between did not go as it should.
    """

    previous: int
    top: int
    waited: int
    now: int
    in_doubt: bool


@attrs.define
class Doubt:
    """A span of the server's time in which polls of a device failed or were missed.

    Attributes:
        first: When the last poll before it was due.
        last: When the next poll was due.
        reason: Why, as text for people.
        noted_at: When the gap was noted as one that lasts; None if it was not.
    """

    first: int
    last: int
    reason: str
    noted_at: int | None = None


@attrs.define
class DeviceTrack:
    """The times of one device, in microseconds.

    An attribute reports at a cadence of its own: each second, every ten seconds or when its value changes. So the time
    between two of its datapoints shows no gap by itself. There is one if the device as a whole was silent for longer
    than the attributes that were alive before, since it may have kept its values, or if an attribute advanced by
    several of its cadences from one poll to the next.

    Attributes:
        since: From when on the device is collected.
        is_continued: Whether a gap was noted that ends at `since`.
        is_divided: Whether its attributes need several requests.
        unsteady: Attributes that could not be read from some answers.
        dropped: When attributes that were selected before left the selection.
        last: The newest time of each attribute.
        newest: The newest time of all; None before the first.
        heard_at: When that arrived.
        moved_at: When each attribute last advanced.
        slow: The shortest advance of each attribute that has never advanced by a step or less.
    """

    since: int
    is_continued: bool = False
    is_divided: bool = False
    unsteady: set[str] = attrs.field(factory=set[str])
    dropped: dict[str, int] = attrs.field(factory=dict[str, int])
    last: dict[str, int] = attrs.field(factory=dict[str, int])
    moved_at: dict[str, int] = attrs.field(factory=dict[str, int])
    newest: int | None = None
    heard_at: int = 0
    slow: dict[str, int] = attrs.field(factory=dict[str, int])
    _first: dict[str, int] = attrs.field(factory=dict[str, int])
    _candidates: dict[str, tuple[int, int]] = attrs.field(factory=dict[str, tuple[int, int]])
    _usual: dict[str | None, int] = attrs.field(factory=dict["str | None", int])
    _in_question: dict[str | None, int] = attrs.field(factory=dict["str | None", int])
    _doubted_at: int | None = None

    def begin(self, attribute: str, time: int) -> None:
        """Remember the first time of an attribute."""
        self.last[attribute] = self._first[attribute] = time

    def doubt(self, moment: int) -> None:
        """Take note that a poll did not go as it should: from now on nothing counts as usual until the next answer."""
        self._doubted_at = moment

    def lag(self) -> int:
        """Return how long after its time the newest datapoint arrived."""
        return 0 if self.newest is None else self.heard_at - self.newest

    def settle(self, found: Collection[str]) -> None:
        """Learn from history which silences are usual.

        Args:
            found: Attributes of which rows were missing.
        """
        for key, size in self._in_question.items():
            had_rows = bool(found) if key is None else key in found
            if not had_rows:
                self._usual[key] = max(size, self._usual.get(key, 0))
        self._in_question.clear()

    def list_expected(self, length: int, step: int) -> list[str]:
        """Return the attributes that report so often that a span of some microseconds should have several values."""
        return [name for name in self.moved_at if 3 * self.slow.get(name, step) <= length]

    def advance(self, top: int, advances: Collection[Advance], now: int, rhythm: Rhythm) -> tuple[int, int] | None:
        """Take the times of an answer into account.

        Args:
            top: Newest time in it.
            advances: Its attributes that advanced by more than a step, or are known to do so.
            now: When it arrived.
            rhythm: Of the collector.

        Returns:
            Start and end of a gap that it shows, if any.
        """
        step = rhythm.step
        found: list[tuple[int, int]] = []
        if self.newest is not None:
            in_doubt = self._doubted_at is not None and self._doubted_at >= self.heard_at
            arrival = _Arrival(max(self.newest, self.since), top, now - self.heard_at, now, in_doubt)
            spans = (self._judge(*one, arrival, rhythm) for one in advances)
            found = [span for span in spans if span is not None]
        elif self.is_continued and top - self.since > step:
            found = [(self.since, top)]
        for attribute, _, _ in advances:
            self.moved_at[attribute] = now
        if self.newest is None or top > self.newest:
            self.newest, self.heard_at = top, now
        if not found:
            return None
        start = min(start for start, _ in found) // step * step + step
        before = max(before for _, before in found) // step * step
        return (max(start, before - LONGEST_GAP), before) if start < before else None

    def _judge(
        self, attribute: str, before: int, time: int, arrival: _Arrival, rhythm: Rhythm
    ) -> tuple[int, int] | None:
        """Return the gap that an attribute shows by its advance, if any."""
        size = time - before
        cadence = self.slow.get(attribute)
        if cadence is None and before == self._first.get(attribute):
            return self._judge_first(attribute, size, arrival, rhythm.step)
        candidate = self._candidates.pop(attribute, None)
        if cadence is not None and size < cadence:
            self._learn(attribute, size, rhythm.step)
            if cadence > size + size // 2:
                return candidate
        if size <= (limit := rhythm.step if cadence is None else cadence + cadence // 2):
            return None
        if arrival.top - arrival.previous > rhythm.step and arrival.previous - before <= limit:
            return self._unless_usual(None, (arrival.previous, arrival.top), arrival)
        # It may have stood still while the device was online, but not if the poll before brought something new.
        waited = arrival.now - self.moved_at.get(attribute, 0)
        if self.is_divided or attribute in self.unsteady or waited <= rhythm.interval + rhythm.interval // 2:
            return self._unless_usual(attribute, (before, time), arrival)
        return None

    def _judge_first(self, attribute: str, size: int, arrival: _Arrival, step: int) -> tuple[int, int] | None:
        """Judge the first advance of an attribute, whose cadence is unknown."""
        self._learn(attribute, size, step)
        silence = arrival.top - arrival.previous
        if silence <= step:
            return None
        span = arrival.previous, arrival.top
        if silence - arrival.waited > 2 * step:
            return span
        # The device may have had nothing to say meanwhile: the next advance tells.
        self._candidates[attribute] = span
        return None

    def _unless_usual(self, key: str | None, span: tuple[int, int], arrival: _Arrival) -> tuple[int, int] | None:
        """Return a gap of an attribute, or of the device, unless history had nothing for one of its size."""
        if arrival.in_doubt:
            return span
        size = span[1] - span[0]
        if size <= self._usual.get(key, 0):
            return None
        self._in_question[key] = max(size, self._in_question.get(key, 0))
        return span

    def _learn(self, attribute: str, size: int, step: int) -> None:
        if size > step:
            self.slow[attribute] = size
        else:
            self.slow.pop(attribute, None)


def find_doubt_start(doubt: Doubt, track: DeviceTrack, step: int) -> int:
    """Return since when something may be missing, in the time of the device."""
    return max(doubt.first - track.lag() - step, track.since, doubt.last - LONGEST_GAP) // step * step


def make_doubt_gap(device: str, doubt: Doubt, track: DeviceTrack, *, step: int, now: int) -> Gap | None:
    """Return the gap of polls that failed or were missed, in the time of the device; None if it is empty."""
    start, ahead = find_doubt_start(doubt, track, step), max(0, -track.lag())
    # The step that is not over yet gets its row from the next answer.
    before = min(-(-(doubt.last + ahead) // step), (now + ahead) // step) * step
    return Gap(device_id=device, start=start, before=before, reason=doubt.reason) if start < before else None
