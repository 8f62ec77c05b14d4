"""`/metrics` with 20,000 latest values: CPU of an answer, beside a plain `Gauge` of prometheus-client.

    python -m benchmarks.bench_metrics [--rounds N]

An answer has two parts: the values are read in the event loop, and the text is made in a thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

from benchmarks.figures import Figure, table

DEVICES = 2_000
ATTRIBUTES = 10
MOST_MS = 150.0


def take_time(work: Callable[[], object], rounds: int) -> float:
    """Return the median CPU time in milliseconds."""
    taken: list[float] = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        taken.append((time.process_time() - began) * 1e3)
    return statistics.median(taken)


def figures(rounds: int = 5) -> Iterator[Figure]:
    """Measure the answer, its part in the event loop, and the rival."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    print(table(list(figures(parser.parse_args().rounds))))


if __name__ == "__main__":
    main()
