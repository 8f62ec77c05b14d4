"""An outage under 1,000 callers: what they send meanwhile, and how soon it goes on.

    python -m benchmarks.bench_pressure [--callers 1000] [--seconds 20]

The server answers after 100 ms, so that the speed is the window's and not the machine's; then it refuses everything
for 20 s: it is not there at all, answers 503, or answers 429. Callers loop: after an answer they call again at once,
after an error they rest a second (after a 429 none gets an error: the client waits). Stated are all requests sent
during the outage, the retries among them against what the budget allows, and the time from the server's return to 90%
of the speed before.

What a client can answer for is what it adds: a caller who calls again has his first attempt sent again. "Once each"
is the case of issue 5: every caller has one call under way during the outage.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from benchmarks.figures import Figure, table
from benchmarks.servers import DEVICE_ID, free_port
from enapter_async import EnapterClient, EnapterError
from enapter_async.hooks import AttemptFailed, Event, RequestStarted, RetryScheduled

CALLERS = 1_000
OUTAGE = 20.0
BEFORE = 3.0
BUDGET = 100
"""Retries that a client has saved up (`RetryBudget`)."""
BUCKET = 0.1
KINDS = {"refuse": "nobody listens", "503": "503", "429": "429", "429-1": "429 with Retry-After: 1"}


class Outage(NamedTuple):
    """What happened.

    Attributes:
        sent: Requests during the outage, as the client counts them.
        received: The same, as the server counts them.
        calls: Calls that were begun during the outage, or under way when it began.
        retries: Requests of theirs that were not the first attempt and not after a 429.
        errors: Calls that ended with an error.
        recovered: Seconds from the server's return to 90% of the speed before.
        speed: Calls per second before.
    """

    sent: int
    received: int
    calls: int
    retries: int
    errors: int
    recovered: float
    speed: float


class Counter:
    """A hook that counts."""

    def __init__(self) -> None:
        self.started = self.failed = self.retries = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, RequestStarted):
            self.started += 1
        elif isinstance(event, AttemptFailed):
            self.failed += 1
        elif isinstance(event, RetryScheduled) and getattr(event.error, "outcome", "") != "rejected":
            self.retries += 1


class Controlled:
    """The server's process."""

    def __init__(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "benchmarks.outage_server", str(port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.say("up")

    def say(self, word: str) -> int:
        """Tell it how to behave; return how many requests it received since the last word."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> None:
        self._process.communicate(timeout=10)


@contextmanager
def controlled() -> Iterator[Controlled]:
    """Run the server until the block ends."""
    server = Controlled()
    try:
        yield server
    finally:
        server.end()


async def outage(server: Controlled, kind: str, *, callers: int, seconds: float, once: bool) -> Outage:
    """Run callers through an outage.

    Args:
        server: The server.
        kind: How it refuses.
        callers: How many.
        seconds: How long the outage is.
        once: A caller whose call failed waits for the end of the outage; else for a second.
    """
    counter = Counter()
    answered: list[float] = []
    up = asyncio.Event()
    up.set()
    over = False
    errors = 0

    async def caller(client: EnapterClient) -> None:
        nonlocal errors
        while not over:
            try:
                await client.devices.get(DEVICE_ID)
            except EnapterError:
                errors += 1
                if once:
                    await up.wait()
                else:
                    await asyncio.sleep(1.0)
            else:
                answered.append(time.monotonic())

    async with (
        EnapterClient(base_url=server.url, token="token", hooks=[counter]) as client,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(callers):
            group.create_task(caller(client))
        await asyncio.sleep(BEFORE)
        up.clear()
        began = time.monotonic()
        started, failed, retries, waiting = counter.started, counter.failed, counter.retries, callers
        server.say(kind)
        await asyncio.sleep(seconds)
        sent = counter.failed - failed
        calls = counter.started - started + waiting
        retried = counter.retries - retries
        received = server.say("up")
        returned = time.monotonic()
        up.set()
        speed = _speed(answered, began - 2.0, began)
        await asyncio.sleep(6.0 if _recovered(answered, returned, speed) is None else 0.0)
        over = True
    recovered = _recovered(answered, returned, speed)
    return Outage(sent, received, calls, retried, errors, float("inf") if recovered is None else recovered, speed)


def _speed(answered: list[float], start: float, end: float) -> float:
    counts = [0] * round((end - start) / BUCKET)
    for moment in answered:
        if start <= moment < start + len(counts) * BUCKET:
            counts[int((moment - start) / BUCKET)] += 1
    return statistics.median(counts) / BUCKET


def _recovered(answered: list[float], returned: float, speed: float) -> float | None:
    """Return the seconds until the first half second at 90% of the speed."""
    moments = [moment for moment in answered if moment >= returned]
    enough = max(round(0.5 * 0.9 * speed), 1)
    for first, last in zip(moments, moments[enough - 1 :], strict=False):
        if last - first <= 0.5:
            return first - returned
    return None


def figures(
    rounds: int = 1, *, callers: int = CALLERS, seconds: float = OUTAGE, kinds: Iterable[str] = ("refuse", "429")
) -> Iterator[Figure]:
    """Measure some kinds of outage; once, since one takes half a minute, whatever `rounds` says."""
    del rounds
    for kind in kinds:
        words = KINDS[kind]
        for once in (True, False) if kind in ("refuse", "503") else (False,):
            with controlled() as server:
                happened = asyncio.run(outage(server, kind, callers=callers, seconds=seconds, once=once))
            name = f"outage of {seconds:g} s, {words}, {callers:,} callers{', once each' if once else ''}"
            literal = once or kind.startswith("429")
            base = callers if literal else happened.calls
            yield Figure(
                f"{name}: requests sent against {'callers' if literal else 'calls'} and budget",
                happened.sent / (1.2 * base + BUDGET),
                "of 1.2 times and budget",
                goal=1.0,
                at_most=True,
                note=f"{happened.sent:,} sent ({happened.received:,} received) for {happened.calls:,} calls,"
                f" {happened.retries:,} retries, {happened.errors:,} errors",
            )
            yield Figure(
                f"{name}: full speed again after",
                happened.recovered,
                "s",
                goal=3.0,
                at_most=True,
                note=f"{happened.speed:,.0f} calls/s before",
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callers", type=int, default=CALLERS)
    parser.add_argument("--seconds", type=float, default=OUTAGE)
    parser.add_argument("--only", choices=KINDS, nargs="+", default=tuple(KINDS))
    arguments = parser.parse_args()
    print(table(figures(callers=arguments.callers, seconds=arguments.seconds, kinds=arguments.only)))


if __name__ == "__main__":
    main()
