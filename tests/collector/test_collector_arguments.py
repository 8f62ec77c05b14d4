"""A wrong argument of the collector and of an export is refused by name before anything is sent, read or written."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest

from enapter_async import EnapterClient, InvalidArgumentError
from enapter_async.collector import (
    Collector,
    LineStore,
    Selection,
    Shard,
    SqliteStore,
    StoreMethodError,
    make_store,
    opened_store,
    repair_gaps,
)
from enapter_async.collector.stores.postgres import PostgresStore
from enapter_async.exporter import (
    ExportRequest,
    HistoryExport,
    export_history,
    export_to_store,
    select_devices,
)
from enapter_async.rows import Row
from enapter_async.simulator import Simulator
from tests.recorder import Recorder

pytestmark = pytest.mark.anyio

REQUEST = ExportRequest(start=timedelta(hours=1))


async def answer_later(*_: object) -> None:
    """An async callback, which nothing would await."""


class AnswersLater:
    async def __call__(self, _: object) -> None:
        pass


OBJECT: Any = object()
NUMBERS: list[Any] = [5, math.nan, True]
WRONG: list[Any] = [None, "", "x", b"x", [], [5], {}, OBJECT, answer_later, timedelta(-1)]
CALLBACKS: list[Any] = [answer_later, partial(answer_later, 1), AnswersLater(), lambda: None]
FLAGS = [*NUMBERS[:2], *WRONG]
SECONDS = [*NUMBERS[1:], *WRONG, -1]
COLLECTOR: dict[str, list[Any]] = {
    "client": [*NUMBERS, *WRONG, EnapterClient],
    "store": [*NUMBERS, *WRONG, SqliteStore],
    "selection": [*NUMBERS, *WRONG[1:], Selection],
    "interval": [*SECONDS, 0, timedelta(0), 86_400, math.inf],
    "repair": FLAGS,
    "wait": FLAGS,
    "rediscover": [*SECONDS, 0],
    "on_event": [*NUMBERS, *WRONG[1:], *CALLBACKS],
    "on_rows": [*NUMBERS, *WRONG[1:], *CALLBACKS],
}
REPAIR: dict[str, list[Any]] = {
    name: COLLECTOR[name] for name in ("client", "store", "selection", "interval", "on_event")
}
EXPORT: dict[str, list[Any]] = {
    "client": COLLECTOR["client"],
    "request": [*NUMBERS, *WRONG, ExportRequest],
    "concurrency": [*NUMBERS[1:], *WRONG, 0, 1.5, math.inf],
}
NAMES: list[Any] = [*NUMBERS, None, "x", b"x", [""], [5], OBJECT, answer_later]


@asynccontextmanager
async def refused(argument: str, value: object, recorder: Recorder) -> AsyncIterator[None]:
    with pytest.raises(InvalidArgumentError) as caught:
        yield
    assert caught.value.argument == argument, (value, str(caught.value))
    assert str(caught.value).isprintable()
    assert recorder.received == []


@pytest.mark.parametrize("argument", COLLECTOR)
async def test_a_collector_refuses_it(argument: str, client: EnapterClient, recorder: Recorder, database: Path) -> None:
    for value in COLLECTOR[argument]:
        async with refused(argument, value, recorder):
            Collector(**{"client": client, "store": SqliteStore(database), argument: value})


async def test_a_collector_refuses_an_odd_time_to_run(
    client: EnapterClient, recorder: Recorder, database: Path
) -> None:
    for value in [*SECONDS[:2], *WRONG[1:], -1]:
        async with refused("seconds", value, recorder):
            await Collector(client, SqliteStore(database)).run(seconds=value)


@pytest.mark.parametrize("argument", REPAIR)
async def test_a_repair_refuses_it(argument: str, client: EnapterClient, recorder: Recorder, database: Path) -> None:
    for value in REPAIR[argument]:
        async with refused(argument, value, recorder):
            await repair_gaps(**{"client": client, "store": SqliteStore(database), argument: value})


async def test_a_repair_needs_a_journal(client: EnapterClient, recorder: Recorder, tmp_path: Path) -> None:
    store: Any = LineStore(tmp_path / "telemetry.csv", "csv")
    async with refused("store", store, recorder):
        await repair_gaps(client, store)


@pytest.mark.parametrize(
    ("argument", "values"),
    [("store", COLLECTOR["store"]), ("wait", FLAGS), ("on_event", [*NUMBERS, *WRONG, *CALLBACKS])],
)
async def test_nothing_is_opened_with_it(argument: str, values: list[Any], recorder: Recorder, database: Path) -> None:
    for value in values:
        given: dict[str, Any] = {"store": SqliteStore(database), "wait": False, argument: value}
        async with refused(argument, value, recorder), opened_store(**given):
            pass
    assert not database.exists()


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        *EXPORT.items(),
        ("target", [*NUMBERS, None, "", b"x", [], OBJECT, "a\0b"]),
        ("file_format", FLAGS[:1] + WRONG[1:]),
    ],
)
async def test_an_export_to_a_file_refuses_it(
    argument: str, values: list[Any], client: EnapterClient, recorder: Recorder, tmp_path: Path
) -> None:
    for value in values:
        given: dict[str, Any] = {"client": client, "target": tmp_path / "h.csv", "request": REQUEST, argument: value}
        async with refused(argument, value, recorder):
            await export_history(**given)
    assert list(tmp_path.iterdir()) == []


async def test_an_export_needs_the_name_of_its_source(recorder: Recorder, tmp_path: Path) -> None:
    for value in [*NUMBERS, *WRONG[:2], *WRONG[3:]]:
        async with refused("source", value, recorder):
            HistoryExport(tmp_path / "h.csv", REQUEST, source=value)


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        *EXPORT.items(),
        ("store", COLLECTOR["store"]),
        ("source", [*NUMBERS, "", b"x", [], OBJECT]),
        ("on_progress", [*NUMBERS, *WRONG, lambda _: None]),
        ("on_resume", [*NUMBERS, *WRONG, lambda _: None]),
    ],
)
async def test_an_export_to_a_store_refuses_it(
    argument: str, values: list[Any], client: EnapterClient, recorder: Recorder, database: Path
) -> None:
    for value in values:
        given: dict[str, Any] = {"client": client, "store": SqliteStore(database), "request": REQUEST, argument: value}
        async with refused(argument, value, recorder):
            await export_to_store(**given)


@pytest.mark.parametrize(("argument", "values"), [("devices", NAMES), ("attributes", [*NAMES, [], ""])])
async def test_devices_are_selected_by_a_list_of_names(
    argument: str, values: list[Any], client: EnapterClient, recorder: Recorder
) -> None:
    for value in values:
        async with refused(argument, value, recorder):
            await select_devices(client, **{argument: value})


@pytest.mark.parametrize(
    ("argument", "values"),
    [("granularity", [0, 1.5, timedelta(0)]), ("window", [0, timedelta(0)]), ("aggregation", ["", " "])],
)
async def test_a_request_for_an_export_refuses_it(argument: str, values: list[Any], recorder: Recorder) -> None:
    for value in values:
        async with refused(argument, value, recorder):
            ExportRequest(**{"start": timedelta(hours=1), argument: value})


async def test_a_selection_of_no_device_is_a_mistake(recorder: Recorder) -> None:
    for nothing in ([], (), {}):
        async with refused("devices", nothing, recorder):
            Selection(devices=nothing)


async def test_a_shard_is_one_of_at_least_one(recorder: Recorder) -> None:
    for index in (0, -1, 3):
        async with refused("shard", index, recorder):
            Shard(index, 2)
    for index in (1.5, "1", None):
        async with refused("index", index, recorder):
            Shard(index, 2)  # type: ignore[arg-type]
    for count in (1.5, "2", None):
        async with refused("count", count, recorder):
            Shard(1, count)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [make_store, PostgresStore])
def test_an_address_in_bytes_is_refused_without_its_password(make: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="must be a string") as caught:
        make(b"postgresql://u:hunter2@h/d")
    assert "hunter2" not in str(caught.value)


# -- mistakes in a store of one's own, which only a call can reveal --------------


class OwnStore:
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


class WritesAtOnce(OwnStore):
    def write(self, rows: Sequence[Row]) -> int:
        return len(rows)


class ReturnsNothing(OwnStore):
    async def write(self, rows: Sequence[Row]) -> None:
        pass


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (WritesAtOnce, "WritesAtOnce.write must be an async method"),
        (ReturnsNothing, r"ReturnsNothing.write must return the number of new rows, got None \(NoneType\)"),
    ],
)
async def test_a_mistake_in_an_own_store_is_named(make: Any, message: str) -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client, make() as store:
        with pytest.raises(StoreMethodError, match=message) as raised:
            await Collector(client, store, interval=0.1).run(seconds=5)
    assert isinstance(raised.value.__cause__, TypeError)
