r"""Export a long history to a Parquet dataset on any number of dask workers.

    python -m pip install 'enapter-async[arrow,redis]' 'dask[dataframe]' distributed
    python examples/export_on_dask.py history/ --device ID --attribute power \
        --start 2026-01-01 --end 2026-07-01 --workers 4 --redis redis://host/0 --rate 200

To use an existing cluster, replace `--workers` by `--scheduler tcp://scheduler:8786`. With `--redis`, all workers
together send no more than `--rate` requests per second. The workers read the token and the address from their own
environment, and write to the folder, which all of them must be able to see.

Each part of the history is one file. It is written under a temporary name and renamed when it is complete, so every
file in the folder is whole. If a worker dies, or if you repeat the command, complete files are not written again.
"""

from __future__ import annotations

import argparse
import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from distributed import Client, LocalCluster, as_completed
from pyarrow import parquet

from enapter_async import EnapterClient, HistoryPart, Series, SharedRateLimit, TimeseriesBatch, TimeseriesQuery

SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("ms", "UTC")),
        ("device_id", pa.string()),
        ("attribute", pa.string()),
        ("value", pa.float64()),
        ("text", pa.string()),
    ]
)


def long_table(batch: TimeseriesBatch) -> pa.Table:
    """One row per value: parts of different devices then have the same columns."""
    time = pa.array([1000 * second for second in batch.unix_seconds], pa.int64()).cast(SCHEMA.field("time").type)
    tables = [pa.table({field.name: pa.array([], field.type) for field in SCHEMA})]
    for column in batch.columns:
        values = list(column.values)
        numbers = [float(value) if isinstance(value, (int, float)) else None for value in values]
        texts = [None if value is None or isinstance(value, (int, float)) else str(value) for value in values]
        names = [pa.array([name] * len(values), pa.string()) for name in (column.device, column.attribute)]
        arrays = [time, *names, pa.array(numbers, pa.float64()), pa.array(texts, pa.string())]
        tables.append(pa.Table.from_arrays(arrays, schema=SCHEMA))
    return pa.concat_tables(tables)


def export_part(part: HistoryPart, folder: str, share: SharedRateLimit | None) -> int:
    """Run on a worker: write one part, unless it is there already; return its rows."""
    target = Path(folder) / f"part-{part.index:06}.parquet"
    if not target.exists():
        beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")  # a dot: nobody reads it as data
        try:
            asyncio.run(read_into(beside, part, share))
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    return int(parquet.read_metadata(target).num_rows)


async def read_into(file: Path, part: HistoryPart, share: SharedRateLimit | None) -> None:
    async with EnapterClient.from_env(shared_rate_limit=share) as client:
        with parquet.ParquetWriter(file, SCHEMA) as writer:
            async with client.telemetry.history([part]) as history:
                async for batch in history:
                    writer.write_table(long_table(batch))


def export(cluster: Client, parts: list[HistoryPart], folder: Path, share: SharedRateLimit | None) -> int:
    """Export all parts; return the rows."""
    folder.mkdir(parents=True, exist_ok=True)
    # A part that dies with its worker is begun again on another one; one that kills several workers is an error.
    keys = [f"enapter-{uuid.uuid4().hex}-{part.index}" for part in parts]
    futures = cluster.map(export_part, parts, folder=str(folder.resolve()), share=share, key=keys)
    rows = 0
    for done, future in enumerate(as_completed(futures), 1):
        rows += future.result()
        print(f"{done} of {len(parts)} parts", flush=True)
    for left_behind in folder.glob(".part-*"):  # by workers that were killed
        left_behind.unlink(missing_ok=True)
    return rows


def moment(text: str) -> datetime:
    value = datetime.fromisoformat(text)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", action="append", required=True)
    parser.add_argument("--attribute", action="append", required=True)
    parser.add_argument("--start", type=moment, required=True)
    parser.add_argument("--end", type=moment, required=True)
    parser.add_argument("--granularity", type=float, default=60, help="seconds")
    parser.add_argument("--window", type=float, help="seconds of one part; 10,000 steps by default")
    parser.add_argument("--scheduler", help="address of a running cluster; one of our own by default")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--redis", help="URL of the server through which all workers share one rate")
    parser.add_argument("--rate", type=float, default=100, help="requests per second of all workers together")
    arguments = parser.parse_args()
    query = TimeseriesQuery(
        start=arguments.start,
        end=arguments.end,
        granularity=timedelta(seconds=arguments.granularity),
        series=[Series(device, arguments.attribute) for device in arguments.device],
    )
    parts = list(EnapterClient.from_env().telemetry.history(query, window=arguments.window).parts)  # sends nothing
    redis, rate = arguments.redis, arguments.rate
    share = SharedRateLimit(redis, name="export", requests_per_second=rate) if redis else None
    if arguments.scheduler:
        with Client(arguments.scheduler) as cluster:
            print(f"{export(cluster, parts, arguments.folder, share)} rows")
        return
    with (
        LocalCluster(n_workers=arguments.workers, threads_per_worker=1, dashboard_address=None) as local,
        Client(local) as cluster,
    ):
        print(f"{export(cluster, parts, arguments.folder, share)} rows")


if __name__ == "__main__":
    main()
