"""Rows of a time series: the readers of this SDK beside the vendor's, from the same bytes.

    ENAPTER_PEER_PYTHON=... python -m benchmarks.bench_timeseries [--rows 1000000] [--rounds 5] [--data mixed]

Every figure is of a process of its own that reads the same file in pieces of 64 KiB: rows each second, and how
much its resident memory grew. `ENAPTER_PEER_PYTHON` is an interpreter in which `enapter` is installed; without
it the vendor's SDK is left out. Its parser gets lines from httpx's own line decoder, as in its client.

The data: `floats` (five columns of floats), `mixed` (two of floats with 2% of nulls, integer, boolean, text),
`quoted` (as mixed, with texts and lists in quotes). Issue 4 asks, of 1 million rows: streamed by the standard
reader 2.4 times the vendor's SDK in at most 12 MiB, by pyarrow 12 times; all columns kept 2.8 times, in at most
0.55 of its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

PIECE = 64 * 1024
DEVICE = "7b1e4c90-25d3-4f6a-8e57-1a9c3d2b4f68"
TYPES = {
    "floats": ["float"] * 5,
    "mixed": ["float", "float", "integer", "boolean", "string"],
    "quoted": ["float", "float", "integer", "string_array", "string"],
}
STREAMED = ["standard", "standard rows", "arrow", "arrow values", "peer"]
KEPT = ["standard kept", "arrow kept", "peer kept"]


# The data


def write(path: Path, data: str, rows: int) -> None:
    """Write an answer, the same each time."""
    rng = random.Random(4)
    labels = ",".join(f"telemetry=a{i} device={DEVICE} aggregation=avg" for i in range(5))
    with path.open("w", newline="") as file:
        file.write(f"ts,{labels}\n")
        for row in range(rows):
            file.write(f"{1773482400 + 60 * row},{_cells(data, rng)}\n")


def _cells(data: str, rng: random.Random) -> str:
    if data == "floats":
        return ",".join(f"{rng.random() * 5000:.6g}" for _ in range(5))
    floats = ",".join("" if rng.random() < 0.02 else f"{rng.random() * 5000:.6g}" for _ in range(2))
    whole = rng.randrange(100_000)
    if data == "mixed":
        return f"{floats},{whole},{rng.choice(('true', 'false'))},{rng.choice(('running', 'idle', 'standby'))}"
    alerts = rng.choice(("[]", '"[""grid_overvoltage"",""fan_slow""]"'))
    status = rng.choice(("running", '"limited, hot"'))
    return f"{floats},{whole},{alerts},{status}"


# What is measured, each in a process of its own


def pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while piece := file.read(PIECE):
            yield piece


def ours(path: Path, data: str, rival: str) -> int:
    from enapter_async._protocol.timeseries import TimeseriesReader
    from enapter_async._protocol.timeseries_collector import TimeseriesCollector
    from enapter_async.models.timeseries import TimeseriesBatch

    reader = TimeseriesReader(TYPES[data], engine="arrow" if rival.startswith("arrow") else "standard")

    def batches() -> Iterator[TimeseriesBatch]:
        for piece in pieces(path):
            yield from reader.feed(piece)
        yield from reader.finish(complete=True)

    if rival.endswith("kept"):
        collector: TimeseriesCollector | None = None
        for batch in batches():
            if collector is None:
                collector = TimeseriesCollector(reader.columns or ())
            collector.add(batch)
        assert collector is not None
        table = collector.result()
        keep.append(table)
        return len(table)
    if rival.endswith("rows"):
        return sum(1 for batch in batches() for _ in batch.rows())
    count = 0
    for batch in batches():
        for column in batch.columns:
            count += len(column if rival == "arrow" else column.values)
    return count // 5


async def peer(path: Path, data: str, rival: str) -> int:
    from enapter.http.api.telemetry.data_type import DataType  # type: ignore[import-not-found]
    from enapter.http.api.telemetry.raw_timeseries_stream import RawTimeseriesStream  # type: ignore[import-not-found]
    from enapter.http.api.telemetry.wide_timeseries import WideTimeseries  # type: ignore[import-not-found]
    from httpx._decoders import LineDecoder, TextDecoder  # type: ignore[import-not-found]

    async def lines() -> AsyncIterator[str]:
        text, line = TextDecoder("utf-8"), LineDecoder()
        for piece in pieces(path):
            for one in line.decode(text.decode(piece)):
                yield one
        for one in line.decode(text.flush()) + line.flush():
            yield one

    stream = await RawTimeseriesStream.new([DataType(kind.upper()) for kind in TYPES[data]], lines())
    if rival.endswith("kept"):
        table = await WideTimeseries.from_raw_stream(stream)
        keep.append(table)
        return len(table.timestamps)
    count = 0
    async for _ in stream:
        count += 1
    return count


keep: list[Any] = []


def resident() -> int:
    """Most resident memory that this process has had, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def work(path: Path, data: str, rival: str, warm: Path) -> None:
    run: Callable[[Path], int]
    if rival.startswith("peer"):
        run = lambda one: asyncio.run(peer(one, data, rival))  # noqa: E731
    else:
        run = lambda one: ours(one, data, rival)  # noqa: E731
    run(warm)  # a few rows: imports, not buffers
    keep.clear()
    gc.collect()
    before = resident()
    began = time.perf_counter()
    rows = run(path)
    seconds = time.perf_counter() - began
    print(json.dumps({"rows": rows, "seconds": seconds, "grown": resident() - before}))


