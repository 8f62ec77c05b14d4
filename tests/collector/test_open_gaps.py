"""The number of open gaps is that of the journal, whether they are filled or not."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from enapter_async import EnapterClient
from enapter_async.cli.collect.summary import summarize
from enapter_async.cli.traffic import Traffic
from enapter_async.collector import Collector, CollectorStatistics, Gap, LineStore, SqliteStore
from enapter_async.simulator import Simulator
from tests.collector.platform import SECOND, START, read_journal
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


def gap(first: int, device: str | None = None) -> Gap:
    return Gap(device_id=device, start=(START + first) * SECOND, before=(START + first + 5) * SECOND, reason="test")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enapter_async.collector._open_gaps.LOOK_SECONDS", 0.05)
    monkeypatch.setattr("enapter_async.collector._open_gaps._SHORTEST_PAUSE", 0.01)


def show_summary(done: CollectorStatistics, target: str) -> dict[str, str]:
    lines = summarize(done, Traffic(), 10.0, target=target).splitlines()
    return {line[2:20].strip(): line[22:].strip() for line in lines}


async def test_gaps_of_earlier_runs_are_counted_without_a_repair(database: Path) -> None:
    pytest.importorskip("prometheus_client", reason="the extra `prometheus` is not installed")
    from enapter_async.integrations.prometheus import render_metrics

    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with SqliteStore(database) as store:
            await store.commit((), note=[gap(0), gap(100), gap(0, "gone")])
            collector = Collector(client, store, interval=0.1, repair=False)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collector.run)
                await wait_until(lambda: collector.statistics.gaps_open == 3)
                await store.commit((), note=[gap(200)])  # as another collector does
                await wait_until(lambda: collector.statistics.gaps_open == 4)
                during = render_metrics(collector.statistics, client.load, []).decode()
                oldest, *_ = await store.read_gaps()
                assert oldest.id is not None
                await store.commit((), replace={oldest.id: []})
                collector.stop()
            done = collector.statistics
    assert re.search(r"^enapter_collector_gaps_open 4\.0$", during, re.MULTILINE)
    assert re.search(r"^enapter_collector_gap_open_seconds 20\.0$", during, re.MULTILINE)
    assert (done.gaps_open, done.gap_seconds_open, done.gaps_unselected) == (3, 15.0, 1)
    assert len(read_journal(database)) == done.gaps_open
    assert not done.can_repair
    said = show_summary(done, "t.sqlite")["gaps recorded"]
    assert said == "0  the table telemetry_gaps lists 3 gaps (0:00:15 in total)"


async def test_the_start_of_a_run_without_a_repair_counts_its_gap_once(database: Path) -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with SqliteStore(database) as store:
            await Collector(client, store, interval=0.1).run(seconds=0.5)
            collector = Collector(client, store, interval=0.1, repair=False)
            await collector.run(seconds=0.5)
    with closing(sqlite3.connect(database)) as connection:
        ((count,),) = connection.execute("SELECT count(*) FROM telemetry_gaps")
    assert collector.statistics.gaps_open == count > 0


async def test_files_count_the_gaps_of_this_run(tmp_path: Path) -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        for _ in range(2):
            async with LineStore(tmp_path / "t.csv", "csv") as store:
                collector = Collector(client, store, interval=0.1)
                await collector.run(seconds=0.5)
    done = collector.statistics
    assert done.gaps_open == done.gaps_noted == 2
    assert show_summary(done, "t.csv")["gaps recorded"] == "2  see t.csv.gaps.jsonl"
