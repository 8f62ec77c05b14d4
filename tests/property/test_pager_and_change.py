"""A list that changes while it is paged: what was there all the time comes, nothing comes twice, and it ends."""

from __future__ import annotations

import asyncio

import attrs
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.errors import PaginationError
from enapter_async.pagination import Page, Pager


@attrs.frozen
class Change:
    """What happens to the list before a request is answered."""

    insert: bool
    place: int


CHANGES = st.lists(st.none() | st.builds(Change, st.booleans(), st.integers(0, 300)), max_size=40)
INSERTIONS = st.lists(st.none() | st.builds(Change, st.just(value=True), st.integers(0, 300)), max_size=40)


class Server:
    """Changes its list, one step for each request, and answers by what it is then."""

    def __init__(self, count: int, cap: int, changes: list[Change | None], *, total: str) -> None:
        self.items = list(range(count))
        self.always = set(self.items)
        self.cap = cap
        self.changes = list(changes)
        self.total = total
        self.newest = count
        self.requests = 0

    async def fetch(self, offset: int, limit: int) -> Page[int]:
        self.requests += 1
        assert self.requests < 2000, "it does not end"
        change = self.changes.pop(0) if self.changes else None
        if change is not None and change.insert:
            self.items.insert(min(change.place, len(self.items)), self.newest)
            self.newest += 1
        elif change is not None and self.items:
            self.always.discard(self.items.pop(min(change.place, len(self.items) - 1)))
        await asyncio.sleep(0)
        items = self.items[offset : offset + min(limit, self.cap)]
        return Page(items, offset, len(self.items) if self.total == "told" else None)


def collected(server: Server, **options: int) -> list[int] | None:
    """Return the items, None where the pager refused to go on."""

    async def run() -> list[int]:
        pager = Pager(server.fetch, operation=("x", "GET", "v3/x"), key=lambda item: item, **options)  # type: ignore[arg-type]
        return await pager.collect()

    try:
        return asyncio.run(run())
    except PaginationError:
        return None


LISTS = {
    "count": st.integers(0, 200),
    "cap": st.integers(1, 50),
    "page_size": st.integers(1, 50),
    "concurrency": st.integers(1, 8),
    "total": st.sampled_from(["told", "not told"]),
}


@given(changes=CHANGES, **LISTS)
def test_nothing_comes_twice_and_it_ends(
    count: int, cap: int, page_size: int, concurrency: int, total: str, changes: list[Change | None]
) -> None:
    server = Server(count, cap, changes, total=total)
    items = collected(server, page_size=page_size, concurrency=concurrency)
    if items is not None:
        assert len(items) == len(set(items))
        assert set(items) <= set(range(server.newest))


@given(changes=INSERTIONS, **LISTS)
def test_while_items_are_only_added_nothing_that_was_there_is_missed(
    count: int, cap: int, page_size: int, concurrency: int, total: str, changes: list[Change | None]
) -> None:
    # A page of one item that moves on by one looks as if the server ignored the offset.
    server = Server(count, max(cap, 2), changes, total=total)
    items = collected(server, page_size=max(page_size, 2), concurrency=concurrency)
    if items is not None:
        assert server.always <= set(items)


@given(**LISTS)
def test_a_list_that_rests_is_complete_and_in_order(
    count: int, cap: int, page_size: int, concurrency: int, total: str
) -> None:
    server = Server(count, cap, [], total=total)
    assert collected(server, page_size=page_size, concurrency=concurrency) == list(range(count))


@given(offset=st.integers(0, 220), max_items=st.integers(0, 220), **LISTS)
def test_a_part_of_a_list_that_rests(
    count: int, cap: int, page_size: int, concurrency: int, total: str, offset: int, max_items: int
) -> None:
    server = Server(count, cap, [], total=total)
    part = collected(server, page_size=page_size, concurrency=concurrency, offset=offset, max_items=max_items)
    assert part == list(range(count))[offset : offset + max_items]
