"""History of 100 devices over 30 days at one minute, at 20 ms latency, beside asking one after the other.

    python -m benchmarks.bench_history [--rounds 3]

"One after the other" is `history` of the very same parts with `concurrency=1`: each request is sent when the
answer before it has been read. Two servers, each on the last core, the client on the first: the simulator,
which makes every value when asked, and one that answers from memory, so that the client is what is measured.
What is gained is latency: the longer a window, the less of it there is, and the faster both ways are. The
simulator makes 4.3 million values on its own core; "by CPU and latency alone" is what a machine that does nothing
else would give.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, table
from benchmarks.servers import free_port, pinned_process

DEVICES, DAYS, LATENCY_MS = 100, 30, 20
START = datetime(2026, 3, 1, tzinfo=UTC)
CONCURRENCY = 16
DEFAULT = "a week (the default)"
HOURS = {"6 hours": 6, "a day": 24, DEFAULT: None}
GOALS = {"the simulator": "6 hours", "memory": "a day"}
"""The window at which the goal is to be reached; what is shorter is not measured."""
Address = tuple[str, str, int | None]


@contextmanager
def simulator() -> Generator[Address]:
    """Run the simulator; yields its URL, token and process."""
    options = ["--port", "0", "--devices", str(DEVICES), "--latency-ms", str(LATENCY_MS)]
    command = [sys.executable, "-m", "enapter_async.simulator", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
        assert process.stdout is not None
        found = re.search(r"(http://\S+) token=(\S+)", process.stdout.readline())
        assert found is not None
        yield found[1], found[2], process.pid
    finally:
        process.terminate()
        process.communicate(timeout=10)


@contextmanager
def static() -> Generator[Address]:
    """Run the server that answers from memory; yields its URL and a token."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.static_server", str(port), str(LATENCY_MS)]
    with pinned_process(command, port):
        yield f"http://127.0.0.1:{port}", "token", None


async def read(url: str, token: str, hours: int | None, concurrency: int, days: float) -> dict[str, Any]:
    """Read it all; in a process of its own."""
    from enapter_async import EnapterClient, Series, TimeseriesQuery

    async with EnapterClient(base_url=url, token=token) as client:
        if token == "token":
            series = [Series(f"00000000-0000-4000-8000-{number:012}", ["power"]) for number in range(DEVICES)]
        else:
            devices = await client.devices.list(expand={"manifest"}).collect()
            series = [
                Series(one.id, list(one.manifest.numeric_telemetry())[:1])
                for one in devices
                if one.manifest is not None
            ]
        query = TimeseriesQuery(start=START, end=START + timedelta(days=days), granularity=60, series=series)
        window = None if hours is None else timedelta(hours=hours)
        history = client.telemetry.history(query, window=window, concurrency=concurrency)
        rows = cells = 0
        began, busy = time.perf_counter(), time.process_time()
        async with history:
            async for batch in history:
                rows += len(batch)
                cells += len(batch) * len(batch.columns)
        seconds, cpu = time.perf_counter() - began, time.process_time() - busy
    return {"seconds": seconds, "cpu": cpu, "cells": cells, "requests": len(history.parts)}


def ask(server: Address, hours: int | None, concurrency: int, days: float = DAYS) -> dict[str, float]:
    """Measure one way, in a process of its own."""
    options = json.dumps([server[0], server[1], hours, concurrency, days])
    command = [sys.executable, "-m", "benchmarks.bench_history", "--work", options]
    before = used(server[2])
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=300)
    result: dict[str, float] = json.loads(done.stdout)
    return {**result, "server": used(server[2]) - before}


def used(process: int | None) -> float:
    """Return the seconds of CPU that a server has used."""
    if process is None:
        return 0.0
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def compared(name: str, server: Address, rounds: int) -> Iterator[Figure]:
    """Measure every window, the two ways in turn."""
    windows = list(HOURS)
    for window in windows[windows.index(GOALS[name]) :]:
        hours = HOURS[window]
        if server[2] is None:
            ask(server, hours, CONCURRENCY)  # the answers are made when first asked for
        ways: dict[int, list[dict[str, float]]] = {1: [], CONCURRENCY: []}
        for number in range(rounds):
            for way in ways if number % 2 == 0 else reversed(ways):
                ways[way].append(ask(server, hours, way))
        one, many = (
            {key: statistics.median(result[key] for result in results) for key in results[0]}
            for results in ways.values()
        )
        server_cpu = f", of the server {many['server']:.1f} s" if many["server"] else ""
        waited = one["requests"] * LATENCY_MS / 1000
        # What a machine that does nothing else would give: all in a row, against the slowest of the three.
        bound = (waited + one["cpu"] + one["server"]) / max(many["cpu"], many["server"], waited / CONCURRENCY)
        yield Figure(
            f"history of {DEVICES} devices x {DAYS} days from {name}, {window} a request: "
            "speed relative to sequential requests",
            one["seconds"] / many["seconds"],
            goal=6.0 if window == GOALS[name] else None,
            note=f"{many['seconds']:.1f} s (CPU {many['cpu']:.1f} s{server_cpu}), one by one {one['seconds']:.1f} s; "
            f"{many['requests']:.0f} requests ({waited:.1f} s of latency), {many['cells'] / 1e6:.1f} million values; "
            f"by CPU and latency alone {bound:.1f} x",
        )


def figures(rounds: int = 3) -> Iterator[Figure]:
    """Measure against the simulator, a third of the rounds asked for: one takes more than half a minute."""
    with simulator() as address:
        yield from compared("the simulator", address, max(rounds // 3, 1))


def from_memory(rounds: int) -> Iterator[Figure]:
    """Measure against a server that answers from memory; a round takes a minute."""
    with static() as address:
        yield from compared("memory", address, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(json.dumps(asyncio.run(read(*json.loads(arguments.work)))))
        return
    print(table([*figures(arguments.rounds), *from_memory(arguments.rounds)]))


if __name__ == "__main__":
    main()
