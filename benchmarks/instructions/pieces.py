"""The pieces of work whose instructions are counted; each imports what it needs by itself.

A piece is an async generator that prepares, then yields two kinds of work: ours, and that of a program without us. The
count of the second is taken off, so aiohttp, its parser and the event loop cannot hide what we add.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import NamedTuple

import aiohttp

from benchmarks.instructions.fake_server import BASE_URL, Connector
from enapter_async import EnapterClient, RateLimit, Series, TimeseriesQuery

Work = Callable[[], Awaitable[object]]


class Pair(NamedTuple):
    """What is counted, and what is taken off."""

    ours: Work
    without_us: Work


class Piece(NamedTuple):
    """A piece of work.

    Attributes:
        unit: What one unit is.
        units: How many one call of the work makes.
        calls: How many calls are counted.
        prepare: Makes the work.
    """

    unit: str
    units: int
    calls: int
    prepare: Callable[[], AsyncIterator[Pair]]


async def nothing() -> None:
    """Do what is taken off where there is nothing to compare with."""


JSON = {"Content-Type": "application/json"}
DEVICE = {
    "id": "7b1e4c90-25d3-4f6a-8e57-000000000000",
    "blueprint_id": "e5d4c3b2-a190-4f8e-b7d6-c5a493827160",
    "name": "Rooftop inverter",
    "site_id": "3f0c1d52-8a4e-4b7e-9d21-000000000000",
    "updated_at": "2026-03-14T09:26:53.589793Z",
    "slug": "rooftop-inverter",
    "type": "LUA",
    "authorized_role": "OWNER",
}


@asynccontextmanager
async def clients(
    body: bytes, in_flight: int = 16, headers: dict[str, str] = JSON
) -> AsyncIterator[tuple[EnapterClient, Work]]:
    """Give a client and a GET of bare aiohttp, both on a server that answers everything alike."""
    rate_limit = RateLimit(initial_in_flight=in_flight)
    async with (
        aiohttp.ClientSession(connector=Connector(body, headers)) as session,
        EnapterClient(
            base_url=BASE_URL, token="secret", http_session=session, max_in_flight=in_flight, rate_limit=rate_limit
        ) as client,
    ):

        async def bare() -> bytes:
            headers = {"X-Enapter-Auth-Token": "secret", "Accept": "application/json"}
            async with session.get(f"{BASE_URL}/v3/devices/x", headers=headers) as response:
                return await response.read()

        yield client, bare


async def get() -> AsyncIterator[Pair]:
    async with clients(json.dumps({"device": DEVICE}).encode()) as (client, bare):
        yield Pair(lambda: client.devices.get("x"), bare)


async def page_of_devices() -> AsyncIterator[Pair]:
    devices = [
        DEVICE | {"id": f"7b1e4c90-25d3-4f6a-8e57-{number:012}", "name": f"Inverter {number}"} for number in range(50)
    ]
    async with clients(json.dumps({"devices": devices, "total_count": 50}).encode()) as (client, bare):
        yield Pair(lambda: client.devices.list().collect(), bare)


async def latest() -> AsyncIterator[Pair]:
    names = [f"a{number}" for number in range(10)]  # short: the URL of all fits into one request
    point = {name: {"value": 1.5 * number, "timestamp": 1773482399 + number} for number, name in enumerate(names)}
    wanted = {f"device-{number}": names for number in range(100)}
    async with clients(json.dumps({"telemetry": dict.fromkeys(wanted, point)}).encode()) as (client, bare):
        yield Pair(lambda: client.telemetry.latest(wanted), bare)


async def tick() -> AsyncIterator[Pair]:
    from enapter_async._streaming.latest_reader import LatestReader

    reader = LatestReader(print)
    seconds = count(1773482399, 5)

    def answer() -> dict[str, dict[str, dict[str, float]]]:
        now = next(seconds)
        point = {f"a{number}": {"value": 1.5 * number, "timestamp": now} for number in range(10)}
        return {f"device-{number}": point for number in range(100)}

    answers = [answer() for _ in range(8)]

    async def read() -> None:
        reader.read(answers.pop(), late=False)

    answers.reverse()
    yield Pair(read, nothing)


async def block_of_csv() -> AsyncIterator[Pair]:
    rows = [f"{1773482399 + number},{number * 0.37:.3f},{number},{number % 3 == 0}".lower() for number in range(1000)]
    head = "ts," + ",".join(f"telemetry={name} device=d" for name in ("power", "count", "on"))
    start = datetime(2026, 3, 14, tzinfo=UTC)
    series = [Series("d", ["power", "count", "on"])]
    query = TimeseriesQuery(start=start, end=start + timedelta(hours=1), granularity=1, series=series)
    headers = {"Content-Type": "text/csv", "X-Enapter-Timeseries-Data-Types": "float,integer,boolean"}
    async with clients("\n".join([head, *rows, ""]).encode(), headers=headers) as (client, bare):
        yield Pair(lambda: client.telemetry.query_timeseries(query), bare)


async def slot() -> AsyncIterator[Pair]:
    callers = 128
    body = json.dumps({"device": DEVICE}).encode()
    async with clients(body, 16) as (few, _), clients(body, callers) as (many, _):

        def gathered(client: EnapterClient) -> Work:
            return lambda: asyncio.gather(*(client.devices.get("x") for _ in range(callers)))

        yield Pair(gathered(few), gathered(many))


async def row_into_sqlite() -> AsyncIterator[Pair]:
    # Below the store's thread: how two threads hand over to each other is 1 % of the count, and another one each time.
    from enapter_async.collector.stores.sqlite import _Database

    with tempfile.TemporaryDirectory() as folder:
        database = _Database(Path(folder, "telemetry.sqlite"))
        moments = count(1773480413_000000, 1_000000)

        async def write() -> None:
            moment = next(moments)
            rows = [(f"device-{n // 10}", f"attribute_{n % 10}", moment, 1.5, None, "W") for n in range(1000)]
            database.commit(rows, (), {})

        yield Pair(write, nothing)
        database.close()


PIECES = {
    "get": Piece("a GET", 1, 20, get),
    "page": Piece("a page of 50 devices", 1, 4, page_of_devices),
    "latest": Piece("a point of a latest answer of 1,000", 1000, 1, latest),
    "tick": Piece("a point of the next answer of a watch", 1000, 1, tick),
    "csv": Piece("a row of a block of 1,000 rows x 3 columns of CSV", 1000, 1, block_of_csv),
    "slot": Piece("a slot that was waited for", 128 - 16, 1, slot),
    "sqlite": Piece("a row into SQLite, 1,000 at once", 1000, 1, row_into_sqlite),
}
