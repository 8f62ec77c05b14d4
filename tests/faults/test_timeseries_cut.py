"""Time series that are cut: everything or an error, never less; and a history goes on where it was cut."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from enapter_async import (
    AttemptTimeoutError,
    ClientClosedError,
    ConnectionLostError,
    EnapterClient,
    EnapterError,
    History,
    NotFoundError,
    RetryPolicy,
    Series,
    Timeouts,
    TimeseriesBatch,
    TimeseriesFormatError,
    TimeseriesQuery,
)
from tests.faults.raw_server import Exchange, RawServer, serving

pytestmark = pytest.mark.anyio

START = datetime(2026, 3, 14, tzinfo=UTC)
FIRST = int(START.timestamp())
WIDE = "x" * 2000
"""A cell: thirty rows of it are more than the reader waits for before it gives a batch."""
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def query(seconds: int, devices: int = 1) -> TimeseriesQuery:
    series = [Series(f"d{number}", ["a"]) for number in range(devices)]
    return TimeseriesQuery(start=START, end=START + timedelta(seconds=seconds), granularity=1, series=series)


def head(*headers: str, types: str = "string") -> bytes:
    lines = ["HTTP/1.1 200 OK", "Content-Type: text/csv", f"X-Enapter-Timeseries-Data-Types: {types}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def span(exchange: Exchange) -> tuple[int, int]:
    """What a request asks for, in seconds since START."""
    asked = json.loads(exchange.request.body)
    return tuple(int(datetime.fromisoformat(asked[name]).timestamp()) - FIRST for name in ("from", "to"))  # type: ignore[return-value]


def device(exchange: Exchange) -> str:
    return str(json.loads(exchange.request.body)["telemetry"][0]["device"])


class SeriesServer(RawServer):
    """Answers with a row a second, and cuts the n-th answer after so many rows.

    Attributes:
        cuts: Rows after which an answer is cut, by the number of the request from 1; -1 is before the columns.
        asked: `from` and `to` of every request, in seconds since START.
        under_way: Answers being sent now.
        sent: Rows written so far.
    """

    def __init__(self, cell: str = WIDE, cuts: dict[int, int] | None = None) -> None:
        super().__init__(self._behave)
        self.cell = cell
        self.cuts = cuts or {}
        self.asked: list[tuple[int, int]] = []
        self.under_way = self.most_under_way = 0
        self.sent = 0
        self.refused: set[int] = set()
        self.gate: Callable[[], Awaitable[object]] | None = None

    async def _behave(self, exchange: Exchange) -> None:
        first, end = span(exchange)
        self.asked.append((first, end))
        if first in self.refused:
            await exchange.send(NOT_FOUND)
            return
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self._answer(exchange, first, end)
        finally:
            self.under_way -= 1

    async def _answer(self, exchange: Exchange, first: int, end: int) -> None:
        cut = self.cuts.get(exchange.number)
        await exchange.send(head("Transfer-Encoding: chunked"))
        if cut != -1:
            await exchange.send(chunk(f"ts,telemetry=a device={device(exchange)}\n".encode()))
        for second in range(first, end):
            if cut is not None and second - first >= cut:
                exchange.close()
                return
            await exchange.send(chunk(f"{FIRST + second},{self.cell}\n".encode()))
            self.sent += 1
            if self.gate is not None:
                await self.gate()
        await exchange.send(b"0\r\n\r\n")


def client_of(server: RawServer, **options: Any) -> EnapterClient:
    defaults: dict[str, Any] = {"retry": RetryPolicy(max_attempts=3, initial_delay=0), "timeouts": Timeouts(total=5)}
    return EnapterClient(base_url=server.url, token="t", **(defaults | options))


async def seconds(history: History) -> list[int]:
    return [moment - FIRST async for batch in history for moment in batch.unix_seconds]


# -- an answer that is cut anywhere ---------------------------------------------------------------------------

TABLE = (
    b'ts,"telemetry=a device=d",telemetry=b device=d\n1773446400,1.5,"a\n""b"""\r\n\n1773446401,,x\n1773446402,-3e7,yz'
)
TYPES = "float,string"
WHOLE = [(1773446400, 1.5, 'a\n"b"'), (1773446401, None, "x"), (1773446402, -3e7, "yz")]


