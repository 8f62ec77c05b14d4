"""The ledger test of the collector with PostgreSQL: killed backends, a killed server, and all that `collector` does.

python -m tests.chaos.collector_postgres [--seconds 600] [--devices 40] [--seed 1]
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from enapter_async import EnapterClient
from enapter_async.collector import Selection
from enapter_async.collector.selection import Finder
from enapter_async.simulator import Simulator
from tests.chaos.collector import Chaos, main, read_log_around
from tests.collector.platform import SECOND, read_platform
from tests.postgres_server import PostgresServer, running_postgres

_CATCH_UP_SECONDS: Final = 300.0
_COLLECTORS: Final = "FROM pg_stat_activity WHERE application_name = 'enapter-async collect'"


async def query(server: PostgresServer, statement: str, *arguments: object) -> list[Any]:
    """Ask the database; no rows where it is away."""
    try:
        connection = await asyncpg.connect(server.url, timeout=5)
        try:
            return list(await connection.fetch(statement, *arguments))
        finally:
            await connection.close(timeout=5)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return []


class PostgresChaos(Chaos):
    """What happens to a collector, to its API, and to its PostgreSQL."""

    def __init__(self, sim: Simulator, server: PostgresServer, folder: Path, chance: random.Random) -> None:
        super().__init__(sim, folder / "telemetry", chance)
        self.target = server.url
        self.server = server

    async def kill_backend(self) -> None:
        """The server's own answer is to restart all of its backends."""
        for (backend,) in await query(self.server, f"SELECT pid {_COLLECTORS}"):
            os.kill(backend, signal.SIGKILL)

    async def terminate_backend(self) -> None:
        for _ in range(self.chance.randint(1, 5)):
            await query(self.server, f"SELECT pg_terminate_backend(pid) {_COLLECTORS}")
            await anyio.sleep(self.chance.uniform(0, 1))

    async def cancel_backend(self) -> None:
        for _ in range(200):
            await query(self.server, f"SELECT pg_cancel_backend(pid) {_COLLECTORS} AND state = 'active'")

    async def kill_server(self) -> None:
        await self._without_server(self.server.kill)

    async def restart_server(self) -> None:
        await self._without_server(self.server.stop)

    async def lock(self) -> None:
        connection = await asyncpg.connect(self.server.url)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE telemetry")
                await self._last("lock", 8)
        finally:
            await connection.close()

    async def full_disk(self) -> None:
        """As far as the collector can tell: inserting fails with the SQLSTATE of a full disk."""
        await query(
            self.server,
            "CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END$$",
        )
        await query(
            self.server,
            "CREATE TRIGGER full_disk BEFORE INSERT ON telemetry FOR EACH STATEMENT EXECUTE FUNCTION full_disk()",
        )
        try:
            await self._last("full disk", 8)
        finally:
            with anyio.CancelScope(shield=True):
                await query(self.server, "DROP FUNCTION full_disk CASCADE")

    async def _without_server(self, end: Callable[[], None]) -> None:
        await anyio.to_thread.run_sync(end)
        try:
            await self._last("database away", 6)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self.server.start)

    def list_kinds(self) -> list[Callable[[], Awaitable[None]]]:
        """Return what may happen; what is here twice happens twice as often."""
        return [
            self.kill, self.terminate, self.outage, self.resets, self.lock, self.full_disk, self.kill_backend,
            self.terminate_backend, self.cancel_backend, self.kill_server, self.restart_server,
        ]  # fmt: skip


async def run(seconds: float, devices: int, seed: int, folder: Path) -> dict[str, object]:
    """Run it all; returns what happened, and what is different in the end."""
    with running_postgres() as server:
        async with Simulator(devices=devices, seed=seed) as sim:
            chaos = PostgresChaos(sim, server, folder, random.Random(seed))
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(chaos.supervise)
                    with anyio.fail_after(60):
                        while not await query(server, "SELECT 1 FROM telemetry LIMIT 1"):
                            await anyio.sleep(0.2)
                    first = int(time.time()) + 2
                    await chaos.happen(seconds)
                    before = int(time.time())
                    with anyio.move_on_after(_CATCH_UP_SECONDS):
                        while not await _caught_up(server, before + 3):
                            await anyio.sleep(0.5)
                    tasks.cancel_scope.cancel()
                await chaos.stop()
            finally:
                chaos.clean_up()
            async with EnapterClient(base_url=sim.url, token=sim.token) as client:
                difference, compared = await _compare(client, server, first, before)
        gaps = await query(
            server, "SELECT 1 FROM telemetry_gaps WHERE extract(epoch FROM start) < $1::float8", float(before)
        )
    return {
        "seconds": round(seconds),
        "devices": devices,
        "counts": dict(chaos.ledger.counts),
        "away_seconds": dict(chaos.ledger.away),
        "compared": compared,
        "missing": difference,
        "journal": len(gaps),
        "log": read_log_around(chaos.log, difference),
    }


async def _caught_up(server: PostgresServer, moment: int) -> bool:
    found = await query(
        server,
        "SELECT EXISTS (SELECT FROM telemetry WHERE time > to_timestamp($1))"
        " AND NOT EXISTS (SELECT FROM telemetry_gaps WHERE start < to_timestamp($1))",
        float(moment),
    )
    return bool(found and found[0][0])


async def _compare(client: EnapterClient, server: PostgresServer, first: int, before: int) -> tuple[list[str], int]:
    targets = await Finder(client, Selection(attributes="all")).find()
    platform = await read_platform(client, targets.units, first, before)
    stored = {
        (device, attribute, moment): (value, text)
        for device, attribute, moment, value, text in await query(
            server,
            "SELECT device_id, attribute, (extract(epoch FROM time) * 1000000)::bigint, value, text FROM telemetry"
            " WHERE time >= to_timestamp($1)",
            float(first),
        )
    }
    return [
        f"{device} {attribute} {moment // SECOND}: {stored.get((device, attribute, moment))} instead of {row[3:5]}"
        for (device, attribute, moment), row in platform.items()
        if stored.get((device, attribute, moment)) != row[3:5]
    ], len(platform)


if __name__ == "__main__":
    main(run, __doc__)
