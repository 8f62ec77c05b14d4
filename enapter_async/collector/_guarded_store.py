"""Guards against mistakes in a user's own store. Each is raised as one error that names the method."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Final, Self, TypeVar, cast

import anyio

from enapter_async._arguments import describe_value, read_whole_number
from enapter_async.collector.gaps import Gap
from enapter_async.collector.store import GapNotingStore, JournaledStore, RowKey, Store, StoreMethodError
from enapter_async.errors import StorageError
from enapter_async.rows import Row

T = TypeVar("T")

_COUNT: Final = "the number of new rows"
_TIMES: Final = "a mapping from device to time"
_KEYS: Final = "a collection of (device, attribute, time)"


class GuardedStore:
    """Calls one method of another store at a time.

    Anything that a method raises, except `StorageError`, becomes a `StoreMethodError`. The same error is
    raised for a method that is not async, or that does not return what the protocol requires.

    Attributes:
        lock: Held while a method runs.
    """

    def __init__(self, store: Store) -> None:
        """Set the store."""
        self.lock: anyio.Lock = anyio.Lock(fast_acquire=True)
        self._store = store
        self._name = type(store).__name__

    async def __aenter__(self) -> Self:
        await self._call("__aenter__", self._store.__aenter__)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._call("__aexit__", lambda: self._store.__aexit__(exc_type, exc, traceback))

    async def write(self, rows: Sequence[Row]) -> int:
        return int(await self._call("write", lambda: self._store.write(rows), _is_count, _COUNT))

    async def _call(
        self,
        method: str,
        call: Callable[[], Awaitable[T]],
        is_valid: Callable[[object], bool] = lambda _: True,
        expected: str = "",
    ) -> T:
        """Await a method, and check its result."""
        try:
            async with self.lock:
                awaitable = call()
                if not inspect.isawaitable(awaitable):
                    raise _MistakeError("must be an async method")
                result = await awaitable
            if not is_valid(result):
                raise _MistakeError(f"must return {expected}, got {describe_value(result)}")
        except StorageError:
            raise
        except asyncio.CancelledError as error:
            # Without a request to cancel, something that the method awaited was cancelled.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise StoreMethodError(self._name, method, "raised CancelledError, but was not cancelled") from error
        except _MistakeError as error:
            raise StoreMethodError(self._name, method, str(error)) from error
        except Exception as error:
            text = f": {error}" if str(error) else ""
            raise StoreMethodError(self._name, method, f"raised {type(error).__name__}{text}") from error
        return result


class _GuardedGapNotingStore(GuardedStore):
    def __init__(self, store: GapNotingStore) -> None:
        super().__init__(store)
        self._notes = store

    async def read_newest(self, devices: Collection[str], before: int) -> Mapping[str, int]:
        return await self._call("read_newest", lambda: self._notes.read_newest(devices, before), _is_mapping, _TIMES)

    async def note_gaps(self, gaps: Sequence[Gap]) -> None:
        await self._call("note_gaps", lambda: self._notes.note_gaps(gaps))


class _GuardedJournaledStore(GuardedStore):
    def __init__(self, store: JournaledStore) -> None:
        super().__init__(store)
        self._journal = store

    async def read_newest(self, devices: Collection[str] | None, before: int) -> Mapping[str, int]:
        return await self._call("read_newest", lambda: self._journal.read_newest(devices, before), _is_mapping, _TIMES)

    async def mark(self, reached: Mapping[str, int]) -> None:
        await self._call("mark", lambda: self._journal.mark(reached))

    async def read_gaps(self) -> list[Gap]:
        return await self._call("read_gaps", self._journal.read_gaps, _are_gaps, "a list of gaps")

    async def read_keys(self, devices: Collection[str], start: int, before: int) -> Collection[RowKey]:
        return await self._call(
            "read_keys", lambda: self._journal.read_keys(devices, start, before), _is_collection, _KEYS
        )

    async def commit(
        self, rows: Sequence[Row], *, note: Sequence[Gap] = (), replace: Mapping[int, Sequence[Gap]] | None = None
    ) -> int:
        return int(
            await self._call(
                "commit", lambda: self._journal.commit(rows, note=note, replace=replace), _is_count, _COUNT
            )
        )


def guard_store(store: Store) -> GuardedStore:
    """Return a store of the same kind that calls this one: one with a journal, one that notes gaps, or one for rows."""
    if isinstance(store, JournaledStore):
        return _GuardedJournaledStore(store)
    return _GuardedGapNotingStore(store) if isinstance(store, GapNotingStore) else GuardedStore(store)


def guard_journal(store: JournaledStore) -> JournaledStore:
    """Return a store with a journal that calls this one."""
    return _GuardedJournaledStore(store)


class _MistakeError(TypeError):
    """A method does not do what the protocol says."""


def _is_count(found: object) -> bool:
    return read_whole_number(found) is not None


def _is_mapping(found: object) -> bool:
    return isinstance(found, Mapping)


def _is_collection(found: object) -> bool:
    return isinstance(found, Collection)


def _are_gaps(found: object) -> bool:
    return isinstance(found, list) and all(isinstance(gap, Gap) for gap in cast("list[object]", found))