def forms() -> Iterator[tuple[str, bytes]]:
    packed = gzip.compress(TABLE, mtime=0)
    yield "length", head(f"Content-Length: {len(TABLE)}", types=TYPES) + TABLE
    pieces = [TABLE[place : place + 17] for place in range(0, len(TABLE), 17)]
    yield (
        "chunked",
        head("Transfer-Encoding: chunked", types=TYPES) + b"".join(map(chunk, pieces)) + b"0\r\n\r\n",
    )
    yield (
        "gzip with length",
        head("Content-Encoding: gzip", f"Content-Length: {len(packed)}", types=TYPES) + packed,
    )
    yield (
        "gzip in chunks",
        head("Content-Encoding: gzip", "Transfer-Encoding: chunked", types=TYPES)
        + chunk(packed[:20])
        + chunk(packed[20:])
        + b"0\r\n\r\n",
    )
    yield "gzip until closed", head("Content-Encoding: gzip", "Connection: close", types=TYPES) + packed


@pytest.mark.parametrize(("form", "answer"), [pytest.param(*one, id=one[0]) for one in forms()])
@pytest.mark.parametrize("way", ["query", "stream", "history"])
async def test_an_answer_cut_at_any_byte_is_an_error_or_whole(form: str, answer: bytes, way: str) -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.send(answer[:stop])
        exchange.close()

    asked = TimeseriesQuery(
        start=START, end=START + timedelta(seconds=3), granularity=1, series=[Series("d", ["a", "b"])]
    )
    whole: list[int] = []
    async with serving(behave).running() as server, client_of(server, retry=RetryPolicy.none()) as client:
        for stop in range(len(answer) + 1):
            rows: list[tuple[object, ...]] = []
            try:
                if way == "query":
                    table = await client.telemetry.query_timeseries(asked)
                    rows = [(int(row.timestamp.timestamp()), *row.values) for row in table.rows()]
                elif way == "stream":
                    async with client.telemetry.stream_timeseries(asked) as stream:
                        rows = [(int(row.timestamp.timestamp()), *row.values) async for row in stream]
                else:
                    async for batch in client.telemetry.history(asked):
                        rows += [(int(row.timestamp.timestamp()), *row.values) for row in batch.rows()]
            except EnapterError:
                continue
            assert rows == WHOLE, f"cut at byte {stop} of {len(answer)}"
            whole.append(stop)
    # What may be missing is what says nothing: the end of the last chunk, whose size said that it is the last.
    assert whole[-1] == len(answer)
    assert whole == list(range(whole[0], len(answer) + 1))
    assert len(answer) - whole[0] <= (4 if "chunk" in form else 0)


async def test_a_whole_answer_whose_end_nothing_proves_is_refused() -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.send(head("Connection: close", types=TYPES) + TABLE)
        exchange.close()

    async with serving(behave).running() as server, client_of(server) as client:
        with pytest.raises(EnapterError, match="nothing proves that the response is complete"):
            await client.telemetry.query_timeseries(query(3))


async def test_a_query_that_breaks_in_the_middle_is_begun_again() -> None:
    async with SeriesServer(cell="x", cuts={1: 3, 2: -1}).running() as server, client_of(server) as client:
        assert isinstance(server, SeriesServer)
        table = await client.telemetry.query_timeseries(query(10))
    assert [moment - FIRST for moment in table.unix_seconds] == list(range(10))
    assert server.asked == [(0, 10)] * 3


async def test_a_query_that_breaks_each_time_ends_in_the_last_failure() -> None:
    async with SeriesServer(cuts=dict.fromkeys(range(1, 100), 3)).running() as server, client_of(server) as client:
        with pytest.raises(ConnectionLostError) as caught:
            await client.telemetry.query_timeseries(query(10))
    assert caught.value.attempts == server.seen == 3
    assert caught.value.operation == "telemetry.query_timeseries"


# -- a history that is cut -------------------------------------------------------------------------------------


@asynccontextmanager
async def entered(history: History, *, block: bool) -> AsyncIterator[History]:
    if block:
        async with history:
            yield history
    else:
        yield history


