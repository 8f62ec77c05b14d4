"""Collecting into SQLite: CPU of a datapoint from the socket to the commit, against `executemany` by hand.

    python -m benchmarks.bench_collector [--devices 1600] [--seconds 15] [--most 10000]

The server answers from memory on the last core, with a new timestamp for every attribute each second; the collector
has the first core and its usual work: journal, clocks, repair, rediscovery. By hand means: the same rows, made
beforehand, into the same table in transactions of half a second. Collector and hand take turns. `--most N` shows that
one core holds N devices of ten attributes each second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure, table
from benchmarks.servers import free_port, pinned_process

if TYPE_CHECKING:
    from enapter_async.collector import Selection

ATTRIBUTES = 10
MOST = 10_000
TIMES = 3.5
"""Goal: at most so many times the CPU of `executemany` by hand."""


async def collect(url: str, seconds: float, selection: Selection | None = None) -> dict[str, float]:
    """Collect for some time, by default all devices; in a process of its own."""
    from enapter_async import EnapterClient
    from enapter_async.collector import Collector, SqliteStore

    with tempfile.TemporaryDirectory() as folder:
        async with (
            EnapterClient(base_url=url, token="token") as client,
            SqliteStore(Path(folder) / "telemetry.sqlite") as store,
        ):
            collector = Collector(client, store, selection=selection, on_event=lambda _: None)
            task = asyncio.create_task(collector.run(seconds=seconds + 30))
            while collector.statistics.polls.ticks < 3:
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            rows, busy, began = collector.statistics.rows, time.process_time(), time.monotonic()
            await asyncio.sleep(seconds)
            done = collector.statistics
            rows, busy, took = done.rows - rows, time.process_time() - busy, time.monotonic() - began
            collector.stop()
            await task
            done = collector.statistics
    return {
        "microseconds": busy / max(rows, 1) * 1e6,
        "rows": rows,
        "load": busy / took,
        "missed": done.polls.missed_ticks,
        "ticks": done.polls.ticks,
        "gaps": done.gaps_noted,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "grown": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024,
    }


def write_by_hand(devices: int, seconds: float) -> dict[str, float]:
    """Write as many rows as a collector does, made beforehand; in a process of its own."""
    now = int(time.time())
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "telemetry.sqlite", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(
            "CREATE TABLE telemetry (device_id TEXT NOT NULL, attribute TEXT NOT NULL, time TEXT NOT NULL, value REAL,"
            " text TEXT, unit TEXT, PRIMARY KEY (time, device_id, attribute)) WITHOUT ROWID"
        )
        busy = 0.0
        count = 0
        for second in range(int(seconds)):
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + second))
            rows = [
                (f"00000000-0000-4000-8000-{device:012}", f"attribute_{number}", moment, 1.5, None, "W")
                for device in range(devices)
                for number in range(ATTRIBUTES)
            ]
            for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
                began = time.process_time()
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("INSERT OR IGNORE INTO telemetry VALUES (?,?,?,?,?,?)", half)
                connection.execute("COMMIT")
                busy += time.process_time() - began
            count += len(rows)
        connection.close()
    return {"microseconds": busy / count * 1e6}


def ask(*work: Any) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.bench_collector", "--work", json.dumps(work)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=900)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def ask_collector(devices: int, seconds: float) -> dict[str, float]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.static_server", str(port), "5", str(devices)]
    with pinned_process(command, port):
        return ask("collect", f"http://127.0.0.1:{port}", seconds)


def figures(rounds: int = 3, *, devices: int = 1_600, seconds: float = 10, most: int = MOST) -> Iterator[Figure]:
    """Measure everything of this file."""
    collected: list[dict[str, float]] = []
    by_hand: list[float] = []
    for _ in range(rounds):
        collected.append(ask_collector(devices, seconds))
        by_hand.append(ask("hand", devices, seconds)["microseconds"])
    best = min(one["microseconds"] for one in collected)
    hand = min(by_hand)
    yield Figure(
        "collector: CPU of a datapoint from socket to commit, against executemany by hand",
        best / hand,
        goal=TIMES,
        at_most=True,
        note=f"{best:.2f} µs against {hand:.2f} µs; {devices:,} devices x {ATTRIBUTES} attributes each second, "
        f"missed ticks {sum(one['missed'] for one in collected):.0f}",
    )
    if most:
        result = ask_collector(most, max(seconds, 20))
        yield Figure(
            f"collector: {most:,} devices x {ATTRIBUTES} attributes each second: missed ticks",
            result["missed"],
            "",
            goal=0,
            at_most=True,
            note=f"{result['load']:.0%} of one core, {result['microseconds']:.2f} µs a datapoint, "
            f"{result['ticks']:.0f} ticks, {result['mib']:.0f} MiB, {result['grown']:.0f} since the third tick",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1_600)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most", type=int, default=MOST)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        kind, *work = json.loads(arguments.work)
        print(json.dumps(asyncio.run(collect(*work)) if kind == "collect" else write_by_hand(*work)))
        return
    print(table(figures(arguments.rounds, devices=arguments.devices, seconds=arguments.seconds, most=arguments.most)))


if __name__ == "__main__":
    main()
