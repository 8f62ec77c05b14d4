"""Two collectors that share the devices against one: how many devices they collect at the same share of a core each.

    python -m benchmarks.bench_shards [--devices 1500] [--seconds 20] [--rounds 3]

One process collects N devices of ten attributes each second, and two processes collect 2N with `--shard 1/2` and
`--shard 2/2`. What counts is the CPU time of each process, so other load on the machine changes little. The share of
a core includes reading all devices again every five minutes, which each shard does for the devices of both. Issue 13
asks for 1.9 times the devices.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

from benchmarks.bench_collector import collect
from benchmarks.figures import Figure, table
from benchmarks.servers import free_port, pinned_process

DEVICES: Final = 1_500
SECONDS: Final = 20.0
REDISCOVER_SECONDS: Final = 300.0
GOAL: Final = 1.9


async def measure_shard(url: str, seconds: float, shard: str) -> dict[str, float]:
    """Collect one shard, and then look for its devices once more; in a process of its own."""
    from enapter_async import EnapterClient
    from enapter_async.collector import Selection
    from enapter_async.collector.selection import Finder
    from enapter_async.collector.shard import Shard

    selection = Selection(shard=Shard.parse(shard))
    result = await collect(url, seconds, selection)
    async with EnapterClient(base_url=url, token="token") as client:
        busy = time.process_time()
        targets = await Finder(client, selection).find()
        discovery = time.process_time() - busy
    return {**result, "devices": len(targets.units), "share": result["load"] + discovery / REDISCOVER_SECONDS}


def run_shards(devices: int, seconds: float, count: int) -> list[dict[str, float]]:
    """Run so many collectors at once, and return what each of them measured."""
    port = free_port()
    with pinned_process([sys.executable, "-m", "benchmarks.static_server", str(port), "5", str(devices)], port):
        command = [sys.executable, "-m", "benchmarks.bench_shards", "--seconds", str(seconds)]
        processes = [
            subprocess.Popen(
                [*command, "--url", f"http://127.0.0.1:{port}", "--shard", f"{index}/{count}"],
                stdout=subprocess.PIPE,
                text=True,
            )
            for index in range(1, count + 1)
        ]
        return [json.loads(process.communicate(timeout=300)[0]) for process in processes]


def figures(rounds: int = 3, *, devices: int = DEVICES, seconds: float = SECONDS) -> Iterator[Figure]:
    """Measure one collector and two in turn."""
    times: list[float] = []
    alone: list[float] = []
    together: list[float] = []
    missed = 0.0
    for _ in range(rounds):
        (one,) = run_shards(devices, seconds, 1)
        two = run_shards(2 * devices, seconds, 2)
        missed += sum(shard["missed"] for shard in (one, *two))
        alone.append(one["share"] / one["devices"])
        together.append(sum(shard["share"] for shard in two) / sum(shard["devices"] for shard in two))
        times.append(2 * alone[-1] / together[-1])
    yield Figure(
        f"two shards of {2 * devices:,} devices: devices at the share of a core that one collector has for {devices:,}",
        statistics.median(times),
        goal=GOAL,
        note=f"{statistics.median(together) * 1e6:.0f} µs of CPU a device and second, "
        f"alone {statistics.median(alone) * 1e6:.0f}; missed ticks {missed:.0f}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=DEVICES)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--shard", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.shard:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(json.dumps(asyncio.run(measure_shard(options.url, options.seconds, options.shard))))
        return
    print(table(figures(options.rounds, devices=options.devices, seconds=options.seconds)))


if __name__ == "__main__":
    main()
