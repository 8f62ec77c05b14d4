"""Rows into PostgreSQL: the collector's store beside a plain COPY of the same rows into a table of the same shape.

    python -m benchmarks.bench_stores [--rounds 5] [--rows 200000] [--json results.json]

Needs PostgreSQL (Debian's `postgresql`), started in a folder of its own, and the extra `postgres`. The rival is
asyncpg's `copy_records_to_table` into a table with the same columns and key: it fails at the first row that is there
already, where the store leaves the row alone. Both take the same rows in the same batches, in turn, into a table that
is emptied before, and what counts is time. Issue 13 asks for half of the rival's rows a second, and that 16,000 rows a
second take at most a quarter of a core in the collector's process.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Figure, save, table
from enapter_async.rows import COLUMNS, Row
from tests.postgres_server import find_programs, running_postgres

DEVICES: Final = 400
ATTRIBUTES: Final = 10
BATCH: Final = 8_000
"""About what half a second brings at 16,000 datapoints a second."""
NOON: Final = 1_772_000_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
PER_SECOND: Final = 16_000


def make_rows(number: int) -> list[Row]:
    """Return rows as a collector writes them: all attributes of all devices, second after second."""
    rows: list[Row] = []
    second = 0
    while len(rows) < number:
        rows += [
            (f"7b1e4c90-25d3-4f6a-8e57-{device:012}", f"attribute_{name}", (NOON + second) * 1_000_000,
             1.5 * name + second, None, "W")
            for device in range(DEVICES)
            for name in range(ATTRIBUTES)
        ]  # fmt: skip
        second += 1
    return rows[:number]


async def measure(rounds: int, number: int) -> tuple[dict[str, list[float]], list[float], int]:
    """Return seconds of each rival, CPU seconds of the store's client, and bytes of the table with its indexes."""
    import asyncpg  # pyright: ignore[reportMissingTypeStubs]

    from enapter_async.collector.stores.postgres import PostgresStore

    rows = make_rows(number)
    took: dict[str, list[float]] = {"store": [], "copy": []}
    cpu: list[float] = []
    with running_postgres() as server:
        admin: Any = await asyncpg.connect(server.url)
        async with PostgresStore(server.url) as store:
            await admin.execute(
                "CREATE TABLE plain (LIKE telemetry INCLUDING ALL)"  # the key and the index too
            )

            async def by_store() -> None:
                for start in range(0, number, BATCH):
                    await store.write(rows[start : start + BATCH])

            async def by_copy() -> None:
                for start in range(0, number, BATCH):
                    records = [
                        (device, attribute, EPOCH + timedelta(microseconds=moment), value, text, unit)
                        for device, attribute, moment, value, text, unit in rows[start : start + BATCH]
                    ]
                    await admin.copy_records_to_table("plain", columns=COLUMNS, records=records)

            rivals: dict[str, Callable[[], Awaitable[None]]] = {"store": by_store, "copy": by_copy}
            size = 0
            for _ in range(rounds):
                for name, work in rivals.items():
                    await admin.execute("TRUNCATE telemetry, plain")
                    began, used = time.perf_counter(), time.process_time()
                    await work()
                    took[name].append(time.perf_counter() - began)
                    if name == "store":
                        cpu.append(time.process_time() - used)
                        assert await admin.fetchval("SELECT count(*) FROM telemetry") == number
                        size = await admin.fetchval("SELECT pg_total_relation_size('telemetry')")
        await admin.close()
    return took, cpu, size


def figures(rounds: int, number: int = 200_000) -> Iterator[Figure]:
    """Measure, and yield the figures."""
    if find_programs() is None:
        raise RuntimeError("PostgreSQL is not installed")
    took, cpu, size = asyncio.run(measure(max(rounds, 3), number))
    ratio = statistics.median(copy / store for store, copy in zip(took["store"], took["copy"], strict=True))
    store, copy = (number / statistics.median(took[name]) for name in ("store", "copy"))
    yield Figure(
        "rows into PostgreSQL: speed of a plain COPY", ratio, goal=0.5, note=f"{store:,.0f} rows/s, COPY {copy:,.0f}"
    )
    each = statistics.median(cpu) / number
    yield Figure(
        "rows into PostgreSQL: core of the client at 16,000 rows/s", each * PER_SECOND * 100, "%", 25, at_most=True,
        note=f"{each * 1e6:.1f} µs a row",
    )  # fmt: skip
    yield Figure("rows into PostgreSQL: size of a million rows", size / number, "MB", note="with key and index")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = list(figures(options.rounds, options.rows))
    print(table(found))
    if options.json is not None:
        save(options.json, found)


if __name__ == "__main__":
    main()
