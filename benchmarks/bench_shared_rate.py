"""Two processes on one quota, shared through Redis: nginx with `limit_req`, 200 requests a second.

    python -m benchmarks.bench_shared_rate [--calls 2000] [--burst 20] [--without-redis]

It measures the time relative to the shortest possible (all requests at exactly the server's rate), the share of
requests rejected with 429 (from the log of nginx), and how evenly the requests were divided. Issue 5 asks for at most
1.10 times the shortest time and 1%.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.figures import Figure, table
from enapter_async import EnapterClient, EnapterError, Event, SharedLimitLost, SharedRateLimit
from tests.faults.nginx import BINARY as NGINX
from tests.faults.nginx import DEVICE, rate_limiting_nginx
from tests.redis.server import BINARY as REDIS
from tests.redis.server import redis_server

RATE = 200
CALLS = 2_000
CALLERS = 50
PROCESSES = 2
DEVICE_ID = DEVICE["device"]["id"]


async def collect(url: str, redis: str, calls: int) -> dict[str, float]:
    """Make the calls of one process; begins at the moment that is given on standard input."""
    failures = 0
    turns = [None] * calls
    share = SharedRateLimit(redis, name="bench", requests_per_second=RATE) if redis else None
    events: list[Event] = []
    async with EnapterClient(base_url=url, token="token", shared_rate_limit=share, hooks=[events.append]) as client:

        async def caller() -> None:
            nonlocal failures
            while turns:
                turns.pop()
                try:
                    await client.devices.get(DEVICE_ID)
                except EnapterError:
                    failures += 1

        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        began = time.time()
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(caller())
    lost = sum(isinstance(event, SharedLimitLost) for event in events)
    return {"began": began, "ended": time.time(), "failures": failures, "lost": lost}


def measure(calls: int = CALLS, burst: int = 20, *, shared: bool = True) -> list[Figure]:
    """Run two processes against nginx."""
    with redis_server() as redis, rate_limiting_nginx(rate=RATE, burst=burst) as nginx:
        command = [sys.executable, "-m", "benchmarks.bench_shared_rate", "--collect", nginx.url]
        command += ["--redis", redis.url if shared else "", "--calls", str(calls // PROCESSES)]
        processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(PROCESSES)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        results = [json.loads(process.communicate(timeout=120)[0]) for process in processes]
        statuses = nginx.statuses()
    seconds = max(result["ended"] for result in results) - min(result["began"] for result in results)
    ends = sorted(result["ended"] - result["began"] for result in results)
    rejected = statuses.get(429, 0)
    failures = sum(int(result["failures"]) for result in results)
    title = "two processes, " + ("shared through Redis" if shared else "not shared")
    goals = (1.10, 1.0) if shared else (None, None)
    return [
        Figure(
            f"{title}: time relative to the shortest possible",
            seconds * RATE / calls,
            "x",
            goals[0],
            at_most=True,
            note=f"{seconds:.2f} s",
        ),
        Figure(
            f"{title}: requests rejected with 429",
            rejected / calls * 100,
            "%",
            goals[1],
            at_most=True,
            note=f"{rejected}",
        ),
        Figure(f"{title}: failures", failures, "", 0, at_most=True),
        Figure(f"{title}: Redis lost", sum(result["lost"] for result in results), "times"),
        Figure(f"{title}: the faster process ended after", ends[0] / ends[-1], "of the slower one's time"),
    ]


def figures(rounds: int = 1) -> Iterator[Figure]:
    """Measure two processes that share through Redis; once, since what is shared leaves nothing to chance."""
    del rounds
    if NGINX is None or REDIS is None:
        raise RuntimeError("nginx or redis-server is not installed (apt-get install nginx-light redis-server)")
    yield from measure()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--burst", type=int, default=20, help="of nginx")
    parser.add_argument("--without-redis", action="store_true")
    parser.add_argument("--collect", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--redis", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.collect:
        print(json.dumps(asyncio.run(collect(arguments.collect, arguments.redis, arguments.calls))))
        return
    print(table(measure(arguments.calls, arguments.burst, shared=not arguments.without_redis)))


if __name__ == "__main__":
    main()
