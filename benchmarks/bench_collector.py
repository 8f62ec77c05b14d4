"""Collecting into SQLite: CPU of a datapoint from the socket to the commit, against `executemany` by hand.

    python -m benchmarks.bench_collector [--devices 1600] [--seconds 15] [--most 10000] [--gap-devices 100]

The server answers from memory on the last core, with a new timestamp for every attribute each second; the collector
has the first core and its usual work: journal, clocks, repair, rediscovery. By hand means: the same rows, made
beforehand, into the same table in transactions of half a second. Collector and hand take turns. `--most N` shows that
one core holds N devices of ten attributes each second.

`--gap-devices N` lets a collector fill a gap of one hour of N devices at one-second steps while it collects them, in
turn with `history` alone, which reads the same and discards it. Both may use all cores. The goal is for a platform that
sends time series at 16 Mbit/s. The same from memory shows the speed of SQLite, since reading takes a fifth of its CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure, table
from benchmarks.servers import free_port, pinned_process
from benchmarks.static_server import ATTRIBUTES as NAMES

if TYPE_CHECKING:
    from enapter_async.collector import Selection

ATTRIBUTES = 10
MOST = 10_000
TIMES = 3.5
"""Goal: at most so many times the CPU of `executemany` by hand."""
HOUR = 3_600
GAP_DEVICES = 100
LINK = 2_000_000
"""Bytes of time series that the platform sends in a second."""
REPAIR_TIMES = 1.3
"""Goal: at most so many times the time of `history` alone."""


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


async def repair(url: str, devices: int) -> dict[str, float]:
    """Collect, and fill a gap of an hour meanwhile; in a process of its own."""
    from enapter_async import EnapterClient
    from enapter_async.collector import Collector, SqliteStore

    with tempfile.TemporaryDirectory() as folder:
        async with (
            EnapterClient(base_url=url, token="token") as client,
            SqliteStore(Path(folder) / "telemetry.sqlite") as store,
        ):
            collector = Collector(client, store, on_event=lambda _: None)
            reached = (int(time.time()) - HOUR) * 1_000_000
            await store.mark(dict.fromkeys((await collector.discover()).units, reached))
            busy, began = time.process_time(), time.monotonic()
            task = asyncio.create_task(collector.run(seconds=900))
            while collector.statistics.rows_filled < devices * ATTRIBUTES * HOUR or collector.statistics.gaps_open:
                await asyncio.sleep(0.05)
                if task.done():
                    raise RuntimeError("the gap was not filled in time")
            took, busy = time.monotonic() - began, time.process_time() - busy
            collector.stop()
            await task
            done = collector.statistics
    return {
        "seconds": took,
        "cpu": busy,
        "rows": done.rows_filled,
        "ticks": done.polls.ticks,
        "missed": done.polls.missed_ticks,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


async def read_history(url: str, devices: int) -> dict[str, float]:
    """Read what `repair` fills in, and nothing else; in a process of its own."""
    from enapter_async import EnapterClient, Series, TimeseriesQuery

    end = datetime.fromtimestamp(int(time.time()), UTC)
    series = [Series(f"00000000-0000-4000-8000-{number:012}", NAMES) for number in range(devices)]
    query = TimeseriesQuery(
        start=end - timedelta(seconds=HOUR), end=end, granularity=1, series=series, aggregation="last"
    )
    cells = 0
    async with EnapterClient(base_url=url, token="token") as client:
        busy, began = time.process_time(), time.monotonic()
        async with client.telemetry.history(query) as history:
            async for batch in history:
                cells += len(batch) * len(batch.columns)
        return {"seconds": time.monotonic() - began, "cpu": time.process_time() - busy, "rows": cells}


WORKS: dict[str, Callable[..., Coroutine[Any, Any, dict[str, float]]]] = {
    "collect": collect,
    "repair": repair,
    "history": read_history,
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


@contextmanager
def serve(devices: int, bytes_per_second: float = 0) -> Iterator[str]:
    """Run the server in memory; yields its URL."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.static_server", str(port), "5", str(devices), str(bytes_per_second)]
    with pinned_process(command, port):
        yield f"http://127.0.0.1:{port}"


def ask_collector(devices: int, seconds: float) -> dict[str, float]:
    with serve(devices) as url:
        return ask("collect", url, seconds)


def compare_repair(rounds: int, devices: int, bytes_per_second: float) -> Iterator[Figure]:
    """Let `history` alone and a repair take turns."""
    results: dict[str, list[dict[str, float]]] = {"history": [], "repair": []}
    with serve(devices, bytes_per_second) as url:
        for number in range(rounds):
            for kind in results if number % 2 == 0 else reversed(results):
                results[kind].append(ask(kind, url, devices))
    history, filled = (
        {key: statistics.median(one[key] for one in found) for key in found[0]} for found in results.values()
    )
    server = f"at {bytes_per_second * 8 / 1e6:g} Mbit/s" if bytes_per_second else "from memory"
    yield Figure(
        f"collector: filling an hour of {devices:,} devices x {ATTRIBUTES} attributes {server}, against reading it",
        filled["seconds"] / history["seconds"],
        goal=REPAIR_TIMES if bytes_per_second else None,
        at_most=True,
        note=f"{filled['seconds']:.1f} s (CPU {filled['cpu']:.1f} s) against {history['seconds']:.1f} s "
        f"(CPU {history['cpu']:.1f} s); {filled['rows'] / 1e6:.1f} million rows, "
        f"{filled['cpu'] / filled['rows'] * 1e6:.2f} µs of CPU each, {filled['mib']:.0f} MiB; live collection: "
        f"{sum(one['ticks'] for one in results['repair']):.0f} ticks, "
        f"{sum(one['missed'] for one in results['repair']):.0f} missed",
    )


def figures(
    rounds: int = 3, *, devices: int = 1_600, seconds: float = 10, most: int = MOST, gap_devices: int = GAP_DEVICES
) -> Iterator[Figure]:
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
    if gap_devices:
        yield from compare_repair(rounds, gap_devices, LINK)
        yield from compare_repair(rounds, gap_devices, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1_600)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most", type=int, default=MOST)
    parser.add_argument("--gap-devices", type=int, default=GAP_DEVICES)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        cores = sorted(os.sched_getaffinity(0))
        kind, *work = json.loads(arguments.work)
        pinned = kind in ("collect", "hand")
        os.sched_setaffinity(0, cores[:1] if pinned else cores)
        if kind == "hand":
            print(json.dumps(write_by_hand(*work)))
        else:
            print(json.dumps(asyncio.run(WORKS[kind](*work))))
        return
    print(
        table(
            figures(
                arguments.rounds,
                devices=arguments.devices,
                seconds=arguments.seconds,
                most=arguments.most,
                gap_devices=arguments.gap_devices,
            )
        )
    )


if __name__ == "__main__":
    main()
