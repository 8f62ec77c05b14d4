"""Following many devices live: `watch` of 10 attributes each at an interval of 10 s, on one core.

    python -m benchmarks.bench_watch [--devices 10000] [--ticks 4] [--most 0]

The server answers from memory on the last core, with a new timestamp for every attribute each second; the client
has the first core. A tick is whole when every datapoint of it came. CPU is what the client's process used from
the second tick on, since the first one opens connections and meets every series for the first time. `--most N`
proves that one core holds N devices.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.figures import Figure, table
from benchmarks.servers import free_port, pinned_process

ATTRIBUTES = ["power", "voltage", "current", "energy", "temp_1", "temp_2", "flow", "level", "status", "hours"]
INTERVAL = 10.0
MOST = 60_000
"""What one core is shown to hold."""


async def follow(url: str, devices: int, ticks: int) -> dict[str, float]:
    """Watch for so many ticks; in a process of its own."""
    from enapter_async import EnapterClient, WatchEvent

    wanted = {f"00000000-0000-4000-8000-{number:012}": ATTRIBUTES for number in range(devices)}
    expected = devices * len(ATTRIBUTES)
    events: list[WatchEvent] = []
    async with EnapterClient(base_url=url, token="token") as client:
        live = client.telemetry.watch(wanted, interval=INTERVAL, on_event=events.append)
        first = time.monotonic()
        busy = began = 0.0
        last = latest = 0.0
        came = 0
        slowest = 0.0
        async with live:
            async for batch in live.batches():
                if came % expected == 0:
                    first = time.monotonic()
                came += len(batch)
                if came % expected == 0:
                    slowest = max(slowest, time.monotonic() - first)
                    last, latest = time.process_time(), time.monotonic()
                    if came == expected:
                        busy, began = last, latest
                if came >= ticks * expected or live.statistics.ticks > ticks + 1:
                    break
    done = live.statistics
    return {
        "cpu": (last - busy) / (ticks - 1),
        "seconds": (latest - began) / (ticks - 1),
        "missed": done.missed_ticks,
        "ticks": done.ticks,
        "datapoints": done.datapoints,
        "repeats": done.repeats,
        "gap": done.longest_gap,
        "events": len(events),
        "requests": done.requests / done.ticks,
        "slowest": slowest,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def ask(devices: int, ticks: int) -> dict[str, float]:
    """Run one watch beside its server."""
    port = free_port()
    with pinned_process([sys.executable, "-m", "benchmarks.static_server", str(port), "20"], port):
        work = json.dumps([f"http://127.0.0.1:{port}", devices, ticks])
        command = [sys.executable, "-m", "benchmarks.bench_watch", "--work", work]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=300)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def figures(rounds: int = 4, *, devices: int = 10_000, most: int = MOST) -> Iterator[Figure]:
    """Measure everything of this file: about a minute and a half, most of it waiting for the next tick.

    A round is a tick; there are three at least.
    """
    result = ask(devices, max(rounds, 3))
    what = f"watch of {devices:,} devices x {len(ATTRIBUTES)} attributes each {INTERVAL:g} s"
    whole = result["datapoints"] == result["ticks"] * devices * len(ATTRIBUTES)
    yield Figure(
        f"{what}: missed ticks",
        result["missed"] + result["events"] + (0 if whole else 1),
        "",
        goal=0,
        at_most=True,
        note=f"{result['ticks']:.0f} ticks, {result['datapoints']:,.0f} datapoints, each once; "
        f"longest gap {result['gap']:.2f} s, a tick read in {result['slowest']:.2f} s",
    )
    share = result["cpu"] / INTERVAL
    yield Figure(
        f"{what}: CPU of one core",
        share * 100,
        "%",
        at_most=True,
        note=f"{result['cpu']:.2f} s a tick of {result['requests']:.0f} requests, {result['mib']:.0f} MiB; "
        f"by CPU alone one core would hold {devices / share:,.0f} devices",
    )
    if most:
        result = ask(most, 3)
        whole = result["datapoints"] == result["ticks"] * most * len(ATTRIBUTES)
        yield Figure(
            f"watch of {most:,} devices x {len(ATTRIBUTES)} attributes each {INTERVAL:g} s: missed ticks",
            result["missed"] + result["events"] + (0 if whole else 1),
            "",
            goal=0,
            at_most=True,
            note=f"{result['ticks']:.0f} ticks, {result['cpu']:.1f} s of CPU a tick, "
            f"{result['mib']:,.0f} MiB, a tick read in {result['slowest']:.1f} s",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--ticks", type=int, default=4)
    parser.add_argument("--most", type=int, default=MOST)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(json.dumps(asyncio.run(follow(*json.loads(arguments.work)))))
        return
    print(table(figures(arguments.ticks, devices=arguments.devices, most=arguments.most)))


if __name__ == "__main__":
    main()
