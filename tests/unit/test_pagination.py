"""A list is complete or an error, whatever the server does with limit, offset and total_count."""

from __future__ import annotations

import anyio
import pytest

from enapter_async.errors import ConnectionLostError, InvalidArgumentError, PaginationError
from enapter_async.pagination import Page, Pager

pytestmark = pytest.mark.anyio


class Server:
    """A list behind limit and offset, with the habits of real servers as switches."""

    def __init__(self, count: int, *, cap: int = 50, total: str = "right", ignores_offset: bool = False) -> None:
        self.items = [f"item-{number:04}" for number in range(count)]
        self.cap = cap
        self.total = total
        self.ignores_offset = ignores_offset
        self.requests: list[tuple[int, int]] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.fails_at: int | None = None
        self.short_at: int | None = None

    async def fetch(self, offset: int, limit: int) -> Page[str]:
        self.requests.append((offset, limit))
        self.in_flight += 1
        self.most_in_flight = max(self.in_flight, self.most_in_flight)
        try:
            await anyio.sleep(0)
            if offset == self.fails_at:
                raise ConnectionLostError("gone", phase="wait")
            start = 0 if self.ignores_offset else offset
            size = 3 if offset == self.short_at else min(limit, self.cap)
            total = {"right": len(self.items), "none": None, "zero": 0}[self.total]
            return Page(self.items[start : start + size], offset, total)
        finally:
            self.in_flight -= 1


def pager(server: Server, **options: object) -> Pager[str]:
    options.setdefault("key", lambda item: item)
    return Pager(server.fetch, operation=("test.list", "GET", "v3/test"), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100, 101, 999, 1000])
@pytest.mark.parametrize("total", ["right", "none", "zero"])
@pytest.mark.parametrize("concurrency", [1, 8])
async def test_every_item_comes_once_and_in_order(count: int, total: str, concurrency: int) -> None:
    server = Server(count, total=total)
    assert await pager(server, concurrency=concurrency).collect() == server.items


async def test_a_pager_is_awaited_for_the_whole_list_and_says_so_before() -> None:
    server = Server(120)
    listed = pager(server)
    assert repr(listed) == (
        "<Pager of test.list: nothing fetched yet; use `await pager` for the list, or `async for item in pager`>"
    )
    assert not server.requests
    assert await listed == server.items
    assert await listed == server.items


async def test_windows_grow_up_to_the_concurrency_and_no_further() -> None:
    server = Server(2000)
    await pager(server, concurrency=8).collect()
    assert server.most_in_flight == 8
    assert len(server.requests) == 40


async def test_without_a_total_pages_come_one_after_the_other() -> None:
    server = Server(300, total="none")
    await pager(server, concurrency=8).collect()
    assert server.most_in_flight == 1


async def test_the_stride_is_what_the_first_page_held() -> None:
    server = Server(100, cap=20)
    assert await pager(server).collect() == server.items
    assert [offset for offset, _ in server.requests] == [0, 20, 40, 60, 80]


async def test_a_short_page_in_the_middle_is_continued_from_where_it_ended() -> None:
    server = Server(400)
    server.short_at = 100
    assert await pager(server, concurrency=8).collect() == server.items


async def test_a_caller_who_stops_early_has_cost_at_most_as_many_requests_again() -> None:
    for used in range(1, 40):
        server = Server(5000)
        pages = pager(server, concurrency=32).pages()
        for _ in range(used):
            await anext(pages)
        assert len(server.requests) <= 2 * used
        assert server.in_flight == 0


async def test_a_server_that_ignores_offset_but_says_there_is_more_is_an_error() -> None:
    for count in (100, 500):
        server = Server(count, ignores_offset=True)
        with pytest.raises(PaginationError, match=str(count)) as caught:
            await pager(server).collect()
        assert caught.value.operation == "test.list"


async def test_a_server_that_ignores_offset_and_gives_everything_is_complete() -> None:
    server = Server(30, total="none", ignores_offset=True)
    assert await pager(server).collect() == server.items


async def test_items_that_shift_while_paging_are_not_given_twice() -> None:
    server = Server(120)
    seen: list[str] = []
    async for item in pager(server, concurrency=1):
        if len(seen) == 10:
            server.items.insert(0, "newcomer")
        seen.append(item)
    assert len(seen) == len(set(seen))
    assert seen == [item for item in server.items if item != "newcomer"]


async def test_pages_before_a_failing_one_are_delivered_first() -> None:
    server = Server(500)
    server.fails_at = 250
    seen: list[str] = []

    async def listen() -> None:
        async for item in pager(server, concurrency=8):
            seen.append(item)  # noqa: PERF401 - what came before the failure is kept

    with pytest.raises(ConnectionLostError):
        await listen()
    assert seen == server.items[:250]


async def test_iterating_again_fetches_again() -> None:
    server = Server(60)
    listed = pager(server)
    assert await listed.collect() == await listed.collect()
    assert len(server.requests) == 4


async def test_max_items_bounds_items_and_requests() -> None:
    server = Server(1000)
    assert await pager(server, max_items=70).collect() == server.items[:70]
    assert server.requests == [(0, 50), (50, 20)]
    assert await pager(server, max_items=0).collect() == []


async def test_first_is_one_request_for_one_item() -> None:
    server = Server(1000)
    assert await pager(server).first() == "item-0000"
    assert server.requests == [(0, 1)]
    assert await pager(Server(0)).first() is None