@pytest.mark.parametrize("block", [True, False])
@pytest.mark.parametrize("seed", range(4))
async def test_what_is_cut_goes_on_after_the_last_row_that_came(seed: int, block: bool) -> None:
    chance = random.Random(seed)
    cuts = {number: chance.randrange(-1, 150) for number in chance.sample(range(1, 9), 4)}
    async with SeriesServer(cuts=cuts).running() as server, client_of(server) as client:
        assert isinstance(server, SeriesServer)
        came: list[int] = []
        async with entered(client.telemetry.history(query(600), window=150, concurrency=1), block=block) as history:
            async for batch in history:
                came += [moment - FIRST for moment in batch.unix_seconds]
        assert came == list(range(600))
        assert history.completed == len(history.parts) == 4
        assert history.rows == 600
    for first, _ in server.asked:
        # Either a part's own start, or a row that came: everything before it is not asked for again.
        assert first % 150 == 0 or first in came
    starts = [first for first, _ in server.asked]
    assert starts == sorted(starts)
    # What aiohttp had not handed over when the connection was lost may be asked for again: at most its buffer.
    assert server.sent <= 600 + 4 * 70


async def test_only_rows_that_did_not_come_are_asked_for_again() -> None:
    async with SeriesServer(cuts={1: 100}).running() as server, client_of(server) as client:
        assert isinstance(server, SeriesServer)
        assert await seconds(client.telemetry.history(query(150))) == list(range(150))
    (whole, (first, end)) = server.asked
    assert whole == (0, 150)
    assert end == 150
    assert 29 < first <= 99  # aiohttp keeps at most its buffer of 128 KiB to itself


async def test_a_line_that_lets_one_new_row_through_at_a_time_is_enough() -> None:
    async with (
        SeriesServer(cell="x", cuts=dict.fromkeys(range(1, 9), 2)).running() as server,
        client_of(server) as client,
    ):
        assert isinstance(server, SeriesServer)
        assert await seconds(client.telemetry.history(query(10))) == list(range(10))
    assert server.asked == [(first, 10) for first in range(9)]


@pytest.mark.parametrize(("rows", "requests"), [(1, 4), (-1, 3)])
async def test_a_line_that_lets_nothing_new_through_ends_in_an_error(rows: int, requests: int) -> None:
    async with (
        SeriesServer(cell="x", cuts=dict.fromkeys(range(1, 9), rows)).running() as server,
        client_of(server) as client,
    ):
        history = client.telemetry.history(query(10))
        with pytest.raises(ConnectionLostError):
            await seconds(history)
    assert server.seen == requests
    assert history.rows == max(0, rows)


async def test_a_part_that_fails_raises_after_the_good_ones_before_it() -> None:
    async with SeriesServer(cell="x").running() as server, client_of(server) as client:
        assert isinstance(server, SeriesServer)
        server.refused = {30}
        for block in (True, False):
            came: list[int] = []
            history = client.telemetry.history(query(60), window=10)
            with pytest.raises(NotFoundError):  # noqa: PT012
                async with entered(history, block=block):
                    async for batch in history:
                        came += [moment - FIRST for moment in batch.unix_seconds]
            assert came == list(range(30))
            assert history.completed == 3
            with pytest.raises(NotFoundError):  # asked once more it is no end either
                await anext(history)


async def test_a_slow_consumer_does_not_make_all_parts_load() -> None:
    async with SeriesServer(cell="x").running() as server, client_of(server) as client:
        assert isinstance(server, SeriesServer)
        async with client.telemetry.history(query(500), window=10, concurrency=3) as history:
            await anext(history)
            await anyio.sleep(0.1)
            # Twice the three that may be under way; one more for the part that was delivered.
            assert 3 <= server.seen <= 7
            await anext(history)
            await anyio.sleep(0.05)
            assert server.seen <= 8
            assert history.completed == 1


async def test_a_slow_consumer_costs_no_part_its_time_for_a_place() -> None:
    async with SeriesServer().running() as server, client_of(server, max_streams=2) as client:
        async with client.telemetry.history(query(16_000), window=4000, concurrency=8, timeout=0.2) as history:
            rows = len(await anext(history))
            for _ in range(3):
                await anyio.sleep(0.1)  # longer than a part may wait
            rows += len(await seconds(history))
    assert rows == 16_000


async def test_a_slow_consumer_makes_the_server_wait() -> None:
    rows = 20_000  # 40 MB, which no socket buffer holds
    async with SeriesServer().running() as server, client_of(server) as client:
        assert isinstance(server, SeriesServer)
        async with client.telemetry.history(query(rows), window=rows) as history:
            await anext(history)
            before = -1
            with anyio.fail_after(5):
                while server.sent != before:
                    before = server.sent
                    await anyio.sleep(0.1)
            assert server.sent < rows * 0.75


