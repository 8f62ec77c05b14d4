"""2,000 calls against a rate limiter that nobody here wrote: nginx with `limit_req`, 200 requests a second.

    python -m benchmarks.bench_rate_limit [--only NAME] [--burst 20] [--rounds 1]

It measures the time relative to the shortest possible (all requests at exactly the server's rate, without its burst),
the share of requests rejected with 429 (from the log of nginx), and the longest wait of a call.
Issue 5 asks for at most 1.08 times the shortest time and 2.5% in the first case, 1.25 times and 6% in the others.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field

from benchmarks.figures import Figure
from enapter_async import EnapterClient, EnapterError
from tests.faults.nginx import BINARY, DEVICE, Nginx, delaying_proxy, rate_limiting_nginx

DEVICE_ID = DEVICE["device"]["id"]
CALLS = 2_000
CALLERS = 100


@dataclass(frozen=True)
class Scenario:
    """What is measured: rates as (from second, requests per second), and what the network is like."""

    name: str
    rates: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 200)])
    clients: int = 1
    round_trip: float = 0.0
    upstream_latency: float = 0.0
    retry_after: int | None = 1
    time_bound: float = 1.25
    rejected_bound: float = 0.06

    def shortest_time(self, calls: int) -> float:
        """Return the seconds that the calls take at exactly the server's rates."""
        left = float(calls)
        ends = [start for start, _ in self.rates[1:]] + [float("inf")]
        for (start, rate), end in zip(self.rates, ends, strict=True):
            if left <= (end - start) * rate:
                return start + left / rate
            left -= (end - start) * rate
        raise AssertionError


SCENARIOS = [
    Scenario("plain", time_bound=1.08, rejected_bound=0.025),
    Scenario("50 ms round trip", round_trip=0.05),
    Scenario("upstream of 50 ms", upstream_latency=0.05),
    Scenario("two clients", clients=2),
    Scenario("two clients, 50 ms", clients=2, round_trip=0.05),
    Scenario("no Retry-After", retry_after=None),
    Scenario("200, 50, 400", rates=[(0.0, 200), (3.0, 50), (6.0, 400)]),
]


@dataclass
class Outcome:
    seconds: float
    failures: list[EnapterError]
    longest: float


async def load(url: str, scenario: Scenario, calls: int, change_rate: Callable[[int], None]) -> Outcome:
    """Make the calls, divided among the clients and their callers."""
    failures: list[EnapterError] = []
    longest = 0.0

    async def caller(client: EnapterClient, turns: list[None]) -> None:
        nonlocal longest
        while turns:
            turns.pop()
            began = time.perf_counter()
            try:
                await client.devices.get(DEVICE_ID)
            except EnapterError as error:
                failures.append(error)
            longest = max(longest, time.perf_counter() - began)

    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(EnapterClient(base_url=url, token="token")) for _ in range(scenario.clients)
        ]
        began = time.perf_counter()
        loop = asyncio.get_running_loop()
        changes = [loop.call_later(start, change_rate, rate) for start, rate in scenario.rates[1:]]
        async with asyncio.TaskGroup() as group:
            for client in clients:
                turns = [None] * (calls // scenario.clients)
                for _ in range(CALLERS // scenario.clients):
                    group.create_task(caller(client, turns))
        seconds = time.perf_counter() - began
        for change in changes:
            change.cancel()
    return Outcome(seconds, failures, longest)


@dataclass
class Result:
    """What a scenario took, relative to the shortest time and to the calls."""

    outcome: Outcome
    times: float
    rejected: float


def measure(scenario: Scenario, *, burst: int, calls: int = CALLS) -> Result:
    """Measure one scenario."""
    with ExitStack() as stack:
        server: Nginx = stack.enter_context(
            rate_limiting_nginx(
                rate=scenario.rates[0][1],
                burst=burst,
                retry_after=scenario.retry_after,
                upstream_latency=scenario.upstream_latency,
            )
        )
        url = server.url
        if scenario.round_trip:
            url = f"http://127.0.0.1:{stack.enter_context(delaying_proxy(server.port, scenario.round_trip))}"
        outcome = asyncio.run(load(url, scenario, calls, server.set_rate))
        statuses = server.statuses()
    times = outcome.seconds / scenario.shortest_time(calls)
    rejected = statuses.get(429, 0) / calls
    return Result(outcome, times, rejected)


def run(scenario: Scenario, *, burst: int, calls: int = CALLS) -> str:
    """Measure one scenario; return its line of the table."""
    result = measure(scenario, burst=burst, calls=calls)
    outcome, times, rejected = result.outcome, result.times, result.rejected
    good = not outcome.failures and times <= scenario.time_bound and rejected <= scenario.rejected_bound
    return (
        f"{scenario.name:22} {len(outcome.failures):8} {outcome.seconds:8.2f} s {times:8.3f} {rejected:8.2%}"
        f" {outcome.longest:8.2f} s   {'reached' if good else 'MISSED'}"
    )


def figures(rounds: int = 1) -> Iterator[Figure]:
    """Measure every scenario; a third of the rounds asked for, since one takes a minute and a half."""
    rounds = max(rounds // 3, 1)
    if BINARY is None:
        raise RuntimeError("nginx is not installed (apt-get install nginx-light)")
    for scenario in SCENARIOS:
        results = [measure(scenario, burst=20) for _ in range(rounds)]
        failed = sum(len(result.outcome.failures) for result in results)
        rejected = statistics.median(result.rejected for result in results)
        yield Figure(
            f"2,000 GETs through limit_req, {scenario.name}: time relative to the shortest possible",
            statistics.median(result.times for result in results),
            goal=scenario.time_bound,
            at_most=True,
            note=f"{failed} failed",
        )
        yield Figure(
            f"2,000 GETs through limit_req, {scenario.name}: requests rejected with 429",
            100 * rejected,
            "%",
            goal=100 * scenario.rejected_bound,
            at_most=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[scenario.name for scenario in SCENARIOS])
    parser.add_argument("--burst", type=int, default=20)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    if BINARY is None:
        raise SystemExit("nginx is not installed (apt-get install nginx-light)")
    print(f"{'':22} {'failures':>8} {'time':>10} {'relative':>8} {'rejected':>8} {'longest':>10}")
    for scenario in SCENARIOS:
        if arguments.only in (None, scenario.name):
            for _ in range(arguments.rounds):
                print(run(scenario, burst=arguments.burst, calls=arguments.calls), flush=True)


if __name__ == "__main__":
    main()
