"""`/metrics` with 20,000 latest values: CPU of an answer, beside a plain `Gauge` of prometheus-client; ticks missed.

    python -m benchmarks.bench_metrics [--rounds N] [--devices 3000] [--seconds 60]

An answer has two parts: the values are read in the event loop, and the text is made in a thread. The second figure
comes from a collector that polls 3,000 devices of ten attributes each second, while its metrics are read each second
by another process: how many polls it missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.figures import Figure, table
from benchmarks.servers import free_port, pinned_process

DEVICES = 2_000
ATTRIBUTES = 10
MOST_MS = 150.0
SCRAPED_DEVICES = 3_000
SCRAPED_SECONDS = 60.0


def take_time(work: Callable[[], object], rounds: int) -> float:
    """Return the median CPU time in milliseconds."""
    taken: list[float] = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        taken.append((time.process_time() - began) * 1e3)
    return statistics.median(taken)


async def collect_watched(url: str, seconds: float) -> None:
    """Collect with metrics served; in a process of its own. Prints the port, and at the end what was missed."""
    from enapter_async import EnapterClient
    from enapter_async.collector import Collector, SqliteStore
    from enapter_async.integrations.prometheus import LatestValues, MetricsServer

    latest = LatestValues()
    with tempfile.TemporaryDirectory() as folder:
        async with (
            EnapterClient(base_url=url, token="token") as client,
            SqliteStore(Path(folder) / "telemetry.sqlite") as store,
        ):
            collector = Collector(client, store, on_rows=latest.take, on_event=lambda _: None)
            async with MetricsServer(collector, client, latest, port=0) as server:
                task = asyncio.create_task(collector.run())
                while collector.statistics.polls.ticks < 3:
                    await asyncio.sleep(0.05)
                polls, missed = collector.statistics.polls.ticks, collector.statistics.polls.missed_ticks
                busy, began = time.process_time(), time.monotonic()
                print(server.port, flush=True)
                await asyncio.sleep(seconds)
                done = collector.statistics.polls
                load = (time.process_time() - busy) / (time.monotonic() - began)
                print(json.dumps({"ticks": done.ticks - polls, "missed": done.missed_ticks - missed, "load": load}))
                collector.stop()
                await task


def scrape_each_second(devices: int, seconds: float) -> dict[str, float]:
    """Return ticks, missed ticks and load of a collector, and how many scrapes it answered with how many values."""
    port = free_port()
    server = [sys.executable, "-m", "benchmarks.static_server", str(port), "5", str(devices)]
    command = [sys.executable, "-m", "benchmarks.bench_metrics", "--collect", f"http://127.0.0.1:{port}"]
    scrapes = values = 0
    with (
        pinned_process(server, port),
        subprocess.Popen([*command, "--seconds", str(seconds)], stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None
        metrics = f"http://127.0.0.1:{process.stdout.readline().strip()}/metrics"
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds - 1:
            with urllib.request.urlopen(metrics) as answer:
                values = answer.read().count(b"\nenapter_telemetry{")
            scrapes += 1
            time.sleep(max(0.0, 1 - (time.monotonic() - began - elapsed)))
        return {"scrapes": scrapes, "values": values, **json.loads(process.stdout.readline())}


def figures(rounds: int = 5, *, devices: int = SCRAPED_DEVICES, seconds: float = SCRAPED_SECONDS) -> Iterator[Figure]:
    """Measure the answer, its part in the event loop, and the rival; then a collector that is watched."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    from enapter_async import Load
    from enapter_async.collector import CollectorStatistics
    from enapter_async.integrations.prometheus import LatestValues, render_metrics

    names = [f"attribute_{number}" for number in range(ATTRIBUTES)]
    units = {f"00000000-0000-0000-0000-{number:012}": dict.fromkeys(names, "kW") for number in range(DEVICES)}
    latest = LatestValues()
    latest.take([(device, name, 1, 1.5, None, "kW") for device in units for name in names])
    registry = CollectorRegistry()
    gauge = Gauge("enapter_telemetry", "Latest value.", ["device_id", "attribute", "unit"], registry=registry)
    for device in units:
        for name in names:
            gauge.labels(device, name, "kW").set(1.5)

    statistics_, load = CollectorStatistics(), Load(0, 0, None, 0.0)
    in_loop = take_time(lambda: latest.list_current(units), rounds)
    whole = take_time(lambda: render_metrics(statistics_, load, latest.list_current(units)), rounds)
    rival = take_time(lambda: generate_latest(registry), rounds)
    count = DEVICES * ATTRIBUTES
    yield Figure(
        f"/metrics with {count:,} values: CPU",
        whole,
        unit="ms",
        goal=MOST_MS,
        at_most=True,
        note=f"of it {in_loop:.1f} ms in the event loop; a plain Gauge takes {rival:.0f} ms",
    )
    watched = scrape_each_second(devices, seconds)
    yield Figure(
        f"/metrics read each second, {devices:,} devices x 10 attributes each second: missed ticks",
        watched["missed"],
        unit="",
        goal=0,
        at_most=True,
        note=f"{watched['ticks']:.0f} ticks, {watched['scrapes']:.0f} answers of {watched['values']:,.0f} values, "
        f"{watched['load']:.0%} of one core",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--devices", type=int, default=SCRAPED_DEVICES)
    parser.add_argument("--seconds", type=float, default=SCRAPED_SECONDS)
    parser.add_argument("--collect", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.collect:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        asyncio.run(collect_watched(options.collect, options.seconds))
        return
    print(table(figures(options.rounds, devices=options.devices, seconds=options.seconds)))


if __name__ == "__main__":
    main()
