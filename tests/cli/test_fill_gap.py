"""`collect --fill-gap`: the time in which nobody collected comes from history, each datapoint once."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from commands import begin, end, figure, rows, run

from enapter_async import EnapterClient, Series, TimeseriesQuery
from enapter_async.cli import gap
from enapter_async.cli.collector import Plan, make_plan
from enapter_async.cli.gap import GapFiller, GapJournal
from enapter_async.cli.store import Row, SqliteStore
from enapter_async.simulator import Fault, Simulator

pytestmark = pytest.mark.anyio

START = 1_773_480_000
"""2026-03-14T09:20:00Z, the newest datapoint before the gap."""
STEPS = 100


def text(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat() + "Z"


def keep(database: Path, kept: list[Row]) -> None:
    with closing(SqliteStore(database)) as store:
        store.write(kept)


def noted(database: Path) -> list[tuple[int, int]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT start, before FROM telemetry_gaps").fetchall()


async def known(
    client: EnapterClient, plan: Plan, first: int, before: int, step: int
) -> dict[tuple[str, str, str], float]:
    """What the server knows of a span, asked for in the plainest way."""
    table = await client.telemetry.query_timeseries(
        TimeseriesQuery(
            start=datetime.fromtimestamp(first, UTC),
            end=datetime.fromtimestamp(before, UTC),
            granularity=step,
            series=[Series(device, list(units)) for device, units in plan.units.items()],
            aggregation="last",
        )
    )
    return {
        (column.device, column.attribute, text(row.timestamp.timestamp())): float(value)
        for row in table.rows()
        for column, value in zip(table.columns, row.values, strict=True)
        if isinstance(value, (int, float))
    }


@pytest.fixture
def short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gap, "_WINDOW", 20)


async def fill(client: EnapterClient, database: Path, step: int, now: float, *, again: float = 100) -> GapFiller:
    """Fill the gap of a database as a command does that is begun now and goes on for long enough."""
    moments = iter([now])
    with closing(GapJournal(database, step)) as journal:
        filler = GapFiller(client, await make_plan(client), journal, lambda: next(moments, now + 100 * step), again)
        await filler.run()
    return filler


@pytest.mark.parametrize("step", [1, 10])
async def test_a_gap_has_what_the_server_knows_of_it_and_units(database: Path, step: int, short_windows: None) -> None:
    async with Simulator(devices=12) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        plan = await make_plan(client)
        device, units = next(iter(plan.units.items()))
        attribute = next(iter(units))
        keep(database, [(device, attribute, text(START), -1.0, None)])
        filler = await fill(client, database, step, START + STEPS * step)
        expected = await known(client, plan, START - step, START + (STEPS + 2) * step, step)
    expected[device, attribute, text(START)] = -1.0  # what was there is not replaced
    written = rows(database)
    assert {row[:3]: row[3] for row in written} == expected
    assert len(written) == len(expected) == filler.rows + 1
    assert all(row[4] == plan.units[row[0]][row[1]] for row in written if row[3] != -1.0)
    assert (filler.share, noted(database)) == (1.0, [])


async def test_steps_with_a_datapoint_of_their_own_are_not_doubled(database: Path) -> None:
    """Live datapoints have the device's times, which need not be those at which steps begin."""
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        plan = await make_plan(client)
        device, units = next(iter(plan.units.items()))
        attribute = next(iter(units))
        keep(database, [(device, attribute, text(START + 3.25), 1.0, None)])
        with closing(GapJournal(database, 10)) as journal:
            moments = iter([START + 1_004])
            filler = GapFiller(client, plan, journal, lambda: next(moments, START + 2_000), again=100)
            keep(database, [(device, attribute, text(START + 1_006), 2.0, None)])
            await filler.run()
    steps = [
        datetime.fromisoformat(when).timestamp() // 10
        for one, name, when, *_ in rows(database)
        if (one, name) == (device, attribute)
    ]
    assert len(steps) == len(set(steps)) > 90


