"""Several collectors share one API, one rate limit and one database: each device has one, and no hole is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from enapter_async import EnapterClient
from enapter_async.collector import Selection, Shard
from enapter_async.collector.selection import Finder
from enapter_async.rows import Row, to_microseconds
from enapter_async.simulator import Simulator
from tests.collector.platform import Key, read_platform
from tests.postgres_server import needs_postgres, query, running_postgres
from tests.redis.server import BINARY, redis_server

asyncpg = pytest.importorskip("asyncpg", reason="the extra `postgres` is not installed")
parser = pytest.importorskip("prometheus_client.parser", reason="the extra `prometheus` is not installed")
redis_client = pytest.importorskip("redis", reason="the extra `redis` is not installed")
pytest.importorskip("throttled", reason="the extra `redis` is not installed")

pytestmark = [
    pytest.mark.anyio,
    needs_postgres,
    pytest.mark.skipif(BINARY is None, reason="redis-server is not installed (Debian's redis-server)"),
]

DEVICES = 16
LIMIT = 9.0
"""Of the simulator, which answers 429 above it."""
RATE = 8.0
"""Of all collectors together."""


_ADDRESS = re.compile(r"http://\S+/metrics")


class Fleet:
    """Collectors in processes of their own, each with its share of the devices."""

    def __init__(self, simulator: Simulator, database: str, redis: str, folder: Path) -> None:
        self._database = database
        self._redis = redis
        self._folder = folder
        self._started = 0
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ENAPTER_")}
        self._environment = {
            **clean,
            "ENAPTER_HTTP_API_TOKEN": simulator.token,
            "ENAPTER_HTTP_API_BASE_URL": simulator.url,
        }
        self._running: dict[Shard, tuple[subprocess.Popen[bytes], Path]] = {}

    def start(self, shard: Shard) -> None:
        self._started += 1
        path = self._folder / f"{self._started}.log"
        command = [
            *(sys.executable, "-m", "enapter_async.cli", "collect", "--to", self._database, "--shard", str(shard)),
            *("--redis", self._redis, "--requests-per-second", str(RATE), "--serve", "0"),
        ]
        with path.open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._environment)
        self._running[shard] = process, path

    def kill(self, shard: Shard) -> None:
        process, _ = self._running.pop(shard)
        process.kill()
        process.wait()

    def stop(self) -> list[int]:
        """End all in an orderly way; returns their exit codes."""
        running, self._running = self._running, {}
        for process, _ in running.values():
            process.send_signal(signal.SIGTERM)
        return [process.wait(30) for process, _ in running.values()]

    def kill_all(self) -> None:
        for shard in list(self._running):
            self.kill(shard)

    async def read_devices(self) -> dict[Shard, set[str]]:
        """The devices of each collector, as its metrics tell."""
        found: dict[Shard, set[str]] = {}
        async with aiohttp.ClientSession() as session:
            for shard, (_, path) in self._running.items():
                text = ""
                if address := _ADDRESS.search(path.read_text()):
                    async with session.get(address[0]) as response:
                        text = await response.text()
                found[shard] = {
                    sample.labels["device_id"]
                    for family in parser.text_string_to_metric_families(text)
                    if family.name == "enapter_telemetry"
                    for sample in family.samples
                }
        return found

    def read_log(self) -> str:
        return "".join(path.read_text() for path in sorted(self._folder.glob("*.log")))


async def read_rows(url: str) -> dict[Key, Row]:
    found = await query(url, "SELECT device_id, attribute, time, value, text, unit FROM telemetry")
    rows = [(device, name, to_microseconds(moment), *rest) for device, name, moment, *rest in found]
    return {row[:3]: row for row in rows}


async def ask(url: str, statement: str) -> Any:
    try:
        rows = await query(url, statement)
    except asyncpg.UndefinedTableError:
        return None
    return rows[0][0] if rows else None


def count_shared_limits(url: str) -> int:
    """How many rate limits there are; one that is not used ends at once."""
    with redis_client.Redis.from_url(url) as client:
        return len(client.keys("*"))


async def wait_until(condition: Callable[[], Coroutine[Any, Any, object]], seconds: float = 150.0) -> None:
    with anyio.fail_after(seconds):
        while not await condition():
            await anyio.sleep(0.2)


@pytest.fixture
def services() -> Iterator[tuple[str, str]]:
    """Addresses of a PostgreSQL and of a Redis."""
    with running_postgres() as postgres, redis_server() as redis:
        yield postgres.url, redis.url


async def test_each_device_has_one_collector_and_no_hole_whatever_happens(
    services: tuple[str, str], tmp_path: Path
) -> None:
    database, redis = services
    four = [Shard(index, 4) for index in range(1, 5)]
    five = [Shard(index, 5) for index in range(1, 6)]
    async with Simulator(devices=DEVICES, rate_limit=LIMIT, record_limit=100_000) as sim:
        fleet = Fleet(sim, database, redis, tmp_path)

        async def collected_by(shards: list[Shard]) -> dict[Shard, set[str]]:
            """Wait until all devices are collected; returns by whom."""
            found: dict[Shard, set[str]] = {}

            async def complete() -> bool:
                nonlocal found
                found = await fleet.read_devices()
                return set().union(*found.values()) == set(units)

            await wait_until(complete)
            assert found == {shard: {one for one in units if shard.holds(one)} for shard in shards}
            assert set(Counter(one for share in found.values() for one in share).values()) == {1}
            return found

        async def caught_up() -> bool:
            """Whether everything up to now is stored, and no gap is left."""
            oldest = await ask(
                database, "SELECT min(newest) FROM (SELECT max(time) newest FROM telemetry GROUP BY device_id) one"
            )
            return bool(
                oldest
                and oldest.timestamp() > moment
                and not await ask(database, "SELECT count(*) FROM telemetry_gaps")
            )

        try:
            for shard in four:
                fleet.start(shard)
            async with EnapterClient(base_url=sim.url, token=sim.token) as client:
                units = (await Finder(client, Selection()).find()).units
            before = await collected_by(four)
            first = int(time.time()) + 1

            await anyio.sleep(1.5)
            fleet.kill(four[1])
            await anyio.sleep(3)
            fleet.start(four[1])
            moment = time.time() + 2
            await wait_until(caught_up)

            assert fleet.stop() == [0] * 4
            for shard in five:
                fleet.start(shard)
            after = await collected_by(five)

            async def one_limit_is_shared() -> bool:
                return count_shared_limits(redis) == 1

            await wait_until(one_limit_is_shared)
            moment = time.time() + 2
            await wait_until(caught_up)
            last = int(moment) - 2
            assert fleet.stop() == [0] * 5
        except BaseException:
            sys.stderr.write(fleet.read_log())
            raise
        finally:
            fleet.kill_all()

        moved = {one for index in range(4) for one in before[four[index]] - after[five[index]]}
        assert moved == after[five[4]], "what moves goes to the fifth"
        assert 0 < len(moved) <= 0.4 * len(units)

        assert not [record for record in sim.requests if record.status == 429]

        async with EnapterClient(base_url=sim.url, token=sim.token) as client:
            platform = await read_platform(client, units, first, last)
    stored = await read_rows(database)
    assert platform
    missing = platform.keys() - stored.keys()
    assert not missing
    assert {key: stored[key] for key in platform} == platform
