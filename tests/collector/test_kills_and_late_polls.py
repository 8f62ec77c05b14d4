"""A model of the collector under stress: late ticks, slow and lost responses, repairs beside them, and kills.

The parts that find, record and plan gaps are the real ones. Time, platform and store are models, so that hours take
seconds. Whatever happens, the store has a row in the end for each step in which the platform had a value.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import attrs
import pytest

from enapter_async.collector._beginning import find_start_gaps
from enapter_async.collector._intake import Intake
from enapter_async.collector._repair_job import RepairJob, plan_job
from enapter_async.collector._times import SECOND
from enapter_async.collector.gaps import Gap, merge_gaps
from enapter_async.collector.store import RowKey

START = 1_773_480_000
"""2026-03-14T09:20:00Z"""
DEVICES = ("a", "b")
_HISTORY_SECONDS = 2
_LATE_SECONDS = 0.4


@attrs.frozen
class Plant:
    """Devices of which each attribute reports at a cadence of its own.

    Attributes:
        interval: Seconds between two polls.
        cadences: Seconds between two values, by attribute.
    """

    interval: float
    cadences: Mapping[str, int]

    @property
    def step(self) -> int:
        """Seconds between two rows."""
        return max(1, -int(-self.interval // 1))

    def newest(self, attribute: str, second: float) -> int:
        cadence = self.cadences[attribute]
        return int(second) // cadence * cadence

    def list_steps(self, attribute: str, start: int, before: int) -> dict[int, int]:
        """Return the last second with a value of each step of a time range."""
        return {
            second // self.step: second for second in range(start, before) if second % self.cadences[attribute] == 0
        }


@attrs.define
class Store:
    """What a kill leaves: rows, gaps and marks."""

    rows: defaultdict[tuple[str, str], set[int]] = attrs.field(factory=lambda: defaultdict(set))
    gaps: dict[int, Gap] = attrs.field(factory=dict)
    marks: dict[str, int] = attrs.field(factory=dict)
    _last_id: int = 0

    def write(self, rows: Iterable[RowKey], gaps: Iterable[Gap]) -> None:
        for device, attribute, time in rows:
            self.rows[device, attribute].add(time // SECOND)
        for gap in merge_gaps(list(gaps)):
            self._last_id += 1
            self.gaps[self._last_id] = attrs.evolve(gap, id=self._last_id)

    def read_newest(self) -> dict[str, int]:
        newest = dict(self.marks)
        for (device, _), seconds in self.rows.items():
            newest[device] = max(newest.get(device, 0), max(seconds) * SECOND)
        return newest

    def list_missing(self, plant: Plant, device: str, attribute: str, start: int, before: int) -> list[int]:
        there = {second // plant.step for second in self.rows[device, attribute]}
        steps = plant.list_steps(attribute, start, before)
        return [second for step, second in steps.items() if step not in there]


class Process:
    """A collector: it polls at each interval, commits some of what it takes, and repairs now and then."""

    def __init__(self, plant: Plant, store: Store, chance: random.Random, now: float) -> None:
        self.plant = plant
        self.store = store
        self.chance = chance
        self.time = now
        self.step = plant.step * SECOND
        interval = round(plant.interval * SECOND)
        self.intake = Intake(self.step, interval, lambda: round(self.time * SECOND), lambda *_: None)
        since = round(now * SECOND)
        self.intake.select({device: dict.fromkeys(plant.cadences) for device in DEVICES}, since)
        newest = store.read_newest()
        gaps = find_start_gaps(DEVICES, newest, since, self.step)
        self.intake.begin(gaps, newest)
        store.write((), gaps)
        self.waiting: list[tuple[list[RowKey], list[Gap]]] = []
        self.known: dict[tuple[str, str], int] = {}
        self.job: RepairJob | None = None
        self.job_ends_at = 0.0

    def run(self, seconds: float, *, lateness: float = 0.02, failing: float = 0.0, delay: float = 0.0) -> None:
        """Poll until it is killed. What waits for its commit is lost.

        Args:
            seconds: Time until the kill.
            lateness: Seconds by which ticks and responses are late on average.
            failing: Share of the polls that fail.
            delay: Most seconds until the platform has a new value.
        """
        interval, end = self.plant.interval, self.time + seconds
        due = int(self.time) + 1 + self.chance.uniform(0.4, 0.6)
        while due < end:
            began = max(self.time, due + self.chance.expovariate(1 / lateness))
            if passed := int(max(0.0, began - due) / interval):
                self.doubt(due, passed, "polls were missed")
                due += passed * interval
            answered = began + self.chance.expovariate(1 / lateness)
            seen = self.chance.uniform(began, answered) - self.chance.uniform(0, delay)
            self.time = answered
            if self.chance.random() < failing:
                self.doubt(due, 1, "polls failed")
            else:
                if answered - due > _LATE_SECONDS * min(interval, 1):
                    self.intake.note_late_polls(DEVICES)
                self.take(seen)
            self.commit()
            self.repair()
            due += interval

    def doubt(self, due: float, count: int, reason: str) -> None:
        first, before = due - self.plant.interval, due + count * self.plant.interval
        self.intake.doubt(DEVICES, round(first * SECOND), round(before * SECOND), reason)
        self.waiting.append(([], self.intake.list_lasting_outages(DEVICES)))

    def take(self, second: float) -> None:
        new = {
            (device, name): newest
            for device in DEVICES
            for name in self.plant.cadences
            if (newest := self.plant.newest(name, second)) > self.known.get((device, name), 0)
        }
        self.known |= new
        if new:
            rows, gaps = self.intake.take([(*key, datetime.fromtimestamp(time, UTC), 1.0) for key, time in new.items()])
            self.waiting.append(([row[:3] for row in rows], gaps))

    def commit(self) -> None:
        """Commit everything, or only the oldest. Sometimes, mark what is committed."""
        while self.waiting and self.chance.random() < 0.8:
            self.store.write(*self.waiting.pop(0))
        if not self.waiting and self.chance.random() < 0.1:
            self.store.marks = self.intake.reached()

    def repair(self) -> None:
        """Begin a repair, or end one that takes some seconds."""
        if self.job is not None:
            if self.time >= self.job_ends_at:
                self.end_job(self.job)
            return
        over = (int(self.time) - _HISTORY_SECONDS) * SECOND // self.step * self.step
        gaps = sorted((gap for gap in self.store.gaps.values() if gap.start < over), key=lambda gap: gap.start)
        if gaps and self.chance.random() < 0.5:
            self.job = plan_job(gaps, DEVICES, over=over, step=self.step, longest=3_600 * self.step)
            self.job_ends_at = self.time + self.chance.expovariate(1)
            while self.waiting:
                self.store.write(*self.waiting.pop(0))
            self.job.stored.add(
                (device, name, second * SECOND)
                for device in self.job.spans
                for name in self.plant.cadences
                for second in self.store.rows[device, name]
                if self.job.start <= second * SECOND < self.job.before
            )

    def end_job(self, job: RepairJob) -> None:
        found: set[tuple[str, str]] = set()
        for device, (start, before) in job.spans.items():
            for name in self.plant.cadences:
                missing = self.store.list_missing(self.plant, device, name, start // SECOND, before // SECOND)
                self.store.rows[device, name].update(missing)
                if missing:
                    found.add((device, name))
        for gap in job.gaps:
            assert gap.id is not None
            del self.store.gaps[gap.id]
            self.store.write((), gap.without(job.start, job.before))
        self.intake.settle(job.spans, found, job.stored)
        self.job = None


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    "plant",
    [
        Plant(1, {"power": 1, "voltage": 1}),
        Plant(1, {"power": 1, "status": 5, "total": 17}),
        Plant(1, {"status": 5, "total": 17}),
        Plant(0.5, {"power": 1, "status": 2}),
        Plant(5, {"power": 1, "status": 7}),
    ],
    ids=["each second", "mixed cadences", "slow cadences", "two polls a second", "a poll each five seconds"],
)
def test_no_step_is_lost(plant: Plant, seed: int) -> None:
    chance = random.Random(seed)
    store = Store()
    now = START + 0.5
    Process(plant, store, chance, now).run(100)
    now += 100
    first = int(now) - 40
    for _ in range(100):
        process = Process(plant, store, chance, now)
        process.run(
            chance.expovariate(1 / 12),
            lateness=chance.choice((0.02, 0.15, 0.4)),
            failing=chance.choice((0, 0.1, 0.5)),
            delay=chance.choice((0, 0.3, 0.6, 1)),
        )
        now = process.time + chance.expovariate(1)
    Process(plant, store, chance, now).run(200 * plant.step)
    lost = {
        (device, name): missing
        for device in DEVICES
        for name in plant.cadences
        if (missing := store.list_missing(plant, device, name, first, int(now)))
    }
    assert lost == {}