# The table


def ask(rival: str, path: Path, data: str, warm: Path) -> dict[str, float]:
    interpreter = os.environ["ENAPTER_PEER_PYTHON"] if rival.startswith("peer") else sys.executable
    script = [interpreter, __file__, "--work", rival, "--path", str(path), "--warm", str(warm), "--data", data]
    done = subprocess.run(script, check=True, capture_output=True, text=True, timeout=600)
    return json.loads(done.stdout)


def compare(data: str, rows: int, rounds: int, rivals: list[str]) -> dict[str, tuple[float, float]]:
    """Rows each second and MiB grown, by rival: medians of interleaved rounds."""
    with tempfile.TemporaryDirectory() as folder:
        path, warm = Path(folder) / "answer.csv", Path(folder) / "warm.csv"
        write(path, data, rows)
        write(warm, data, 100)
        results: dict[str, list[dict[str, float]]] = {rival: [] for rival in rivals}
        for number in range(rounds):
            for rival in rivals if number % 2 == 0 else reversed(rivals):
                results[rival].append(ask(rival, path, data, warm))
    for figures in results.values():
        assert all(one["rows"] == rows for one in figures)
    return {
        rival: (
            statistics.median(one["rows"] / one["seconds"] for one in figures),
            statistics.median(one["grown"] for one in figures) / 2**20,
        )
        for rival, figures in results.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", choices=TYPES, default="mixed")
    parser.add_argument("--only", help="comma list of readers")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--warm", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.path, arguments.data, arguments.work, arguments.warm)
        return
    rivals = arguments.only.split(",") if arguments.only else STREAMED + KEPT
    if "ENAPTER_PEER_PYTHON" not in os.environ:
        rivals = [rival for rival in rivals if not rival.startswith("peer")]
    figures = compare(arguments.data, arguments.rows, arguments.rounds, rivals)
    print(f"{arguments.rows:,} rows of 5 columns ({arguments.data}), medians of {arguments.rounds} interleaved rounds\n")
    print("| reader | rows/s | times the vendor's | MiB grown | of the vendor's |\n|---|---|---|---|---|")
    for rival, (speed, grown) in figures.items():
        base = figures.get("peer kept" if rival in KEPT else "peer")
        times, share = (f"{speed / base[0]:.2f}", f"{grown / max(base[1], 0.1):.2f}") if base else ("", "")
        print(f"| {rival} | {speed:,.0f} | {times} | {grown:.1f} | {share if rival in KEPT else ''} |")


if __name__ == "__main__":
    main()
