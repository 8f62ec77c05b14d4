"""Devices hand in stored values some time after they are back: history is read again until it brings nothing new."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import attrs
import pytest

from enapter_async import EnapterClient, HistoryPart
from enapter_async.collector import Gap, Selection, SqliteStore, Targets
from enapter_async.collector._late_history import LateHistory
from enapter_async.collector._problems import Problems
from enapter_async.collector._repair_job import RepairJob
from enapter_async.collector._repair_queue import RepairQueue
from enapter_async.collector._repairer import Repairer
from enapter_async.collector.gaps import join_gaps
from enapter_async.collector.selection import Finder
from enapter_async.rows import Row
from enapter_async.simulator import Simulator
from tests.collector.platform import SECOND, START, read_journal, read_platform, read_rows
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio

LENGTH = 30


class Plant:
    """A repair during which history grows.

    Attributes:
        now: The server's time, in seconds after the start of the gap.
        handed_in: History has values up to this second.
        looks: The start and end of each look into history.
        again: The devices that were to be looked up again, after each look.
    """

    def __init__(self, client: EnapterClient, store: SqliteStore, targets: Targets, database: Path) -> None:
        self.now: float = LENGTH + 5
        self.handed_in: int = 0
        self.looks: list[tuple[int, int]] = []
        self.again: list[set[str]] = []
        self._database = database
        self.repairer = Repairer(
            client,
            store,
            lambda: targets.units,
            step=1,
            now=lambda: round((START + self.now) * SECOND),
            problems=Problems(lambda _: None),
            report=lambda _: None,
            settled=lambda _, __, ___, again: self.again.append(set(again)) or 0,  # type: ignore[func-returns-value]
        )
        self._read_all = self.repairer._reader._read
        self.repairer._reader._read = self._read  # type: ignore[method-assign]

    async def _read(self, job: RepairJob, part: HistoryPart, found: dict[tuple[str, str], int]) -> Sequence[Row]:
        rows = await self._read_all(job, part, {})
        there = [row for row in rows if row[2] < (START + self.handed_in) * SECOND]
        found.update(((row[0], row[1]), row[2]) for row in reversed(there))
        self.looks.append((job.start // SECOND - START, job.before // SECOND - START))
        return there

    async def look(self, *, at: float, handed_in: int) -> None:
        """Let time pass, and wait until nothing is left to do at the moment."""
        self.now, self.handed_in = at, handed_in
        self.repairer.wake()
        await wait_until(self._is_idle)

    def _is_idle(self) -> bool:
        is_due = self.repairer._late_history.list_due(self.repairer._now())
        return not is_due and not read_journal(self._database) and len(self.again) == len(self.looks)


@asynccontextmanager
async def repairing(database: Path, reason: str, devices: int = 1) -> AsyncIterator[tuple[Plant, dict[object, Row]]]:
    async with Simulator(devices=devices) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        expected = await read_platform(client, targets.units, START, START + LENGTH)
        async with SqliteStore(database) as store, anyio.create_task_group() as tasks:
            device = next(iter(targets.units)) if devices == 1 else None
            gap = Gap(device_id=device, start=START * SECOND, before=(START + LENGTH) * SECOND, reason=reason)
            await store.commit([], note=[gap])
            plant = Plant(client, store, targets, database)
            tasks.start_soon(plant.repairer.run)
            yield plant, dict(expected)
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("devices", [1, 3])
@pytest.mark.parametrize("reason", ["the device was silent", "no collector was running", "polls failed"])
async def test_what_is_handed_in_bit_by_bit_is_stored(database: Path, reason: str, devices: int) -> None:
    async with repairing(database, reason, devices) as (plant, expected):
        await plant.look(at=LENGTH + 5, handed_in=0)
        await plant.look(at=LENGTH + 59, handed_in=0)
        assert len(plant.looks) == 1
        await plant.look(at=LENGTH + 61, handed_in=10)
        await plant.look(at=LENGTH + 122, handed_in=LENGTH)
        assert {row[:3]: row for row in read_rows(database)} == expected
        await plant.look(at=LENGTH + 183, handed_in=LENGTH)
        await plant.look(at=LENGTH + 1_000, handed_in=LENGTH)
        assert plant.looks == [(0, LENGTH)] * 4  # the last one found nothing new
        assert [bool(again) for again in plant.again] == [True, True, True, False]


async def test_history_that_is_there_at_once_is_read_twice(database: Path) -> None:
    async with repairing(database, "the device was silent") as (plant, expected):
        await plant.look(at=LENGTH + 5, handed_in=LENGTH)
        assert {row[:3]: row for row in read_rows(database)} == expected
        await plant.look(at=LENGTH + 61, handed_in=LENGTH)
        await plant.look(at=LENGTH + 1_000, handed_in=LENGTH)
        assert len(plant.looks) == 2


@pytest.mark.parametrize(("reason", "at"), [("polls were missed", LENGTH + 5), ("the device was silent", LENGTH + 90)])
async def test_missed_polls_and_gaps_of_long_ago_are_read_once(database: Path, reason: str, at: float) -> None:
    async with repairing(database, reason) as (plant, _):
        await plant.look(at=at, handed_in=LENGTH)
        await plant.look(at=at + 1_000, handed_in=LENGTH)
        assert len(plant.looks) == 1
        assert plant.again == [set()]


class Journal:
    """The journal of one device, whose history has every step.

    Attributes:
        looked_up: Number of steps that were looked up.
        late_history: What is to be looked up again.
    """

    def __init__(self, step: int, now: int) -> None:
        self.looked_up: int = 0
        self.late_history: LateHistory = LateHistory()
        self.now: int = now
        self._step = step * SECOND
        self._queue = RepairQueue(step=self._step, longest=3_600 * self._step, clock=lambda: self.now / SECOND)
        self._gaps: list[Gap] = []
        self._filled: set[int] = set()
        self._last_id = 0

    def note(self, gaps: Sequence[Gap]) -> None:
        added, gone = join_gaps(gaps, self._gaps)
        self._gaps = [gap for gap in self._gaps if gap.id not in gone]
        for gap in added:
            self._last_id += 1
            self._gaps.append(attrs.evolve(gap, id=self._last_id))

    def repair(self, *, is_refused: bool = False) -> None:
        due = self.late_history.list_due(self.now)
        self.note(due)
        self.late_history.mark_recorded(due, self.now)
        while job := self._queue.next_job(self._gaps, ["d"], self.now // self._step * self._step)[0]:
            steps = {
                step
                for gap in job.gaps
                for step in range(max(gap.start, job.start), min(gap.before, job.before), self._step)
            }
            self.looked_up += len(steps)
            if is_refused:
                self.late_history.schedule(job, set(), {}, self.now)
                return
            self._gaps = [gap for gap in self._gaps if gap not in job.gaps]
            self.note([rest for gap in job.gaps for rest in gap.without(job.start, job.before)])
            new = steps - self._filled
            self._filled |= new
            self.late_history.schedule(job, {"d"}, {("d", "a"): min(new)} if new else {}, self.now)


@pytest.mark.parametrize("step", [1, 10])
def test_a_gap_that_never_ends_is_read_only_twice(step: int) -> None:
    begin = START // step * step * SECOND
    journal = Journal(step, begin)
    steps = 1_800 // step
    for second in range(steps * step):
        journal.now = begin + second * SECOND
        if second % 10 == 0:
            before = journal.now + (10 + step) * SECOND
            journal.note([Gap(device_id="d", start=journal.now, before=before, reason="some attributes lack")])
        journal.repair()
    assert steps < journal.looked_up <= 2 * steps


def test_a_gap_that_cannot_be_read_is_not_recorded_again() -> None:
    journal = Journal(1, START * SECOND)
    journal.note([Gap(device_id="d", start=(START - 40) * SECOND, before=START * SECOND, reason="polls failed")])
    journal.repair(is_refused=True)
    assert journal.looked_up == 40
    assert journal.late_history.list_due(journal.now + 1_000 * SECOND) == []
