"""Devices hand in stored values some time after they are back: history is read again until it brings nothing new."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from enapter_async import EnapterClient, HistoryPart
from enapter_async.collector import Gap, Selection, SqliteStore, Targets
from enapter_async.collector._problems import Problems
from enapter_async.collector._repair_job import RepairJob
from enapter_async.collector._repairer import Repairer
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

    async def _read(self, job: RepairJob, part: HistoryPart, found: set[tuple[str, str]]) -> Sequence[Row]:
        rows = await self._read_all(job, part, set())
        there = [row for row in rows if row[2] < (START + self.handed_in) * SECOND]
        found.update((row[0], row[1]) for row in there)
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
