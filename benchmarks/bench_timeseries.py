"""Rows of a time series: the readers of this SDK beside the vendor's, from the same bytes.

    ENAPTER_PEER_PYTHON=... python -m benchmarks.bench_timeseries [--wire] [--rows 1000000] [--rounds 5] [--data mixed]

Every figure is of a process of its own: rows each second, CPU (of all its threads; what a busy machine disturbs
least), and how much its resident memory grew. With `--wire`
whole clients ask a server on a loopback socket; without it the readers alone get the same file in pieces of
64 KiB (the vendor's through httpx's line decoder, as in its client). `ENAPTER_PEER_PYTHON` is an interpreter in
which `enapter` is installed; without it the vendor's SDK is left out.

The data: `floats` (five columns of floats), `mixed` (two of floats with 2% of nulls, integer, boolean, text),
`quoted` (as mixed, with texts and lists in quotes). Issue 4 asks, of 1 million rows: streamed by the standard
reader 2.4 times the vendor's SDK in at most 12 MiB, by pyarrow 12 times; all columns kept 2.8 times, in at most
0.55 of its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from benchmarks.figures import Figure

PIECE = 64 * 1024
DEVICE = "7b1e4c90-25d3-4f6a-8e57-1a9c3d2b4f68"
START = datetime(2026, 3, 14, tzinfo=UTC)
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


class Wire:
    """A server on a loopback socket that answers every request under /<name>/ with that file."""

    def __init__(self, folder: Path, data: str) -> None:
        self._folder, self._types = folder, ",".join(TYPES[data])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection, contextlib.suppress(OSError):
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request or not request.endswith(b"}"):
            request += connection.recv(PIECE)
        name = request.split(b" ", 2)[1].split(b"/")[1].decode()
        with (self._folder / name).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: {size}\r\nConnection: close\r\n"
            connection.sendall(f"{head}X-Enapter-Timeseries-Data-Types: {self._types}\r\n\r\n".encode())
            connection.sendfile(file)


# What is measured, each in a process of its own


def pieces(path: str) -> Iterator[bytes]:
    with Path(path).open("rb", buffering=0) as file:
        while piece := file.read(PIECE):
            yield piece


async def ours(source: str, data: str, rival: str) -> int:
    if not rival.startswith("arrow"):
        sys.modules["pyarrow"] = None  # type: ignore[assignment]
    if source.startswith("http"):
        return await our_client(source, rival)
    from enapter_async._protocol.timeseries.reader import TimeseriesReader
    from enapter_async._protocol.timeseries.table_builder import TimeseriesCollector
    from enapter_async.models.timeseries import TimeseriesBatch

    reader = TimeseriesReader(TYPES[data], engine="arrow" if rival.startswith("arrow") else "standard")

    def batches() -> Iterator[TimeseriesBatch]:
        for piece in pieces(source):
            yield from reader.feed(piece)
        yield from reader.finish(complete=True)

    if not rival.endswith("kept"):
        return sum(taken(batch, rival) for batch in batches())
    collector: TimeseriesCollector | None = None
    for batch in batches():
        collector = collector or TimeseriesCollector(reader.columns or ())
        collector.add(batch)
    assert collector is not None
    table = collector.result()
    keep.append(table)
    return len(table)


async def our_client(url: str, rival: str) -> int:
    from enapter_async import EnapterClient, Series, TimeseriesQuery

    names = [f"a{number}" for number in range(5)]
    query = TimeseriesQuery(start=START, end=START + timedelta(days=1), granularity=60, series=[Series(DEVICE, names)])
    async with EnapterClient(token="x", base_url=url) as client:
        if rival.endswith("kept"):
            table = await client.telemetry.query_timeseries(query)
            keep.append(table)
            return len(table)
        async with client.telemetry.stream_timeseries(query) as stream:
            return sum([taken(batch, rival) async for batch in stream.batches()])


def taken(batch: Any, rival: str) -> int:
    """Use a batch the way the rival is about, and count its rows."""
    if rival.endswith("rows"):
        return sum(1 for _ in batch.rows())
    return sum(len(column if rival == "arrow" else column.values) for column in batch.columns) // len(batch.columns)


async def peer(source: str, data: str, rival: str) -> int:
    from enapter.http import api

    if source.startswith("http"):
        selector = api.telemetry.Selector(device=DEVICE, attributes=[f"a{number}" for number in range(5)])
        async with api.Client(api.Config(base_url=source, token="x")) as client:
            asked = (START, START + timedelta(days=1), 60, [selector])
            if rival.endswith("kept"):
                table = await client.telemetry.wide_timeseries(*asked)
                keep.append(table)
                return len(table.timestamps)
            async with client.telemetry.raw_timeseries(*asked) as stream:
                return await counted(stream)

    from httpx._decoders import LineDecoder, TextDecoder

    async def lines() -> AsyncIterator[str]:
        text, line = TextDecoder("utf-8"), LineDecoder()
        for piece in pieces(source):
            for one in line.decode(text.decode(piece)):
                yield one
        for one in line.decode(text.flush()) + line.flush():
            yield one

    types = [api.telemetry.DataType(kind.upper()) for kind in TYPES[data]]
    stream = await api.telemetry.RawTimeseriesStream.new(types, lines())
    if rival.endswith("kept"):
        table = await api.telemetry.WideTimeseries.from_raw_stream(stream)
        keep.append(table)
        return len(table.timestamps)
    return await counted(stream)


async def counted(stream: AsyncIterator[Any]) -> int:
    count = 0
    async for _ in stream:
        count += 1
    return count


keep: list[Any] = []


def resident() -> int:
    """Most resident memory that this process has had, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def work(source: str, warm: str, data: str, rival: str) -> None:
    run = peer if rival.startswith("peer") else ours
    asyncio.run(run(warm, data, rival))  # a few rows: imports, not buffers
    keep.clear()
    gc.collect()
    before = resident()
    began, busy = time.perf_counter(), time.process_time()
    rows = asyncio.run(run(source, data, rival))
    figures = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - busy}
    print(json.dumps({"rows": rows, **figures, "grown": resident() - before}))