async def test_parts_are_read_at_the_same_time_and_no_more_than_were_allowed() -> None:
    async with SeriesServer(cell="x").running() as server, client_of(server) as client:
        assert isinstance(server, SeriesServer)
        server.gate = lambda: anyio.sleep(0.002)
        assert await seconds(client.telemetry.history(query(120), window=10, concurrency=4)) == list(range(120))
        assert server.most_under_way == 4


async def test_a_part_that_is_late_does_not_hold_up_the_others() -> None:
    async with SeriesServer(cell="x").running() as server, client_of(server) as client:
        assert isinstance(server, SeriesServer)
        late = anyio.Event()
        behave = server.behaviour

        async def first_is_late(exchange: Exchange) -> None:
            if span(exchange)[0] == 0:
                await late.wait()
            await behave(exchange)

        server.behaviour = first_is_late
        async with client.telemetry.history(query(200), window=10, concurrency=4) as history:
            async with anyio.create_task_group() as group:

                async def release() -> None:
                    await server.arrived(8)  # more than are allowed at once, so others have ended before the first
                    await anyio.sleep(0.05)
                    assert server.seen == 8
                    late.set()

                group.start_soon(release)
                with anyio.fail_after(5):
                    assert await seconds(history) == list(range(200))


@pytest.mark.parametrize("block", [True, False])
async def test_an_early_break_leaves_no_task_socket_or_place(block: bool) -> None:
    async with SeriesServer().running() as server, client_of(server, max_in_flight=2, max_streams=2) as client:
        assert isinstance(server, SeriesServer)
        tasks = asyncio.all_tasks()
        for _ in range(3):  # a place that was not given back would be missing in the next round
            async with entered(
                client.telemetry.history(query(4000), window=1000, concurrency=2), block=block
            ) as history:
                async for _batch in history:
                    break
            assert client.load.in_flight == 0
        with anyio.fail_after(5):
            while server.under_way:
                await anyio.sleep(0.002)
        theirs = {task for task in asyncio.all_tasks() if "RawServer" in repr(task.get_coro())}
        assert asyncio.all_tasks() - theirs == tasks - theirs
        await client.aclose()
        await server.no_connections()


async def test_what_is_left_is_no_end() -> None:
    async with SeriesServer(cell="x").running() as server, client_of(server) as client:
        async with client.telemetry.history(query(100), window=10) as history:
            await anext(history)
        with pytest.raises(ClientClosedError, match="the block of this history has ended"):
            await anext(history)


async def test_a_step_that_was_cancelled_does_not_pass_for_a_whole_part() -> None:
    async with SeriesServer(cell="x").running() as server, client_of(server) as client:
        assert isinstance(server, SeriesServer)
        server.gate = lambda: anyio.sleep(0.05)
        history = client.telemetry.history(query(20), window=10)
        with anyio.move_on_after(0.1) as waited:
            await anext(history)
        assert waited.cancelled_caught
        with pytest.raises(ClientClosedError, match="interrupted"):
            await anext(history)
        assert history.completed == 0


@pytest.mark.parametrize("block", [True, False])
async def test_cancellation_ends_it_at_once_and_leaves_nothing(block: bool) -> None:
    async with SeriesServer(cell="x").running() as server, client_of(server, max_streams=2) as client:
        assert isinstance(server, SeriesServer)
        server.gate = lambda: anyio.sleep(0.05)

        async def consume() -> None:
            async with entered(
                client.telemetry.history(query(1000), window=100, concurrency=2), block=block
            ) as history:
                async for _ in history:
                    pass

        task = asyncio.create_task(consume())
        await server.arrived(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError), anyio.fail_after(1):
            await task
        assert task.cancelled()
        assert client.load.in_flight == 0
        server.gate = None
        assert await seconds(client.telemetry.history(query(40), window=10, concurrency=2)) == list(range(40))


async def test_an_error_of_the_caller_comes_out_as_it_is() -> None:
    async with SeriesServer(cell="x").running() as server, client_of(server) as client:
        with pytest.raises(LookupError, match="mine"):  # noqa: PT012
            async with client.telemetry.history(query(100), window=10) as history:
                async for _ in history:
                    raise LookupError("mine")