async def test_a_filling_that_was_killed_goes_on_where_it_was(database: Path, short_windows: None) -> None:
    async with Simulator(devices=12) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        plan = await make_plan(client)
        device, units = next(iter(plan.units.items()))
        attribute = next(iter(units))
        keep(database, [(device, attribute, text(START), -1.0, None)])
        sim.faults.on("queryTimeseries", Fault.hang(100), nth=range(6, 100))
        with anyio.CancelScope() as kill:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fill, client, database, 10, START + 10 * STEPS)
                with anyio.fail_after(20):
                    while len(sim.requests_of("queryTimeseries")) < 5 or noted(database)[0][0] == START - 10:
                        await anyio.sleep(0.01)
                kill.cancel()
        sim.faults.clear()
        half = len(rows(database))
        ((start, before),) = noted(database)
        assert START < start < before == START + 10 * (STEPS + 2)
        keep(database, [(device, attribute, text(before), -2.0, None)])  # what was live meanwhile
        await fill(client, database, 10, before + 3_000)
        expected = await known(client, plan, START - 10, before + 3_020, 10)
    expected[device, attribute, text(START)] = -1.0
    expected[device, attribute, text(before)] = -2.0
    assert half < len(expected)
    assert {row[:3]: row[3] for row in rows(database)} == expected
    assert noted(database) == []


async def test_what_fails_is_tried_again(database: Path) -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        plan = await make_plan(client)
        keep(database, [("gone", "power", text(START), 1.0, None)])
        sim.faults.on("queryTimeseries", Fault.answer(422), nth={1, 2})
        filler = await fill(client, database, 10, START + 1_000, again=0)
        assert len(rows(database)) == 1 + len(await known(client, plan, START - 10, START + 1_020, 10))
    assert (filler.problem, filler.share) == ("", 1.0)


async def test_live_collection_does_not_wait_and_a_kill_costs_nothing(database: Path) -> None:
    now = int(time.time())
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        plan = await make_plan(client)
        keep(database, [(next(iter(plan.units)), "none", text(now - 7_300), 1.0, None)])
        server = {"ENAPTER_HTTP_API_TOKEN": sim.token, "ENAPTER_HTTP_API_BASE_URL": sim.url}
        # Three windows are three queries at least; the first one is one or two of them.
        sim.faults.on("queryTimeseries", Fault.hang(100), nth=range(3, 100))
        process = begin("collect", "--to", str(database), "--fill-gap", "-q", **server)
        with anyio.fail_after(60):
            while not noted_start_moved(database, now - 7_300) or not live(database, now):
                await anyio.sleep(0.05)
        process.kill()
        await anyio.to_thread.run_sync(end, process)
        sim.faults.clear()
        killed, again = max(row[2] for row in rows(database)), text(int(time.time()))
        process = begin("collect", "--to", str(database), "--fill-gap", "-q", **server)
        with anyio.fail_after(60):
            while noted(database):
                await anyio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        ended = await anyio.to_thread.run_sync(end, process)
        assert ended.code == 0, ended.stderr
        expected = await known(client, plan, now - 7_301, now - 100, 1)
        written = {row[:3]: row[3] for row in rows(database)}
        assert {
            key: value for key, value in written.items() if key[2] < text(now - 100) and key[1] != "none"
        } == expected
        first, last = min(key[2] for key in written), max(key[2] for key in written)
        over = int(datetime.fromisoformat(last).timestamp()) + 1
        while time.time() < over:  # a second that is not over has no history yet
            await anyio.sleep(0.05)
        overlap = await known(client, plan, now - 100, over, 1)
    assert first == text(now - 7_301)
    live_rows = {key: value for key, value in written.items() if key[2] >= text(now - 100)}
    # The simulator's history has gaps, which its latest values have not; when they are is a matter of the clock.
    assert live_rows == {key: overlap.get(key, live_rows[key]) for key in live_rows}, "a time has one value"
    assert len(live_rows) > 0
    assert figure(ended, "filled in") > 0
    assert "is filled" in ended.stdout
    assert noted(database) == []
    assert {key for key in overlap if killed <= key[2] < again} <= set(written)


def noted_start_moved(database: Path, newest: int) -> bool:
    try:
        return noted(database)[0][0] > newest
    except sqlite3.Error:
        return False  # the table is not there yet


def live(database: Path, since: int) -> bool:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT 1 FROM telemetry WHERE time >= ?", (text(since),)).fetchone() is not None


def test_without_a_gap_nothing_is_filled(database: Path) -> None:
    ended = run("collect", "--simulate", "1", "--for", "1s", "--fill-gap", "-q", "--to", str(database))
    assert ended.code == 0, ended.stderr
    assert "there was no gap" in ended.stdout


def test_only_sqlite_can_tell_what_it_has(tmp_path: Path) -> None:
    ended = run("collect", "--simulate", "1", "--fill-gap", "--to", str(tmp_path / "t.csv"))
    assert ended.code == 2
    assert "--fill-gap is for SQLite" in ended.error
