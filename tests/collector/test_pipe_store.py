"""Standard output as a store: whole lines, a reader that may be slow, and one that may be gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import anyio
import pytest

from enapter_async import EnapterClient, InvalidArgumentError, StorageError
from enapter_async.collector import Collector, CollectorEvent, GapsNoted
from enapter_async.collector._writer import Writer
from enapter_async.collector.stores.pipe import PipeStore
from enapter_async.rows import JSON_LINES, Row, parse_time
from enapter_async.simulator import Simulator
from tests.collector.platform import read_platform
from tests.waiting import wait_until

fcntl = pytest.importorskip("fcntl", reason="the tests use pipes of POSIX")

pytestmark = pytest.mark.anyio

NOON = 1_772_000_000_000_000


def row(number: int, text: str | None = None) -> Row:
    return ("d1", "power", NOON + number, None if text else 1.5, text, "W")


class Pipe:
    """A pipe, each end of which is closed once."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self._open = {self.reader, self.writer}

    def close(self, *descriptors: int) -> None:
        for descriptor in self._open.intersection(descriptors):
            self._open.remove(descriptor)
            os.close(descriptor)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close(made.reader, made.writer)


def read_all(descriptor: int, into: list[bytes]) -> None:
    while piece := os.read(descriptor, 65_536):
        into.append(piece)


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "non-blocking"])
async def test_lines_of_any_length_come_out_as_they_were_given(pipe: Pipe, blocking: bool) -> None:
    reader, writer = pipe.reader, pipe.writer
    os.set_blocking(writer, blocking)
    rows = [row(number, "x" * (number * 37)) for number in range(500)]
    pieces: list[bytes] = []
    thread = threading.Thread(target=read_all, args=(reader, pieces))
    thread.start()
    async with PipeStore("jsonl", descriptor=writer) as store:
        assert await store.write(rows) == 500
        assert await store.write([]) == 0
    pipe.close(writer)
    await anyio.to_thread.run_sync(thread.join)
    assert b"".join(pieces) == JSON_LINES.encode(rows)


async def test_a_kill_leaves_whole_lines(pipe: Pipe) -> None:
    """The reader is as slow as it likes; whatever is in the pipe when the program dies ends with a line."""
    reader, writer = pipe.reader, pipe.writer
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    code = (
        "import anyio, os\n"
        "from enapter_async.collector.stores.pipe import PipeStore\n"
        "async def main():\n"
        "    async with PipeStore() as store:\n"
        "        await store.write([('d1', 'power', n, None, 'x' * (n % 700), None) for n in range(100_000)])\n"
        "anyio.run(main)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=writer)
    pipe.close(writer)
    data = b"".join([os.read(reader, 300) for _ in range(100)])
    process.send_signal(signal.SIGKILL)
    process.wait()
    rest: list[bytes] = []
    read_all(reader, rest)
    data += b"".join(rest)
    assert data.endswith(b"\n")
    times = [parse_time(json.loads(line)["time"]) for line in data.splitlines()]
    assert times == list(range(len(times)))


async def test_a_reader_that_has_gone_ends_it(pipe: Pipe) -> None:
    reader, writer = pipe.reader, pipe.writer
    pipe.close(reader)
    async with PipeStore("influx", descriptor=writer) as store:
        with pytest.raises(StorageError, match=r"^standard output: the reader closed the pipe$") as caught:
            await store.write([row(1)])
    assert not caught.value.temporary


async def test_a_write_that_is_cancelled_lets_the_program_end(pipe: Pipe) -> None:
    writer = pipe.writer
    async with PipeStore(descriptor=writer) as store:
        with anyio.move_on_after(0.1) as scope:
            await store.write([row(number, "x" * 1000) for number in range(1000)])
    assert scope.cancelled_caught


async def test_a_write_that_is_cancelled_never_reaches_a_later_file_of_the_same_number(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enapter_async.collector.stores.pipe._LOOK_SECONDS", 0.02)
    async with PipeStore(descriptor=pipe.writer) as store:
        with anyio.move_on_after(0.1):
            await store.write([row(number, "x" * 1000) for number in range(1000)])
    pipe.close(pipe.reader, pipe.writer)
    later = Pipe()
    try:
        assert (later.reader, later.writer) == (pipe.reader, pipe.writer)
        await anyio.sleep(0.2)
        os.set_blocking(later.reader, False)
        with pytest.raises(BlockingIOError):
            os.read(later.reader, 1)
    finally:
        later.close(later.reader, later.writer)


async def test_a_closed_store_stops_after_a_whole_line(pipe: Pipe) -> None:
    """The reader goes on, and gets no more than what was in the pipe when the store closed."""
    rows = [row(number, "x" * 1000) for number in range(1000)]
    async with PipeStore(descriptor=pipe.writer) as store:
        with anyio.move_on_after(0.1):
            await store.write(rows)
    written = os.read(pipe.reader, 1_000_000)
    await anyio.sleep(0.2)
    os.set_blocking(pipe.reader, False)
    with pytest.raises(BlockingIOError):
        os.read(pipe.reader, 1)
    assert written.endswith(b"\n")
    assert JSON_LINES.encode(rows).startswith(written)


async def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="form: must be one of influx, jsonl, got 'csv'"):
        PipeStore("csv")


async def test_a_reader_that_stops_and_goes_on_loses_nothing_that_is_not_noted(pipe: Pipe) -> None:
    reader, writer = pipe.reader, pipe.writer
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    events: list[CollectorEvent] = []
    data = bytearray()
    async with Simulator(devices=4) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with PipeStore(descriptor=writer) as store:
            collector = Collector(client, store, interval=0.2, on_event=events.append)
            # As after 200,000 rows.
            collector._writer = Writer(store, collector._problems, noted=collector._gaps_were_noted, most_waiting=20)
            began = int(time.time()) + 1
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collector.run)
                await wait_until(lambda: collector.statistics.stalls)
                await anyio.sleep(3)

                def read() -> None:
                    while piece := os.read(reader, 65_536):
                        data.extend(piece)

                tasks.start_soon(anyio.to_thread.run_sync, read)
                await wait_until(lambda: any(isinstance(event, GapsNoted) for event in events))
                collector.stop()
                with anyio.fail_after(20):
                    while collector.statistics.waiting or not collector._writer._closing.is_set():
                        await anyio.sleep(0.05)
                pipe.close(writer)
        lines = [json.loads(line) for line in data.splitlines()]
        times = [parse_time(line["time"]) for line in lines]
        platform = await read_platform(client, collector.targets.units, began, max(times) // 1_000_000)
    written = {(line["device_id"], line["attribute"], parse_time(line["time"])) for line in lines}
    gaps = [gap for event in events if isinstance(event, GapsNoted) for gap in event.gaps]
    missing = platform.keys() - written
    assert missing
    assert [
        key for key in missing if not any(gap.device_id == key[0] and gap.start <= key[2] < gap.before for gap in gaps)
    ] == []
