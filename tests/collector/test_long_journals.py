"""Recording a gap does not read the rest of the journal, however long it is."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from enapter_async.collector import Gap, JournaledStore, SqliteStore
from enapter_async.collector.gaps import join_gaps
from enapter_async.collector.stores.sqlite import _Database
from tests.collector.platform import SECOND
from tests.postgres_server import needs_postgres

pytestmark = pytest.mark.anyio

START = 1_773_480_000
"""2026-03-14T09:20:00Z"""


def gap(start: float, before: float, device: str | None = "d1") -> Gap:
    return Gap(device_id=device, start=round(start * SECOND), before=round(before * SECOND), reason="test")


async def count_steps(database: Path, length: int) -> int:
    """Return the steps of SQLite's machine that one more gap takes."""
    async with SqliteStore(database) as store:
        await store.commit([], note=[gap(START + 10 * n, START + 10 * n + 5, f"d{n % 3}") for n in range(length)])
        steps = 0

        def step() -> None:
            nonlocal steps
            steps += 1

        assert store._open is not None
        store._open._connection.set_progress_handler(step, 1)
        await store.commit([], note=[gap(START + 10 * length, START + 10 * length + 5)])
        store._open._connection.set_progress_handler(None, 1)
    return steps


async def test_a_gap_costs_the_same_in_a_long_journal(tmp_path: Path) -> None:
    short = await count_steps(tmp_path / "short.sqlite", 30)
    long = await count_steps(tmp_path / "long.sqlite", 10_000)
    assert 0 < long <= 1.5 * short


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=needs_postgres)])
def journaled(request: pytest.FixtureRequest, database: Path) -> JournaledStore:
    """Return a store of each kind that has a journal."""
    if request.param == "sqlite":
        return SqliteStore(database)
    pytest.importorskip("asyncpg", reason="the extra `postgres` is not installed")
    from enapter_async.collector.stores.postgres import PostgresStore

    return PostgresStore(request.getfixturevalue("postgres_url"))


@pytest.mark.parametrize("seed", range(5))
async def test_gaps_are_joined_as_if_the_whole_journal_were_read(journaled: JournaledStore, seed: int) -> None:
    dice = random.Random(seed)
    expected: list[Gap] = []
    async with journaled as store:
        for _ in range(150):
            new: list[Gap] = []
            for _ in range(dice.randint(1, 3)):
                start = START + dice.choice((dice.randint(0, 300), dice.randint(0, 3000) / 10))
                new.append(gap(start, start + dice.choice((0.5, 1, 3, 20)), dice.choice((None, "d1", "d2"))))
            await store.commit([], note=new)
            added, replaced = join_gaps(new, _number(expected))
            expected = [one for number, one in enumerate(expected) if number not in replaced] + added
        found = await store.read_gaps()
    assert _spans(found) == _spans(expected)


def _number(gaps: Sequence[Gap]) -> list[Gap]:
    return [Gap(device_id=one.device_id, start=one.start, before=one.before, id=n) for n, one in enumerate(gaps)]


def _spans(gaps: Sequence[Gap]) -> list[tuple[str, int, int]]:
    return sorted((one.device_id or "", one.start, one.before) for one in gaps)


async def test_a_journal_without_the_index_gets_it(database: Path) -> None:
    async with SqliteStore(database) as store:
        await store.commit([], note=[gap(START, START + 5)])
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("DROP INDEX telemetry_gaps_start")
    async with SqliteStore(database) as store:
        assert len(await store.read_gaps()) == 1
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'index'").fetchone() == (1,)


async def test_two_programs_may_create_a_file_at_once(tmp_path: Path) -> None:
    for attempt in range(10):
        path = tmp_path / f"{attempt}.sqlite"

        def open_it(path: Path = path) -> None:
            _Database(path).close()

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(anyio.to_thread.run_sync, open_it)