async def test_an_offset_skips() -> None:
    server = Server(120)
    assert await pager(server, offset=110).collect() == server.items[110:]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("page_size", 0),
        ("page_size", 51),
        ("page_size", True),
        ("page_size", 1.5),
        ("offset", -1),
        ("max_items", -1),
        ("concurrency", 0),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(argument: str, value: object) -> None:
    with pytest.raises(InvalidArgumentError, match=argument) as caught:
        pager(Server(1), **{argument: value})
    assert caught.value.argument == argument


async def test_without_a_key_equal_neighbours_are_kept_and_a_repeated_page_is_an_error() -> None:
    server = Server(0)
    server.items = ["same"] * 60
    listed: Pager[str] = Pager(server.fetch, operation=("logs.list", "GET", "v3/logs"), key=None)
    assert len(await listed.collect()) == 60
    server = Server(200, ignores_offset=True)
    with pytest.raises(PaginationError):
        await Pager(server.fetch, operation=("logs.list", "GET", "v3/logs"), key=None).collect()


class OlderServer(Server):
    """Knows neither offset nor limit, and refuses them."""

    async def fetch(self, offset: int, limit: int) -> Page[str]:
        raise AssertionError("a legacy server refuses unknown query parameters")

    async def probe(self) -> Page[str]:
        self.requests.append((0, -1))
        return Page(list(self.items), 0, 0 if self.total == "zero" else None)


class NewerServer(Server):
    """Begins with a page of its own choice where it is not told."""

    async def probe(self) -> Page[str]:
        page = await super().fetch(0, self.cap)
        self.requests[-1] = (0, -1)
        return page


def probing(server: OlderServer | NewerServer, **options: object) -> Pager[str]:
    return pager(server, probe=server.probe, **options)


@pytest.mark.parametrize("total", ["none", "zero"])
@pytest.mark.parametrize("count", [0, 1, 120])
async def test_a_probed_list_without_a_total_is_complete(count: int, total: str) -> None:
    server = OlderServer(count, total=total)
    assert await probing(server).collect() == server.items
    assert await probing(server, offset=7, max_items=3, page_size=2).collect() == server.items[7:10]
    assert await probing(server).first() == (server.items[0] if count else None)
    assert server.requests == [(0, -1)] * 3


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 149, 1000])
@pytest.mark.parametrize("offset", [0, 3, 50, 70])
async def test_a_probed_list_with_a_total_goes_on_in_pages(count: int, offset: int) -> None:
    server = NewerServer(count)
    assert await probing(server, offset=offset).collect() == server.items[offset:]
    assert server.requests[0] == (0, -1)
    assert await probing(server, offset=offset).first() == (server.items[offset] if offset < count else None)


async def test_after_the_probe_pages_have_the_size_that_was_asked_for() -> None:
    server = NewerServer(100)
    assert await probing(server, page_size=20, concurrency=1).collect() == server.items
    assert server.requests == [(0, -1), (50, 20), (70, 20), (90, 20)]


@pytest.mark.parametrize("key", [None, str])
async def test_a_full_page_that_is_repeated_without_a_total_is_not_taken_for_the_end(key: object) -> None:
    server = Server(200, total="none", ignores_offset=True)
    with pytest.raises(PaginationError, match="repeats a page"):
        await Pager(server.fetch, operation=("x", "GET", "v3/x"), key=key).collect()  # type: ignore[arg-type]
    everything = Server(30, total="none", ignores_offset=True)
    listed = await Pager(everything.fetch, operation=("x", "GET", "v3/x"), key=key).collect()  # type: ignore[arg-type]
    assert listed == everything.items


async def test_a_probe_that_fails_is_tried_again_by_who_goes_on() -> None:
    class FailsOnce(OlderServer):
        async def probe(self) -> Page[str]:
            page = await super().probe()
            if len(self.requests) == 1:
                raise ConnectionLostError("gone", phase="wait")
            return page

    pages = probing(FailsOnce(3, total="none")).pages()
    with pytest.raises(ConnectionLostError):
        await anext(pages)
    assert (await anext(pages)).items == ["item-0000", "item-0001", "item-0002"]


async def test_a_short_page_of_what_was_there_is_not_taken_for_the_end_where_the_list_has_shifted() -> None:
    server = Server(9, total="none", cap=3)
    seen: list[str] = []
    async for item in pager(server, concurrency=1):
        if item == "item-0004":  # as many as a page holds, and one more
            server.items[:0] = ["a", "b", "c", "d"]
        seen.append(item)
    assert seen == [f"item-{number:04}" for number in range(9)]


@pytest.mark.parametrize("key", [True, False])
@pytest.mark.parametrize("workers", [2, 7, 300])
async def test_workers_that_share_an_iterator_share_its_items(workers: int, key: bool) -> None:
    server = Server(237)
    shared = aiter(pager(server) if key else pager(server, key=None))
    taken: list[str] = []

    async def work() -> None:
        async for item in shared:
            taken.append(item)
            await anyio.sleep(0)

    async with anyio.create_task_group() as tasks:
        for _ in range(workers):
            tasks.start_soon(work)
    assert sorted(taken) == server.items
    assert len(server.requests) == 5


async def test_workers_that_share_the_pages_get_each_once() -> None:
    server = Server(237)
    shared = pager(server).pages()
    taken: list[int] = []

    async def work() -> None:
        taken.extend([page.offset async for page in shared])

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(work)
    assert sorted(taken) == [0, 50, 100, 150, 200]
