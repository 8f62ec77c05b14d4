"""A store of one's own with a mistake ends collecting with one error that names it, and what was polled is stored."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from enapter_async import EnapterClient, SelectionError, StorageError
from enapter_async.collector import (
    Collector,
    Gap,
    GapNotingStore,
    JournaledStore,
    LineStore,
    SqliteStore,
    Store,
    StoreMethodError,
    opened_store,
    repair_gaps,
)
from enapter_async.rows import Row, parse_time
from enapter_async.simulator import Simulator
from tests.collector.platform import SECOND, START, read_journal, read_rows
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio

GAP = Gap(device_id=None, start=START * SECOND, before=(START + 5) * SECOND, reason="test")
UNSELECTED = Gap(device_id="not collected", start=START * SECOND, before=(START + 5) * SECOND, reason="test")


def list_methods(protocol: type) -> set[str]:
    names = {name for base in protocol.__mro__ for name, value in vars(base).items() if callable(value)}
    return names - {name for name in names if name.startswith("_")}


class Faulty:
    """Makes methods of a store fail from some time on."""

    faults: Mapping[str, Callable[..., Any]] = {}

    def __getattribute__(self, name: str) -> Any:
        faults = object.__getattribute__(self, "faults")
        return faults[name] if name in faults else object.__getattribute__(self, name)


class Journaled(Faulty, SqliteStore):
    pass


class Noting(Faulty, LineStore):
    pass


async def fail(*_: object, **__: object) -> None:
    raise RuntimeError("boom")


def fail_at_once(*_: object, **__: object) -> None:
    """Not async."""


async def return_nothing(*_: object, **__: object) -> None:
    pass


async def raise_unicode_error(*_: object, **__: object) -> None:
    b"\xff".decode()


async def raise_another_error_of_ours(*_: object, **__: object) -> None:
    raise SelectionError("there is no such device")


async def await_a_cancelled_future(*_: object, **__: object) -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


MISTAKES: list[tuple[Callable[..., Any], type[BaseException]]] = [
    (await_a_cancelled_future, asyncio.CancelledError),
    (fail, RuntimeError),
    (raise_unicode_error, UnicodeDecodeError),
    (raise_another_error_of_ours, SelectionError),
    (fail_at_once, TypeError),
]


async def collect(store: Any, method: str, mistake: Callable[..., Any]) -> tuple[Collector, list[Row], Exception]:
    """Collect until the store raises in the middle of the run. Each of its methods is used in the meantime."""
    received: list[Row] = []
    async with Simulator(devices=4) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        collector = Collector(client, store, interval=0.1, rediscover=0.1, on_rows=received.extend)
        first, *_ = [device.id async for device in client.devices.list()]
        back = sim.world.devices.find(first)
        assert back is not None
        await client.devices.delete(first)
        await store.write([(first, "collected before", int(time.time() - 60) * SECOND, 1.0, None, None)])
        await store.__aexit__(None, None, None)
        await store.__aenter__()  # files know the rows that they had when they were opened

        async def provoke() -> None:
            await wait_until(lambda: collector.statistics.rows)
            store.faults = {method: mistake}
            sim.world.devices.add(back)  # read_newest, note_gaps
            if isinstance(store, JournaledStore):
                await SqliteStore.commit(store, (), note=[GAP])  # read_gaps, read_keys

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(provoke)
            with pytest.raises(Exception) as raised, anyio.fail_after(30):  # noqa: PT011 - judged below
                await collector.run()
            tasks.cancel_scope.cancel()
    return collector, received, raised.value


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enapter_async.collector.collector._FIRST_MARK_SECONDS", 0.1)
    monkeypatch.setattr("enapter_async.collector._repairer._LOOK_SECONDS", 0.1)


def judge(error: Exception, store: Store, method: str, cause: type[BaseException]) -> None:
    assert type(error) is StoreMethodError
    assert isinstance(error, StorageError)
    assert not error.temporary
    assert (error.store, error.method) == (type(store).__name__, method)
    assert f"{type(store).__name__}.{method}" in str(error)
    assert isinstance(error.__cause__, cause)


@pytest.mark.parametrize(("mistake", "cause"), MISTAKES)
@pytest.mark.parametrize("method", sorted(list_methods(JournaledStore) - {"write"}))
async def test_a_mistake_in_a_store_with_a_journal(
    database: Path, method: str, mistake: Callable[..., Any], cause: type[BaseException]
) -> None:
    async with Journaled(database) as store:
        await store.commit((), note=[UNSELECTED])
        collector, received, error = await collect(store, method, mistake)
        store.faults = {}
    judge(error, store, method, cause)
    noted = [start for _, start, *_ in read_journal(database)]
    assert noted.count("2026-03-14T09:20:00Z") >= 1
    stored = {row[:3] for row in read_rows(database)}
    assert stored
    lost = {row[:3] for row in received} - stored
    assert method == "commit" or not lost
    assert len(lost) <= collector.statistics.waiting


@pytest.mark.parametrize(("mistake", "cause"), MISTAKES)
@pytest.mark.parametrize("method", sorted(list_methods(GapNotingStore)))
async def test_a_mistake_in_a_store_that_notes_gaps(
    tmp_path: Path, method: str, mistake: Callable[..., Any], cause: type[BaseException]
) -> None:
    async with Noting(tmp_path / "t.jsonl", "jsonl") as store:
        collector, received, error = await collect(store, method, mistake)
        store.faults = {}
    judge(error, store, method, cause)
    lines = (tmp_path / "t.jsonl").read_text(encoding="utf-8").splitlines()
    stored = {(row["device_id"], row["attribute"], parse_time(row["time"])) for row in map(json.loads, lines)}
    assert stored
    lost = {row[:3] for row in received} - stored
    assert method != "read_newest" or not lost
    assert len(lost) <= collector.statistics.waiting


@pytest.mark.parametrize("method", sorted(list_methods(JournaledStore) - {"write", "mark"}))
async def test_a_result_of_another_type(database: Path, method: str) -> None:
    async with Journaled(database) as store:
        _, _, error = await collect(store, method, return_nothing)
        store.faults = {}
    judge(error, store, method, TypeError)


@pytest.mark.parametrize("method", ["read_newest", "mark", "commit"])
async def test_a_mistake_at_the_start_is_not_retried(database: Path, method: str) -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with Journaled(database) as store:
            (device, *_) = (await Collector(client, store).discover()).units
            await store.mark({device: START * SECOND})
            store.faults = {method: fail}
            with pytest.raises(StoreMethodError) as raised, anyio.fail_after(20):
                await Collector(client, store, wait=True).run()
            store.faults = {}
    judge(raised.value, store, method, RuntimeError)


@pytest.mark.parametrize(("mistake", "cause"), MISTAKES)
@pytest.mark.parametrize("method", ["read_gaps", "read_keys", "commit"])
async def test_a_mistake_ends_a_repair(
    database: Path, method: str, mistake: Callable[..., Any], cause: type[BaseException]
) -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with Journaled(database) as store:
            await store.commit((), note=[GAP])
            store.faults = {method: mistake}
            with pytest.raises(StoreMethodError) as raised, anyio.fail_after(20):
                await repair_gaps(client, store)
            store.faults = {}
    judge(raised.value, store, method, cause)
    assert len(read_journal(database)) == 1


@pytest.mark.parametrize("method", ["__aenter__", "__aexit__"])
async def test_a_mistake_while_opening_or_closing(method: str) -> None:
    class Own:
        async def __aenter__(self) -> None:
            if method == "__aenter__":
                raise KeyError("path")

        async def __aexit__(self, *_: object) -> None:
            if method == "__aexit__":
                raise KeyError("path")

        async def write(self, rows: object) -> int:
            return 0

    store: Any = Own()
    with pytest.raises(StoreMethodError) as raised, anyio.fail_after(20):
        async with opened_store(store, wait=True):
            pass
    judge(raised.value, store, method, KeyError)


class OneAtATime(SqliteStore):
    """Notices when a method is called while another one runs."""

    running: int = 0
    most: int = 0
    names: frozenset[str] = frozenset(list_methods(JournaledStore) | {"reopen"})

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        if name not in object.__getattribute__(self, "names"):
            return found

        async def call(*arguments: object, **named: object) -> Any:
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                await anyio.sleep(0.005)
                return await found(*arguments, **named)
            finally:
                self.running -= 1

        return call

    async def write(self, rows: Sequence[Row]) -> int:
        raise AssertionError("`commit` writes rows and gaps together")


async def test_one_method_is_called_at_a_time(database: Path) -> None:
    async with Simulator(devices=4) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with OneAtATime(database) as store:
            await store.commit((), note=[GAP])
            collector = Collector(client, store, interval=0.05)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collector.run)
                await wait_until(lambda: collector.statistics.rows)
                for _ in range(20):
                    collector.reopen()
                    await anyio.sleep(0.02)
                await wait_until(lambda: collector.statistics.rows_filled)
                collector.stop()
    assert store.most == 1


async def test_an_error_of_the_store_itself_is_kept(database: Path) -> None:
    async def lose(*_: object, **__: object) -> None:
        raise StorageError("own", "the disk is gone")

    async with Journaled(database) as store:
        _, _, error = await collect(store, "commit", lose)
        store.faults = {}
    assert type(error) is StorageError
    assert str(error) == "own: the disk is gone"
