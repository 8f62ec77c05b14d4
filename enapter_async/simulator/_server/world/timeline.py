"""The states of a device over time: the one source of latest values and of history.

A timeline divides the world's time into stretches. Within a stretch, connectivity, alerts and set values are constant.
Outside of all stretches everything is simulated.
A value that a client received for a second stays the value of that second. A change later in the same second takes
effect with the sample of the next one.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import attrs

BEGINNING, END = -1e11, 1e11
"""Before and after all times that can be asked for; finite, as in JSON."""


@attrs.define(eq=False)
class Stretch:
    """A span of time in which a device was in one state.

    Attributes:
        begin: Unix seconds.
        end: Unix seconds, not included.
        online: Whether it reported anything.
        alerts: The raised alerts, or None where they are simulated.
        telemetry: Values that were set, by attribute.
        skipped: Whether the clock was moved over this span, so that nobody saw it.
    """

    begin: float
    end: float
    online: bool = True
    alerts: list[str] | None = None
    telemetry: dict[str, Any] = attrs.field(factory=dict[str, Any])
    skipped: bool = False


@attrs.define(eq=False)
class Timeline:
    """The stretches of one device.

    Attributes:
        current: The current stretch, which has no end yet.
        past: The earlier stretches, in order.
        seen: The newest time at which the state was noted, in Unix seconds.
        served: The newest second of which a value was handed out.
    """

    current: Stretch
    past: list[Stretch] = attrs.field(factory=list[Stretch])
    seen: float = attrs.field(default=BEGINNING, init=False)
    served: float = attrs.field(default=BEGINNING, init=False)

    def note(self, now: float, *, online: bool, alerts: list[str], telemetry: dict[str, Any]) -> None:
        """Note the state of the device at some time, and whether the clock went back since the last one."""
        current = self.current
        if now < self.seen - 1:
            self._close(math.floor(self.seen) + 1)
            current = self.current = attrs.evolve(current, begin=math.floor(now))
            self.seen, self.served = now, math.floor(now) - 1
        self.seen = max(self.seen, now)
        if online == current.online and alerts == current.alerts and _same(telemetry, current.telemetry):
            return
        # Connectivity changes between two samples, and a value with the first sample that nobody has seen.
        begin = now if online != current.online else math.floor(now)
        begin = max(begin if begin > self.served else self.served + 1, current.begin)
        self._close(begin)
        self.current = Stretch(begin, END, online, list(alerts), copy.deepcopy(telemetry))

    @property
    def newest(self) -> int:
        """The second of the newest sample: that of now, or the next one if its value was changed in this second."""
        return math.floor(max(self.seen, self.current.begin))

    def serve(self) -> None:
        """Note that values up to the newest second are handed out."""
        self.served = max(self.served, self.newest)

    def resume(self, now: float) -> None:
        """Continue at some time after the timeline was loaded. Clients may have received values up to then."""
        self.seen = now
        self.serve()

    def skip(self, now: float) -> None:
        """Note that the clock was moved forward over a span that nobody saw."""
        begin = max(math.floor(self.seen) + 1, self.current.begin)
        if now <= begin:
            return
        self._close(begin)
        end = math.floor(now)
        self.past = _written(self.past, attrs.evolve(self.current, begin=begin, end=end, skipped=True))
        self.current = attrs.evolve(self.current, begin=end)

    def at(self, second: int) -> Stretch:
        """Return the state in a second; a span outside of all stretches is one, too."""
        if second >= self.current.begin and not self._overlaps():
            return self.current
        begin, end = BEGINNING, END
        for stretch in self.stretches():
            if stretch.end <= second:
                begin = stretch.end
            elif stretch.begin <= second:
                return stretch
            else:
                end = stretch.begin
                break
        return Stretch(begin, end)

    def stretches(self) -> list[Stretch]:
        """Return all stretches in order. The current one continues where no other is known."""
        if not self._overlaps():
            return [*self.past, self.current]
        past = _written(self.past, attrs.evolve(self.current, end=math.floor(self.seen) + 1))
        return _written(past, attrs.evolve(self.current, skipped=True))

    def _overlaps(self) -> bool:
        """Return whether the clock went back to before the end of the past."""
        return bool(self.past) and self.past[-1].end > self.current.begin

    def _close(self, end: float) -> None:
        """Add the current stretch to the past, up to its end."""
        self.past = _written(self.past, attrs.evolve(self.current, end=end))


def _written(past: list[Stretch], new: Stretch) -> list[Stretch]:
    """Return the stretches with another one in them. A skipped span replaces nothing that clients could see."""
    if new.begin >= new.end:
        return past
    result: list[Stretch] = []
    begin = new.begin
    for old in past:
        if old.end <= new.begin or old.begin >= new.end:
            result.append(old)
        elif not old.skipped and (new.skipped or (old.online and not new.online)):
            if begin < old.begin:
                result.append(attrs.evolve(new, begin=begin, end=old.begin))
            result.append(old)
            begin = old.end
        else:
            if old.begin < new.begin:
                result.append(attrs.evolve(old, end=new.begin))
            if old.end > new.end:
                result.append(attrs.evolve(old, begin=new.end))
    if begin < new.end:
        result.append(attrs.evolve(new, begin=begin))
    return sorted(result, key=lambda stretch: stretch.begin)


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether values are equal and of the same types: True is not 1."""
    return one == other and [*map(type, one.values())] == [*map(type, other.values())]
