"""Lazy lists. Pages are fetched concurrently and deduplicated, and a list is never silently truncated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Hashable
from typing import Any, Final, Generic, TypeAlias, TypeVar

import anyio
import attrs

from enapter_async._arguments import require_whole_number
from enapter_async._protocol.page_verdict import PageVerdict, Rest, judge_new_page, judge_repeated_page
from enapter_async._protocol.query import MAX_PAGE_SIZE
from enapter_async.errors import EnapterError, PaginationError

T = TypeVar("T")

DEFAULT_CONCURRENCY: Final = 32

FetchPage: TypeAlias = "Callable[[int, int], Awaitable[Page[T]]]"
"""Fetches one page, given offset and limit."""

Probe: TypeAlias = "Callable[[], Awaitable[Page[T]]]"
"""Fetches the beginning of a list without offset and limit."""


@attrs.frozen
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        items: Items of the page, without those that an earlier page already had.
        offset: Position of the page in the list.
        total_count: Total number of items as reported by the server, if it does.
    """

    items: list[T]
    offset: int
    total_count: int | None


class Pager(Generic[T]):
    """A list that is fetched while you iterate it. Iterating again fetches it again.

    Use `async for item in pager` for items, `async for page in pager.pages()` for pages, `await pager` or `await
    pager.collect()` for the whole list, and `await pager.first()` for the first item. After an early `break` nothing
    keeps running. Tasks can share one iterator: each item goes to one of them.
    """

    def __init__(
        self,
        fetch: FetchPage[T],
        *,
        operation: tuple[str, str, str],
        key: Callable[[T], Hashable] | None,
        page_size: int | None = None,
        offset: int = 0,
        max_items: int | None = None,
        concurrency: int | None = None,
        default_concurrency: int = DEFAULT_CONCURRENCY,
        probe: Probe[T] | None = None,
    ) -> None:
        """Create a pager. Nothing is fetched yet.

        Args:
            fetch: Fetches one page.
            operation: Name, method and path, for errors.
            key: Returns the identity of an item. None for items without one (logs), which are not deduplicated.
            page_size: Items per request, 1 to 50.
            offset: Number of items to skip.
            max_items: Maximum number of items to return.
            concurrency: Maximum number of pages requested at once. 1 requests them one after another.
            default_concurrency: Default of `concurrency`.
            probe: Sends the first request, for servers that may not support offset and limit (legacy rule engines).
                If its page has no `total_count`, or 0, it is the whole list.

        Raises:
            InvalidArgumentError: A number is out of range.
        """
        self._fetch = fetch
        self._operation = operation
        self._key = key
        self._page_size = MAX_PAGE_SIZE
        if page_size is not None:
            self._page_size = require_whole_number(page_size, "page_size", 1, MAX_PAGE_SIZE)
        self._offset = require_whole_number(offset, "offset", 0)
        self._max_items = None if max_items is None else require_whole_number(max_items, "max_items", 0)
        self._concurrency = default_concurrency
        if concurrency is not None:
            self._concurrency = require_whole_number(concurrency, "concurrency", 1)
        self._probe = probe

    def __aiter__(self) -> AsyncIterator[T]:
        return _Items(self.pages())

    def __await__(self) -> Generator[Any, None, list[T]]:
        return self.collect().__await__()

    def __repr__(self) -> str:
        name = self._operation[0]
        return f"<Pager of {name}: nothing fetched yet; use `await pager` for the list, or `async for item in pager`>"

    def pages(self) -> AsyncIterator[Page[T]]:
        """Return an iterator over the pages."""
        return _Pages(
            self._fetch,
            operation=self._operation,
            key=self._key,
            limit=self._page_size,
            offset=self._offset,
            max_items=self._max_items,
            concurrency=self._concurrency,
            probe=self._probe,
        )

    async def collect(self) -> list[T]:
        """Return all items."""
        items: list[T] = []
        async for page in self.pages():
            items.extend(page.items)
        return items

    async def first(self) -> T | None:
        """Return the first item, or None if the list is empty. Sends one request, or at most two with an offset."""
        if self._probe is not None:
            return await anext(aiter(self), None)
        page = await self._fetch(self._offset, 1) if self._max_items != 0 else None
        return page.items[0] if page is not None and page.items else None


class _Items(AsyncIterator[T]):
    """Items of pages, one by one. Tasks that share it get different items."""

    def __init__(self, pages: AsyncIterator[Page[T]]) -> None:
        self._pages = pages
        self._lock = asyncio.Lock()
        self._items: list[T] = []
        self._position = 0

    async def __anext__(self) -> T:
        while self._position >= len(self._items):
            await self._turn()
        item = self._items[self._position]
        self._position += 1
        return item

    async def _turn(self) -> None:
        async with self._lock:
            if self._position >= len(self._items):  # otherwise another task fetched the page in the meantime
                self._items = (await anext(self._pages)).items
                self._position = 0