# The table


def ask(rival: str, sources: list[str], data: str) -> dict[str, float]:
    interpreter = os.environ["ENAPTER_PEER_PYTHON"] if rival.startswith("peer") else sys.executable
    command = [interpreter, __file__, "--work", rival, "--data", data, "--sources", *sources]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=600)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


class Figures(NamedTuple):
    """Rows each second, microseconds of CPU for each row, MiB that the process grew by."""

    speed: float
    cpu: float
    grown: float


def compare(data: str, rows: int, rounds: int, rivals: list[str], *, wire: bool) -> dict[str, Figures]:
    """What each rival took: medians of interleaved rounds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "answer", data, rows)
        write(folder / "warm", data, 100 if not wire else 5000)
        base = Wire(folder, data).url if wire else str(folder)
        sources = [f"{base}/answer", f"{base}/warm"]
        results: dict[str, list[dict[str, float]]] = {rival: [] for rival in rivals}
        for number in range(rounds):
            for rival in rivals if number % 2 == 0 else reversed(rivals):
                results[rival].append(ask(rival, sources, data))
    for figures in results.values():
        assert all(one["rows"] == rows for one in figures)
    return {
        rival: Figures(
            statistics.median(rows / one["seconds"] for one in figures),
            statistics.median(one["cpu"] * 1e6 / rows for one in figures),
            statistics.median(one["grown"] for one in figures) / 2**20,
        )
        for rival, figures in results.items()
    }


def figures(rounds: int = 3) -> Iterator[Figure]:
    """Measure everything of this file; the peer's interpreter is ENAPTER_PEER_PYTHON or this one."""
    from benchmarks.figures import Figure  # not at the top: rivals run this file as a script

    os.environ.setdefault("ENAPTER_PEER_PYTHON", sys.executable)
    goals = {"standard": 2.4, "arrow": 12.0, "standard kept": 2.8}
    for data in ("floats", "mixed", "quoted"):
        rivals = ["standard", "arrow", "standard kept", "peer", "peer kept"]
        found = compare(data, 1_000_000 if data != "quoted" else 300_000, rounds, rivals, wire=False)
        for rival, goal in goals.items():
            base = found["peer kept" if rival in KEPT else "peer"]
            yield Figure(
                f"rows from bytes, {data}, {rival}: speed relative to the vendor's SDK",
                found[rival].speed / base.speed,
                goal=goal,
                note=f"{found[rival].speed:,.0f} rows/s, vendor's {base.speed:,.0f} rows/s",
            )
        yield Figure(
            f"rows from bytes, {data}, standard: memory",
            found["standard"].grown,
            "MiB",
            goal=12.0,
            at_most=True,
        )
        yield Figure(
            f"rows from bytes, {data}, all columns kept: memory relative to the vendor's SDK",
            found["standard kept"].grown / found["peer kept"].grown,
            goal=0.55,
            at_most=True,
            note=f"{found['standard kept'].grown:.0f} MiB, vendor's {found['peer kept'].grown:.0f} MiB",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", choices=TYPES, default="mixed")
    parser.add_argument("--only", help="comma list of readers")
    parser.add_argument("--wire", action="store_true", help="whole clients on a loopback socket")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--sources", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        source, warm = arguments.sources
        work(source, warm, arguments.data, arguments.work)
        return
    rivals = arguments.only.split(",") if arguments.only else STREAMED + KEPT
    if "ENAPTER_PEER_PYTHON" not in os.environ:
        rivals = [rival for rival in rivals if not rival.startswith("peer")]
    figures = compare(arguments.data, arguments.rows, arguments.rounds, rivals, wire=arguments.wire)
    subject = "whole clients" if arguments.wire else "readers"
    print(
        f"{subject}, {arguments.rows:,} rows of 5 columns ({arguments.data}), {arguments.rounds} interleaved rounds\n"
    )
    print("| reader | rows/s | times the vendor's | µs of CPU a row | MiB grown | of the vendor's |")
    print("|---|---|---|---|---|---|")
    for rival, (speed, cpu, grown) in figures.items():
        base = figures.get("peer kept" if rival in KEPT else "peer")
        times = f"{speed / base.speed:.2f}" if base else ""
        share = f"{grown / base.grown:.2f}" if base and rival in KEPT else ""
        print(f"| {rival} | {speed:,.0f} | {times} | {cpu:.2f} | {grown:.1f} | {share} |")


if __name__ == "__main__":
    main()