@pytest.mark.parametrize("block", [True, False])
async def test_closing_the_client_ends_it(block: bool) -> None:
    async with SeriesServer(cell="x").running() as server, client_of(server) as client:
        assert isinstance(server, SeriesServer)
        server.gate = lambda: anyio.sleep(0.05)
        problem: list[BaseException] = []

        async def consume() -> None:
            try:
                async with entered(client.telemetry.history(query(1000), window=100), block=block) as history:
                    async for _ in history:
                        pass
            except EnapterError as error:
                problem.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(consume)
            await server.arrived(2)
            with anyio.fail_after(1):
                await client.aclose()
    assert [type(error) for error in problem] == [ClientClosedError]


async def test_all_whole_rows_come_before_the_failure_and_no_later_step_takes_it_for_the_end() -> None:
    async with SeriesServer(cell="x", cuts={1: 5}).running() as server, client_of(server) as client:
        assert isinstance(server, SeriesServer)
        server.gate = lambda: anyio.sleep(0.005)
        with pytest.raises(ConnectionLostError):  # noqa: PT012
            async with client.telemetry.stream_timeseries(query(10)) as stream:
                rows = 0
                with pytest.raises(ConnectionLostError):  # noqa: PT012
                    async for batch in stream.batches():
                        rows += len(batch)
                assert rows == 5
                async for _ in stream:
                    raise AssertionError("nothing can come any more")


async def test_a_stream_that_was_cancelled_in_a_step_has_no_end() -> None:
    async with SeriesServer(cell="x").running() as server, client_of(server) as client:
        assert isinstance(server, SeriesServer)
        server.gate = lambda: anyio.sleep(0.1)
        with pytest.raises(ConnectionLostError, match="interrupted"):  # noqa: PT012
            async with client.telemetry.stream_timeseries(query(10)) as stream:
                with anyio.move_on_after(0.05):
                    await anext(aiter(stream))
                async for _ in stream:
                    raise AssertionError("nothing can come any more")


async def test_whoever_reads_a_stream_may_make_calls_meanwhile() -> None:
    async with SeriesServer().running() as server, client_of(server, max_in_flight=1, max_streams=2) as client:
        async with client.telemetry.stream_timeseries(query(300)) as stream:
            rows = 0
            async for batch in stream.batches():
                rows += len(batch)
                with anyio.fail_after(2):
                    assert len(await client.telemetry.query_timeseries(query(2))) == 2
    assert rows == 300


async def everything(client: EnapterClient) -> list[TimeseriesBatch]:
    async with client.telemetry.stream_timeseries(query(10)) as stream:
        return [batch async for batch in stream.batches()]


EMPTY_MEMBER = gzip.compress(b"", mtime=0)
HEADER = b"ts,telemetry=a device=d0\n"
NOTHING = {
    "blank lines": (b"", b"\r\n"),
    "spaces": (b"", b" "),
    "a line without an end": (b"", b"1"),
    "blank lines behind the columns": (HEADER, b"\n"),
    "a row without an end": (HEADER, b"1"),
    "blank lines behind a row": (HEADER + f"{FIRST},x\n".encode(), b"\r\n\n"),
    "line breaks in a cell without an end": (HEADER + f'{FIRST},"'.encode(), b"x\n"),
}
GZIP = ("Content-Encoding: gzip",)


