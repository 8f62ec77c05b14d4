"""The ledger test: a collector that is killed, cut off and starved ends up with what the platform has.

    python -m tests.chaos.collector [--seconds 600] [--devices 40] [--seed 1]

A simulator serves, `enapter-async collect` runs in a process of its own, and something happens to them all the time:
kill -9, SIGTERM, an API that is away, storms of 429, pages of a proxy, a locked database, a full disk. When the time is
over the collector runs on until its journal is empty. Then the store is compared with the platform's history,
attribute by attribute and step by step.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import attrs

from enapter_async import EnapterClient
from enapter_async.collector import Selection
from enapter_async.collector.selection import Finder
from enapter_async.simulator import Fault, Simulator
from tests.cli.commands import environment
from tests.collector.platform import SECOND, read_journal, read_platform

_ENDS: Final = (0, 7, 143, -signal.SIGKILL, -signal.SIGTERM)
"""Exit codes of a collector that was told to end or met a full disk."""
_REPAIRED: Final = re.compile(r"added ([\d,]+) rows?\b", re.MULTILINE)
_CATCH_UP_SECONDS: Final = 300.0
_COMPARED_AT_ONCE: Final = 600
_MAKE_ROOM: Final = 200_000


@attrs.define
class Ledger:
    """What happened.

    Attributes:
        counts: How often, by name.
        away: Seconds, by name.
    """

    counts: Counter[str] = attrs.field(factory=Counter[str])
    away: Counter[str] = attrs.field(factory=Counter[str])


class Chaos:
    """A collector in a process of its own, and what happens to it."""

    def __init__(self, sim: Simulator, database: Path, chance: random.Random) -> None:
        self.sim = sim
        self.database = database
        self.target = str(database)
        self.chance = chance
        self.ledger = Ledger()
        self.process: subprocess.Popen[bytes] | None = None
        self.log = database.with_suffix(".log")
        self.file_limit = False
        self.wanted = True

    def start(self) -> None:
        """Start the collector; with a limit on its files, the disk is full to it soon."""
        script = "import sys; sys.argv[0] = 'enapter-async';"
        if self.file_limit:
            size = sum(path.stat().st_size for path in self.database.parent.glob(self.database.name + "*"))
            most = size + _MAKE_ROOM
            script += (
                "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
                f"resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}));"
            )
        script += "from enapter_async.cli import main; main()"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", script, "collect", "--attributes", "all", "--to", self.target],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=environment(ENAPTER_HTTP_API_TOKEN=self.sim.token, ENAPTER_HTTP_API_BASE_URL=self.sim.url),
            )
        self.ledger.counts["starts"] += 1

    def clean_up(self) -> None:
        """End the collector in any case."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    async def supervise(self) -> None:
        """Start the collector again whenever it ends, as a service manager does."""
        while True:
            if self.wanted and (self.process is None or self.process.poll() is not None):
                if self.process is not None and self.process.returncode not in _ENDS:
                    raise AssertionError(f"ended with {self.process.returncode}: {self.log.read_text()[-2000:]}")
                self.start()
            await anyio.sleep(0.1)

    # -- what can happen -----------------------------------------------------------------------------------

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await anyio.sleep(self.chance.uniform(0, 3))

    async def terminate(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        await anyio.sleep(self.chance.uniform(0, 3))

    async def outage(self) -> None:
        await self.sim.stop()
        try:
            await self._last("outage", 12)
        finally:
            with anyio.CancelScope(shield=True):
                await self.sim.start()

    async def storm(self) -> None:
        async with self._faults(Fault.rate_limited(1)):
            await self._last("storm", 8)

    async def proxy(self) -> None:
        status = self.chance.choice((200, 400, 401, 403, 404, 405, 421, 502, 503))
        async with self._faults(Fault.html(status)):
            await self._last("proxy", 8)

    async def resets(self) -> None:
        async with self._faults(Fault.reset(), every=self.chance.randint(1, 4)):
            await self._last("resets", 8)

    async def lock(self) -> None:
        with contextlib.suppress(sqlite3.Error), closing(sqlite3.connect(self.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await self._last("lock", 12)

    async def full_disk(self) -> None:
        assert self.process is not None
        self.file_limit = True
        self.process.kill()
        await self._last("full disk", 10)
        self.file_limit = False
        self.process.kill()

    async def _last(self, name: str, most: float) -> None:
        began = time.monotonic()
        try:
            await anyio.sleep(self.chance.uniform(0.5, most))
        finally:
            self.ledger.away[name] += round(time.monotonic() - began)

    @asynccontextmanager
    async def _faults(self, fault: Fault, every: int = 1) -> AsyncGenerator[None, None]:
        for operation in ("getLatestTelemetry", "queryTimeseries", "listDevices"):
            self.sim.faults.on(operation, fault, nth=None if every == 1 else range(1, 10_000, every))
        try:
            yield
        finally:
            self.sim.faults.clear()

    def list_kinds(self) -> list[Callable[[], Awaitable[None]]]:
        """Return what may happen; what is here twice happens twice as often."""
        return [
            self.kill, self.kill, self.terminate, self.outage, self.storm, self.proxy, self.resets, self.lock,
            self.full_disk,
        ]  # fmt: skip

    async def happen(self, seconds: float) -> None:
        """Have things happen for some time."""
        kinds = self.list_kinds()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await anyio.sleep(self.chance.uniform(1, 8))
            kind = self.chance.choice(kinds)
            self.ledger.counts[kind.__name__] += 1
            await kind()

    async def stop(self) -> None:
        """End the collector properly."""
        self.wanted = False
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = await anyio.to_thread.run_sync(self.process.wait, 60)
        if code != 0:
            raise AssertionError(f"ended with {code}: {self.log.read_text()[-2000:]}")


async def run(seconds: float, devices: int, seed: int, folder: Path) -> dict[str, object]:
    """Run it all; returns what happened, and what is different in the end."""
    database = folder / "telemetry.sqlite"
    async with Simulator(devices=devices, seed=seed) as sim:
        chaos = Chaos(sim, database, random.Random(seed))
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(chaos.supervise)
                with anyio.fail_after(60):
                    while not _first(database):
                        await anyio.sleep(0.1)
                # What was before the first row was nobody's to collect.
                first = int(time.time()) + 2
                await chaos.happen(seconds)
                before = int(time.time())
                with anyio.move_on_after(_CATCH_UP_SECONDS):
                    while not _caught_up(database, before + 3):
                        await anyio.sleep(0.5)
                tasks.cancel_scope.cancel()
            await chaos.stop()
        finally:
            chaos.clean_up()
        async with EnapterClient(base_url=sim.url, token=sim.token) as client:
            difference, compared = await _compare(client, database, first, before)
    return {
        "seconds": round(seconds),
        "devices": devices,
        "counts": dict(chaos.ledger.counts),
        "away_seconds": dict(chaos.ledger.away),
        "repaired": sum(int(found.replace(",", "")) for found in _REPAIRED.findall(chaos.log.read_text())),
        "compared": compared,
        "missing": difference,
        "journal": len([gap for gap in read_journal(database) if gap[1] < _iso(before)]),
        "log": read_log_around(chaos.log, difference),
    }


def read_log_around(log: Path, difference: list[str]) -> list[str]:
    """Return what was logged within half a minute of the first second that is missing."""
    if not difference:
        return []
    moment = int(difference[0].split(":")[0].split()[-1])
    first, last = _iso(moment - 30), _iso(moment + 30)
    return [line for line in log.read_text().splitlines() if first <= line[:19] <= last][-200:]


def _iso(moment: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))


def _first(database: Path) -> bool:
    with contextlib.suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as read:
        return bool(read.execute("SELECT 1 FROM telemetry LIMIT 1").fetchone())
    return False


def _caught_up(database: Path, moment: int) -> bool:
    text = _iso(moment)
    with contextlib.suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as read:
        late = read.execute("SELECT 1 FROM telemetry WHERE time > ? LIMIT 1", (text,)).fetchone()
        open_gaps = read.execute("SELECT count(*) FROM telemetry_gaps WHERE start < ?", (text,)).fetchone()[0]
        return bool(late) and not open_gaps
    return False


async def _compare(client: EnapterClient, database: Path, first: int, before: int) -> tuple[list[str], int]:
    """Compare the store with the platform; returns what is missing or different, and how many rows were compared."""
    targets = await Finder(client, Selection(attributes="all")).find()
    difference: list[str] = []
    compared = 0
    for start in range(first, before, _COMPARED_AT_ONCE):
        end = min(start + _COMPARED_AT_ONCE, before)
        platform = await read_platform(client, targets.units, start, end)
        with closing(sqlite3.connect(database)) as connection:
            stored = {
                (device, attribute, time_): (value, text)
                for device, attribute, time_, value, text in connection.execute(
                    "SELECT device_id, attribute, CAST(strftime('%s', time) AS INTEGER), value, text FROM telemetry"
                    " WHERE time >= ? AND time < ?",
                    (_iso(start), _iso(end)),
                )
            }
        for (device, attribute, moment), row in platform.items():
            compared += 1
            there = stored.get((device, attribute, moment // SECOND))
            if there != (row[3], row[4]):
                difference.append(f"{device} {attribute} {moment // SECOND}: {there} instead of {row[3:5]}")
    return difference, compared


def main(run: Callable[[float, int, int, Path], Awaitable[dict[str, object]]], description: str | None) -> None:
    """Run one of the chaos tests, with its options from the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--devices", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="collector-chaos-") as folder:
        result = anyio.run(run, arguments.seconds, arguments.devices, arguments.seed, Path(folder))
    missing = result["missing"]
    assert isinstance(missing, list)
    result["missing"] = len(missing)
    print(json.dumps(result, indent=2))
    for line in missing[:20]:
        print(line)
    sys.exit(1 if missing or result["journal"] else 0)


if __name__ == "__main__":
    main(run, __doc__)
