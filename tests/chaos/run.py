"""The chaos run: many workers, one client, a server that fails in every way, and what must hold all the same.

    python -m tests.chaos.run --seconds 600
    python -m tests.chaos.run --requests 100000 --seed 7

ends with status 1 where an invariant was broken. The same seed gives the same workers and faults; the
interleaving is the operating system's.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from enapter_async import EnapterClient, NotFoundError, Timeouts
from tests.chaos.workload import Stage, Worker, clients_of
from tests.secrecy import TOKEN

WORKERS = 64
MAX_IN_FLIGHT = 32
MAX_STREAMS = 16
TIMEOUT = 3.0
GRACE = 0.5
"""Seconds by which a call may be late on a busy machine, beyond what the event loop itself was late."""
WARM_UP = 0.3
"""Part of the run after which nothing may grow any more."""
MORE_OBJECTS = 3_000
MORE_MEMORY = 24 * 2**20


class Process:
    """The server's process."""

    def __init__(self, seed: int, fault_rate: float) -> None:
        command = [sys.executable, "-m", "tests.chaos.server", "--seed", str(seed), "--fault-rate", str(fault_rate)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url: str = self._answer()["url"]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def ask(self, word: str) -> dict[str, Any]:
        """Tell it something, and return what it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@contextmanager
def server(seed: int, fault_rate: float) -> Iterator[Process]:
    """Run the server until the block ends."""
    process = Process(seed, fault_rate)
    try:
        yield process
    finally:
        process.end()


class TokenInLogs(logging.Handler):
    """Looks for the token in every record of every logger."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records = 0
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records += 1
        if TOKEN in self.format(record) or TOKEN in repr(record.args):
            self.found.append(record.name)

    @contextmanager
    def everywhere(self) -> Iterator[None]:
        """Listen to everything, DEBUG included."""
        root = logging.getLogger()
        level = root.level
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            root.setLevel(level)
            root.removeHandler(self)


@attrs.frozen
class Resources:
    """What the process holds."""

    objects: int
    memory: int
    tasks: int
    descriptors: int

    @classmethod
    def now(cls) -> Resources:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(
            objects=len(gc.get_objects()),
            memory=pages * os.sysconf("SC_PAGE_SIZE"),
            tasks=len(asyncio.all_tasks()),
            descriptors=len(list(Path("/proc/self/fd").iterdir())),
        )


class Lateness:
    """How late the event loop itself was: that is not the client's doing."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + 0.05
            await asyncio.sleep(0.05)
            self.worst = max(self.worst, loop.time() - due)


@attrs.define
class Findings:
    """What a run found: problems, and figures for people."""

    problems: list[str]
    figures: dict[str, object]

    def __str__(self) -> str:
        lines = [f"{name:32} {value}" for name, value in self.figures.items()]
        lines += [f"PROBLEM: {problem}" for problem in self.problems[:50]]
        lines.append(f"{len(self.problems)} problems" if self.problems else "every invariant held")
        return "\n".join(lines)


async def _stage(client: EnapterClient) -> Stage:
    site_id = (await client.sites.list(max_items=1).collect())[0].id
    devices = await client.devices.list().collect()
    return Stage(
        clients=clients_of(client),
        devices=[device.id for device in devices if (device.name or "").startswith("Electrolyser")],
        site_id=site_id,
        site_devices={device.id for device in devices if device.site_id == site_id},
        timeout=TIMEOUT,
    )


async def _phase(stage: Stage, workers: list[Worker], seconds: float | None, calls: int | None) -> None:
    ends = time.monotonic() + seconds if seconds is not None else float("inf")
    last = stage.calls + calls if calls is not None else sys.maxsize

    def goes_on() -> bool:
        return time.monotonic() < ends and stage.calls < last

    async with asyncio.TaskGroup() as group:
        for worker in workers:
            group.create_task(worker.work(goes_on))


async def _settled() -> None:
    """Let what was closed be closed."""
    for _ in range(20):
        await asyncio.sleep(0.01)


async def run(*, seconds: float | None, requests: int | None, seed: int = 1, fault_rate: float = 0.12) -> Findings:
    """Run, and judge.

    Args:
        seconds: How long, or None.
        requests: How many operations, or None; one of the two.
        seed: Of workers and faults.
        fault_rate: Part of the requests that fail.
    """
    logs, lateness = TokenInLogs(), Lateness()
    unraised: list[str] = []
    events_with_token: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unraised.append(str(context.get("message"))))
    with server(seed, fault_rate) as process, logs.everywhere():
        before = Resources.now()
        watching = loop.create_task(lateness.watch())
        client = EnapterClient(
            base_url=process.url,
            token=TOKEN,
            timeouts=Timeouts(total=TIMEOUT, attempt=1.0, connect=1.0, command=TIMEOUT),
            max_in_flight=MAX_IN_FLIGHT,
            max_streams=MAX_STREAMS,
            hooks=[lambda event: events_with_token.append(repr(event)) if TOKEN in repr(event) else None],
        )
        async with client:
            stage = await _staged(client)
            workers = [Worker(stage, seed * 1000 + number) for number in range(WORKERS)]
            measured: list[Resources] = []
            began = time.monotonic()
            for part in (WARM_UP, 1 - WARM_UP):
                await _phase(
                    stage,
                    workers,
                    None if seconds is None else seconds * part,
                    None if requests is None else round(requests * part),
                )
                await _settled()
                measured.append(Resources.now())
            took = time.monotonic() - began
            idle = client.load
            process.ask("calm")
            await _look_again(stage, workers, client)
            report = process.ask("report")
            shown = [*_shown(client), *(text for copy in stage.clients for text in _shown(copy))]
        await _settled()
        watching.cancel()
        await asyncio.wait([watching])
        after = Resources.now()
    problems = [*stage.problems, *_judge_server(stage, workers, report)]
    problems += _judge_resources(before, measured, after)
    problems += [f"the event loop was told: {message}" for message in unraised]
    problems += [f"a log record of {name} shows the token" for name in logs.found]
    problems += [f"an event shows the token: {event}" for event in events_with_token]
    problems += ["a repr or pickle of a client shows the token" for text in shown if TOKEN in text]
    if idle.in_flight or idle.waiting:
        problems.append(f"at rest {idle.in_flight} requests are in flight and {idle.waiting} wait")
    if stage.overrun > GRACE + lateness.worst:
        problems.append(f"a call outlived its deadline by {stage.overrun:.2f} s")
    if stage.slowest_cancellation > GRACE + lateness.worst:
        problems.append(f"a cancelled call took {stage.slowest_cancellation:.2f} s to end")
    return Findings(problems, _figures(stage, report, measured, after, took, lateness, logs))


async def _staged(client: EnapterClient) -> Stage:
    for _ in range(20):
        try:
            return await _stage(client)
        except Exception:
            await asyncio.sleep(0.05)
    return await _stage(client)


async def _look_again(stage: Stage, workers: list[Worker], client: EnapterClient) -> None:
    """With the faults gone: is what was acknowledged still there?"""
    await asyncio.sleep(TIMEOUT)  # what was delayed has ended
    for worker in workers:
        if worker.own is not None:
            try:
                site = await client.sites.get(worker.own.site_id)
            except NotFoundError:
                stage.problems.append("a site that was acknowledged is gone")
            else:
                worker.check_name(worker.own, site.name)


def _judge_server(stage: Stage, workers: list[Worker], report: Mapping[str, Any]) -> list[str]:
    effects = {int(tag): count for tag, count in report["effects"].items()}
    seen = {int(tag): count for tag, count in report["seen"].items()}
    problems = stage.book.violations(effects, seen, report["outages"])
    if report["peak_in_flight"] > MAX_IN_FLIGHT:
        problems.append(f"the server saw {report['peak_in_flight']} requests in flight, with {MAX_IN_FLIGHT} allowed")
    problems += [
        "a site is there after its deletion was acknowledged"
        for worker in workers
        for site_id in worker.gone
        if site_id in report["sites"]
    ]
    return problems + [f"the simulator has a defect: {text}" for text in report["defects"]]


def _judge_resources(before: Resources, measured: list[Resources], after: Resources) -> list[str]:
    warm, end = measured
    problems: list[str] = []
    if end.objects - warm.objects > MORE_OBJECTS:
        problems.append(f"{end.objects - warm.objects} more objects than after the warm-up")
    if end.memory - warm.memory > MORE_MEMORY:
        problems.append(f"{(end.memory - warm.memory) / 2**20:.0f} MiB more than after the warm-up")
    if end.tasks > warm.tasks:
        problems.append(f"{end.tasks - warm.tasks} tasks were left behind")
    if end.descriptors > before.descriptors + MAX_IN_FLIGHT:
        problems.append(f"{end.descriptors - before.descriptors} connections are open at rest")
    if after.descriptors != before.descriptors or after.tasks != before.tasks:
        problems.append(f"closing left something open: {before} became {after}")
    return problems


def _shown(client: EnapterClient) -> Iterator[str]:
    yield repr(client)
    yield str(client)
    try:
        yield pickle.dumps(client).decode("latin-1")
    except Exception as error:
        yield repr(error)


def _figures(
    stage: Stage,
    report: Mapping[str, Any],
    measured: list[Resources],
    after: Resources,
    took: float,
    lateness: Lateness,
    logs: TokenInLogs,
) -> dict[str, object]:
    warm, end = measured
    return {
        "operations": f"{stage.calls:,} in {took:.0f} s, {stage.cancelled:,} of them cancelled",
        "requests at the server": f"{report['requests']:,}",
        "changes": f"{len(stage.book.told):,}, {stage.book.acknowledgements:,} acknowledged",
        "outcome unknown": len(stage.book.unknown_tags),
        "faults": f"{sum(report['faults'].values()):,}: " + _counted(report["faults"]),
        "outages": len(report["outages"]),
        "errors": _counted(stage.book.errors),
        "most in flight at the server": f"{report['peak_in_flight']} of {MAX_IN_FLIGHT}",
        "latest after a deadline": f"{stage.overrun * 1000:.0f} ms (event loop: {lateness.worst * 1000:.0f} ms)",
        "slowest cancellation": f"{stage.slowest_cancellation * 1000:.0f} ms",
        "objects": f"{warm.objects:,} warm, {end.objects:,} at the end",
        "memory": f"{warm.memory / 2**20:.1f} MiB warm, {end.memory / 2**20:.1f} MiB at the end",
        "descriptors": f"{warm.descriptors} warm, {end.descriptors} at the end, {after.descriptors} closed",
        "log records": f"{logs.records:,}",
    }


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda pair: -pair[1]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--requests", type=int, help="operations, each of one request or more")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fault-rate", type=float, default=0.12)
    arguments = parser.parse_args()
    seconds = arguments.seconds
    if seconds is None and arguments.requests is None:
        seconds = 600.0
    unraisable: list[str] = []  # a socket that was left open warns when it is collected, and nobody can catch that
    sys.unraisablehook = lambda event: unraisable.append(f"{event.err_msg or 'ignored'}: {event.exc_value!r}")
    findings = asyncio.run(
        run(seconds=seconds, requests=arguments.requests, seed=arguments.seed, fault_rate=arguments.fault_rate)
    )
    gc.collect()
    findings.problems += unraisable
    print(findings)
    return 1 if findings.problems else 0


if __name__ == "__main__":
    sys.exit(main())