class _Pages(AsyncIterator[Page[T]]):
    """The pages of one iteration. Several are fetched within one `__anext__`, and no task outlives it."""

    def __init__(
        self,
        fetch: FetchPage[T],
        *,
        operation: tuple[str, str, str],
        key: Callable[[T], Hashable] | None,
        limit: int,
        offset: int,
        max_items: int | None,
        concurrency: int,
        probe: Probe[T] | None,
    ) -> None:
        self._lock = asyncio.Lock()
        self._fetch = fetch
        self._operation = operation
        self._key = key
        self._limit = limit
        self._next_offset = offset
        self._left = max_items
        self._concurrency = concurrency
        self._probe = probe
        self._probed: Page[T] | None = None
        self._window = 1
        self._stride: int | None = None
        self._total: int | None = None
        self._ready: list[Page[T] | EnapterError] = []
        self._seen: set[Hashable] = set()
        self._last: list[T] = []
        self._shifted = False
        self._ended = max_items == 0

    async def __anext__(self) -> Page[T]:
        async with self._lock:
            return await self._next()

    async def _next(self) -> Page[T]:
        while True:
            if self._ended:
                raise StopAsyncIteration
            if not self._ready:
                await self._fetch_more()
                continue
            result = self._ready.pop(0)
            if isinstance(result, EnapterError):
                self._ended = True
                raise result
            page = self._accepted(result)
            if page.items:
                return page

    async def _fetch_more(self) -> None:
        if self._probe is None:
            await self._fetch_window()
            return
        whole = await self._probe()
        self._probe = None
        skipped = self._next_offset
        if whole.total_count and skipped >= len(whole.items):
            return  # the server supports pages, and the requested items are not on the first
        self._probed = Page(whole.items[skipped:], skipped, whole.total_count)
        self._ready.append(self._probed)

    async def _fetch_window(self) -> None:
        step = self._stride or self._limit
        offsets = [self._next_offset + index * step for index in range(self._pages_wanted(step))]
        self._window = min(2 * self._window, self._concurrency)
        if len(offsets) == 1:
            self._ready.append(await self._fetch(offsets[0], self._first_limit(step)))
            return
        results: list[Page[T] | EnapterError | None] = [None] * len(offsets)

        async def fetch(index: int) -> None:
            try:
                results[index] = await self._fetch(offsets[index], step)
            except EnapterError as error:
                results[index] = error
                # Later pages would never be returned.
                for scope in scopes[index + 1 :]:
                    scope.cancel()

        scopes = [anyio.CancelScope() for _ in offsets]

        async def scoped(index: int) -> None:
            with scopes[index]:
                await fetch(index)

        async with anyio.create_task_group() as tasks:
            for index in range(len(offsets)):
                tasks.start_soon(scoped, index)
        for result in results:
            if result is None:
                break
            self._ready.append(result)

    def _pages_wanted(self, step: int) -> int:
        if self._stride is None or self._total is None:
            return 1
        left = self._total - self._next_offset
        if self._left is not None:
            left = min(left, self._left)
        return max(1, min(self._window, -(-left // step)))

    def _first_limit(self, step: int) -> int:
        return step if self._left is None else min(step, self._left)

    def _accepted(self, page: Page[T]) -> Page[T]:
        received = len(page.items)
        if page.total_count:
            self._total = page.total_count
        fresh = self._unseen(page.items)
        end = page.offset + received
        verdict = self._judge(page, fresh, end)
        if verdict.is_error:
            reason = verdict.value.format(total=self._total)
            raise PaginationError(f"the server repeats a page {reason}").located(*self._operation)
        if self._stride is None and page is not self._probed:
            self._stride = received
        if received != self._stride:
            # A page of another length: continue from its end, not from the end of a full page.
            self._ready.clear()
            self._window = 1
        self._next_offset = end
        self._last = page.items
        self._shifted = verdict is PageVerdict.SHIFTED
        if self._left is not None:
            fresh = fresh[: self._left]
            self._left -= len(fresh)
        self._ended = verdict is PageVerdict.END or self._left == 0
        return Page(fresh, page.offset, page.total_count)

    def _judge(self, page: Page[T], fresh: list[T], end: int) -> PageVerdict:
        if not page.items:
            return PageVerdict.END
        if fresh:
            return judge_new_page(self._rest(end), is_whole_list=page is self._probed)
        key = self._key
        return judge_repeated_page(
            self._rest(0 if key is None else len(self._seen)),
            moved=key is not None and [key(item) for item in page.items] != [key(item) for item in self._last],
            after_shifted=self._shifted,
            is_full=self._stride == self._limit,
        )

    def _rest(self, known: int) -> Rest:
        """Return whether more items follow, according to the server's count."""
        if self._total is None:
            return "unknown"
        return "some" if known < self._total else "none"

    def _unseen(self, items: list[T]) -> list[T]:
        if self._key is None:
            return [] if items == self._last else items
        fresh: list[T] = []
        for item in items:
            key = self._key(item)
            if key not in self._seen:
                self._seen.add(key)
                fresh.append(item)
        return fresh
