"""A model of the collector under stress: late ticks, slow and lost responses, repairs beside them, and kills.

The parts that find, record and plan gaps are the real ones. Time, platform and store are models, so that hours take
seconds. Whatever happens, each second of the platform is stored in the end.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime

import attrs
import pytest

from enapter_async.collector._beginning import find_start_gaps
from enapter_async.collector._intake import SECOND, Intake
from enapter_async.collector._repair_job import RepairJob, plan_job
from enapter_async.collector.gaps import Gap, merge_gaps

START = 1_773_480_000
"""2026-03-14T09:20:00Z"""
DEVICES = ("a", "b")
ATTRIBUTES = ("power", "voltage")
_HISTORY_SECONDS = 2
_LATE_SECONDS = 0.4


@attrs.define
class Store:
    """What a kill leaves: rows, gaps and marks."""

    seconds: dict[str, set[int]] = attrs.field(factory=lambda: {device: set[int]() for device in DEVICES})
    gaps: dict[int, Gap] = attrs.field(factory=dict[int, Gap])
    marks: dict[str, int] = attrs.field(factory=dict[str, int])
    _last_id: int = 0

    def write(self, rows: Iterable[tuple[str, int]], gaps: Iterable[Gap]) -> None:
        for device, second in rows:
            self.seconds[device].add(second)
        for gap in merge_gaps(list(gaps)):
            self._last_id += 1
            self.gaps[self._last_id] = attrs.evolve(gap, id=self._last_id)

    def read_newest(self) -> dict[str, int]:
        newest = {device: max(seconds) * SECOND for device, seconds in self.seconds.items() if seconds}
        return {device: max(time, self.marks.get(device, 0)) for device, time in newest.items()}


class Collector:
    """One process: it polls each second, commits some of what it takes, and repairs now and then."""

    def __init__(self, store: Store, chance: random.Random, now: float) -> None:
        self.store = store
        self.chance = chance
        self.time = now
        self.intake = Intake(SECOND, SECOND, lambda: round(self.time * SECOND), lambda *_: None)
        units = {device: dict.fromkeys(ATTRIBUTES) for device in DEVICES}
        since = round(now * SECOND)
        self.intake.select(units, since)
        newest = store.read_newest()
        gaps = find_start_gaps(DEVICES, newest, since, SECOND)
        self.intake.begin(gaps, newest)
        store.write((), gaps)
        self.waiting: list[tuple[list[tuple[str, int]], list[Gap]]] = []
        self.known: dict[str, int] = {}
        self.running: tuple[float, RepairJob] | None = None

    def run(self, seconds: float, lateness: float, failing: float, delay: float = 0) -> None:
        """Poll until it is killed. What waits for its commit is lost."""
        end = self.time + seconds
        due = int(self.time) + 1 + self.chance.uniform(0.4, 0.6)
        while due < end:
            began = max(self.time, due + self.chance.expovariate(1 / lateness))
            if began >= due + 1:
                passed = int(began - due)
                self.doubt(due, passed, "polls were missed")
                due += passed
            answered = began + self.chance.expovariate(1 / lateness)
            seen = int(self.chance.uniform(began, answered) - self.chance.uniform(0, delay))
            self.time = answered
            if self.chance.random() < failing:
                self.doubt(due, 1, "polls failed")
            else:
                if answered - due > _LATE_SECONDS:
                    self.intake.doubt_answers(DEVICES)
                self.take(seen)
            self.commit()
            self.repair()
            due += 1

    def doubt(self, due: float, count: int, reason: str) -> None:
        first = round(due * SECOND) - SECOND
        self.intake.doubt(DEVICES, first, first + (count + 1) * SECOND, reason)
        self.waiting.append(([], self.intake.list_lasting_outages(DEVICES)))

    def take(self, second: int) -> None:
        batch = [
            (device, name, datetime.fromtimestamp(second, UTC), 1.0)
            for device in DEVICES
            for name in ATTRIBUTES
            if second > self.known.get(device, 0)
        ]
        self.known.update(dict.fromkeys(DEVICES, second))
        if batch:
            rows, gaps = self.intake.take(batch)
            self.waiting.append(([(row[0], row[2] // SECOND) for row in rows], gaps))

    def commit(self) -> None:
        """Commit everything, or only the oldest; sometimes, mark what is committed."""
        while self.waiting and self.chance.random() < 0.8:
            self.store.write(*self.waiting.pop(0))
        if not self.waiting and self.chance.random() < 0.1:
            self.store.marks = self.intake.reached()

    def repair(self) -> None:
        """Begin a repair, or end one that takes some seconds."""
        if self.running is None:
            over = (int(self.time) - _HISTORY_SECONDS) * SECOND
            gaps = sorted((gap for gap in self.store.gaps.values() if gap.start < over), key=lambda gap: gap.start)
            if gaps and self.chance.random() < 0.5:
                job = plan_job(gaps, DEVICES, over=over, step=SECOND, longest=3_600 * SECOND)
                while self.waiting:
                    self.store.write(*self.waiting.pop(0))
                job.stored.add(self.list_keys(job))
                self.running = self.time + self.chance.expovariate(1), job
        elif self.time >= self.running[0]:
            _, job = self.running
            self.running = None
            found: set[tuple[str, str]] = set()
            for device, (start, before) in job.spans.items():
                missing = set(range(start // SECOND, before // SECOND)) - self.store.seconds[device]
                self.store.seconds[device] |= missing
                found |= {(device, name) for name in ATTRIBUTES if missing}
            for gap in job.gaps:
                assert gap.id is not None
                del self.store.gaps[gap.id]
                self.store.write((), gap.without(job.start, job.before))
            self.intake.settle(job.spans, found, job.stored)

    def list_keys(self, job: RepairJob) -> list[tuple[str, str, int]]:
        return [
            (device, name, second * SECOND)
            for device in job.spans
            for second in self.store.seconds[device]
            if job.start <= second * SECOND < job.before
            for name in ATTRIBUTES
        ]


@pytest.mark.parametrize("seed", range(40))
def test_no_second_is_lost(seed: int) -> None:
    chance = random.Random(seed)
    store = Store()
    now = START + 0.5
    Collector(store, chance, now).run(20, 0.02, 0)
    first = min(store.seconds["a"])
    now += 20
    for _ in range(100):
        collector = Collector(store, chance, now)
        lateness, failing = chance.choice((0.02, 0.15, 0.4)), chance.choice((0, 0.1, 0.5))
        collector.run(chance.expovariate(1 / 12), lateness, failing, chance.choice((0, 0.3, 0.6, 1)))
        now = collector.time + chance.expovariate(1)
    collector = Collector(store, chance, now)
    collector.run(100, 0.02, 0)
    for device in DEVICES:
        gaps = [(gap.start // SECOND - START, gap.before // SECOND - START) for gap in store.gaps.values()]
        lost = set(range(first, int(now))) - store.seconds[device]
        assert sorted(second - START for second in lost) == [], gaps