@pytest.mark.parametrize("pause", [0.02, 0.0], ids=["dripping", "flooding"])
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", [*NOTHING, "empty members of gzip"])
async def test_an_answer_that_brings_no_rows_is_given_up(name: str, compressed: bool, pause: float) -> None:
    """However much of nothing comes: a stream without a row is as dead as one without a byte."""
    if name == "empty members of gzip":
        begin, nothing, compressed = gzip.compress(HEADER, mtime=0), EMPTY_MEMBER, True
    else:
        begin, nothing = NOTHING[name]
        if compressed:
            begin, nothing = gzip.compress(begin, mtime=0), gzip.compress(nothing, mtime=0)
    sent = 0

    async def behaviour(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(head("Transfer-Encoding: chunked", *(GZIP if compressed else ())))
        if begin:
            await exchange.send(chunk(begin))
        while True:
            await exchange.send(chunk(nothing))
            sent += 1
            await asyncio.sleep(pause)

    loop = asyncio.get_running_loop()
    timeouts = Timeouts(total=60, attempt=0.15)
    async with RawServer(behaviour).running() as server, client_of(server, timeouts=timeouts) as client:
        began = loop.time()
        with pytest.raises(AttemptTimeoutError) as caught:
            await asyncio.wait_for(everything(client), 5)
        assert loop.time() - began < 0.5
        assert caught.value.phase == "body"
        assert sent > 2


@pytest.mark.parametrize("block", [False, True], ids=["without a block", "within one"])
@pytest.mark.parametrize(("begin", "first"), [(b"", -1_000_000), (b"", 10), (f"{FIRST},x\n".encode(), 10)])
async def test_a_history_whose_answer_brings_other_rows_only_is_given_up(begin: bytes, first: int, block: bool) -> None:
    async def behaviour(exchange: Exchange) -> None:
        await exchange.send(head("Transfer-Encoding: chunked") + chunk(HEADER + begin))
        for second in range(first, first + 1_000_000):
            await exchange.send(chunk(f"{FIRST + second},x\n".encode()))
            await asyncio.sleep(0.02)

    timeouts = Timeouts(total=60, attempt=0.15)
    policy = RetryPolicy(max_attempts=2, initial_delay=0)
    async with (
        RawServer(behaviour).running() as server,
        client_of(server, timeouts=timeouts, retry=policy) as client,
        entered(client.telemetry.history(query(10)), block=block) as history,
    ):
        with pytest.raises(AttemptTimeoutError, match="no row of the requested range arrived in time"):
            await asyncio.wait_for(seconds(history), 10)


async def test_a_history_leaves_out_rows_behind_its_range() -> None:
    async def behaviour(exchange: Exchange) -> None:
        await exchange.send(head("Transfer-Encoding: chunked") + chunk(HEADER))
        await exchange.send(chunk("".join(f"{FIRST + second},x\n" for second in range(-5, 20)).encode()))
        await exchange.send(b"0\r\n\r\n")

    async with RawServer(behaviour).running() as server, client_of(server) as client:
        assert await seconds(client.telemetry.history(query(10))) == list(range(10))


async def test_what_a_consumer_takes_is_no_silence() -> None:
    async def behaviour(exchange: Exchange) -> None:
        await exchange.send(head("Transfer-Encoding: chunked") + chunk(HEADER))
        for second in range(100):
            await exchange.send(chunk(f"{FIRST + second},{WIDE}\n".encode()))
        await exchange.send(b"0\r\n\r\n")

    timeouts = Timeouts(total=60, attempt=0.1)
    async with RawServer(behaviour).running() as server, client_of(server, timeouts=timeouts) as client:
        rows = 0
        async with client.telemetry.stream_timeseries(query(100)) as stream:
            async for batch in stream.batches():
                rows += len(batch)
                await asyncio.sleep(0.15)
        assert rows == 100


async def test_rows_that_come_slowly_are_waited_for() -> None:
    async def behaviour(exchange: Exchange) -> None:
        await exchange.send(head("Transfer-Encoding: chunked") + chunk(HEADER))
        for second in range(5):
            await asyncio.sleep(0.06)
            await exchange.send(chunk(f"{FIRST + second},".encode()))
            await exchange.send(chunk(b"1\n"))
        await exchange.send(b"0\r\n\r\n")

    timeouts = Timeouts(total=60, attempt=0.15)
    async with RawServer(behaviour).running() as server, client_of(server, timeouts=timeouts) as client:
        async with client.telemetry.stream_timeseries(query(5)) as stream:
            assert len([row async for row in stream]) == 5


async def test_rows_that_come_slowly_are_returned_before_a_batch_is_full() -> None:
    """Neither does a malformed one wait for it."""
    arrived = asyncio.Event()

    async def behaviour(exchange: Exchange) -> None:
        await exchange.send(head("Transfer-Encoding: chunked") + chunk(HEADER))
        await asyncio.sleep(0.1)
        await exchange.send(chunk(f"{FIRST},1\n".encode()))
        await arrived.wait()
        await asyncio.sleep(0.1)
        await exchange.send(chunk(b"malformed\n"))
        await exchange.hang()

    timeouts = Timeouts(total=60, attempt=0.9)
    async with RawServer(behaviour).running() as server, client_of(server, timeouts=timeouts) as client:
        async with client.telemetry.stream_timeseries(query(5)) as stream:
            rows = aiter(stream)
            assert (await anext(rows)).values == ("1",)
            arrived.set()
            with pytest.raises(TimeseriesFormatError, match="1 cells, but 2 columns"):
                await anext(rows)
