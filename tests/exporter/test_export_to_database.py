"""History into a database: the rows that a file would have, once each."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import anyio
import attrs
import pytest
from plant import plant

from enapter_async import EnapterClient, InvalidArgumentError, ServerError, StorageError
from enapter_async.exporter import ExportRequest, export_history, export_to_store
from enapter_async.rows import Row, parse_time
from enapter_async.simulator import Fault, Simulator

pytestmark = pytest.mark.anyio


class Memory:
    """A store that is away as often as it is told."""

    def __init__(self, away: int = 0, *, temporary: bool = True) -> None:
        self.rows: dict[tuple[str, str, int], Row] = {}
        self.temporary = temporary
        self._away = away

    async def write(self, rows: Sequence[Row]) -> int:
        if self._away:
            self._away -= 1
            raise StorageError("memory", "is away", temporary=self.temporary)
        before = len(self.rows)
        self.rows.update({row[:3]: row for row in rows})
        return len(self.rows) - before


class RememberingMemory(Memory):
    """A store that keeps notes about unfinished exports, as PostgreSQL does."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: dict[str, dict[str, str]] = {}

    async def read_export_notes(self, export: str) -> dict[str, str]:
        return dict(self.notes.get(export, {}))

    async def note_export(self, export: str, name: str, note: str) -> None:
        self.notes.setdefault(export, {}).setdefault(name, note)

    async def forget_export(self, export: str) -> None:
        self.notes.pop(export, None)


START = datetime(2026, 3, 14, tzinfo=UTC)
HOURS = ExportRequest(start=START, end=START + timedelta(hours=2), window=1800)
PARTS = 4


async def interrupt(
    sim: Simulator, client: EnapterClient, store: RememberingMemory, request: ExportRequest, *, after: int
) -> None:
    """Export until the API goes away."""
    sim.faults.on("queryTimeseries", Fault.answer(500), nth=range(after + 1, 1_000))
    with pytest.raises(ServerError):
        await export_to_store(client, store, request, concurrency=1)
    sim.faults.clear()


def last_hour() -> ExportRequest:
    end = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
    return ExportRequest(start=end - timedelta(hours=1), end=end, window=900, attributes="all")


async def test_the_rows_are_those_of_a_file(tmp_path: Path) -> None:
    file, store, request = tmp_path / "history.csv", Memory(), last_hour()
    progress: list[tuple[float, int]] = []
    async with Simulator(devices=12) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        await export_history(client, file, request)
        first = await export_to_store(client, store, request, on_progress=lambda *now: progress.append(now))
        again = await export_to_store(client, store, request, concurrency=1)
    with file.open(newline="", encoding="utf-8") as lines:
        written = {
            (row["device_id"], row["attribute"], parse_time(row["time"])): (row["value"], row["text"], row["unit"])
            for row in csv.DictReader(lines)
        }
    assert written == {
        key: ("" if row[3] is None else repr(row[3]), row[4] or "", row[5] or "") for key, row in store.rows.items()
    }
    assert first.rows == first.new == again.rows == len(written) > 0
    assert again.new == 0
    assert progress[-1] == (1.0, first.rows)


async def test_a_store_that_is_away_is_waited_for() -> None:
    store = Memory(away=2)
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        result = await export_to_store(client, store, last_hour())
    assert result.new == len(store.rows) > 0


async def test_a_store_that_refuses_ends_it() -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        with pytest.raises(StorageError, match="is away"):
            await export_to_store(client, Memory(away=1, temporary=False), last_hour())


async def test_arguments_are_checked_before_anything_is_asked() -> None:
    async with Simulator(devices=1) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        with pytest.raises(InvalidArgumentError, match="concurrency: must be a whole number of at least 1, got 0"):
            await export_to_store(client, Memory(), last_hour(), concurrency=0)
        assert not sim.requests


async def test_an_interrupted_export_reads_only_what_is_not_finished() -> None:
    store, whole = RememberingMemory(), Memory()
    async with plant() as (sim, client):
        await interrupt(sim, client, store, HOURS, after=3)
        before, there = len(sim.requests_of("queryTimeseries")), len(store.rows)
        spans: list[tuple[datetime, datetime]] = []
        shares: list[float] = []
        result = await export_to_store(
            client,
            store,
            HOURS,
            on_resume=lambda *span: spans.append(span),
            on_progress=lambda share, _: shares.append(share),
        )
        assert len(sim.requests_of("queryTimeseries")) - before == PARTS - 3
        straight = await export_to_store(client, whole, HOURS)
    assert store.rows == whole.rows
    assert result.rows == straight.rows == len(store.rows)
    assert result.new == len(store.rows) - there
    assert spans == [(HOURS.start, HOURS.end)]
    assert shares == [1.0]
    assert store.notes == {}


async def test_a_span_before_now_stays_that_of_the_first_start(monkeypatch: pytest.MonkeyPatch) -> None:
    store, request = RememberingMemory(), ExportRequest(start=timedelta(hours=2), window=1800)
    async with plant() as (sim, client):
        await interrupt(sim, client, store, request, after=2)
        newest = max(moment for _, _, moment in store.rows)

        class Later(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:
                return datetime.now(tz) + timedelta(days=1)

        with monkeypatch.context() as context:
            context.setattr("enapter_async.exporter.database.datetime", Later)
            await export_to_store(client, store, request)
    times = sorted({moment for _, _, moment in store.rows})
    assert newest < times[-1]
    assert times[-1] - times[0] < 2 * 3_600_000_000
    assert len(times) == 120


async def test_other_requests_and_other_servers_are_other_exports() -> None:
    store = RememberingMemory()
    async with plant() as (sim, client):
        await interrupt(sim, client, store, HOURS, after=2)
        resumed: list[object] = []

        def on_resume(*span: object) -> None:
            resumed.append(span)

        await export_to_store(client, store, attrs.evolve(HOURS, granularity=120), on_resume=on_resume)
        await export_to_store(client, store, HOURS, source="another plant", on_resume=on_resume)
        assert not resumed
        assert len(store.notes) == 1
        await export_to_store(client, store, HOURS, on_resume=on_resume)
        assert resumed
    assert store.notes == {}


async def test_a_resumed_export_names_devices_that_were_deleted_and_has_all_others() -> None:
    store, whole = RememberingMemory(), Memory()
    async with plant() as (sim, client):
        await export_to_store(client, whole, HOURS)
        doomed = next(iter(sim.world.devices))
        await interrupt(sim, client, store, HOURS, after=1)
        sim.world.devices.remove(doomed)
        await interrupt(sim, client, store, HOURS, after=1)
        sim.faults.on("queryTimeseries", Fault.answer(404), nth=1)
        result = await export_to_store(client, store, HOURS)
    assert result.missing_devices == (doomed,)
    assert {key for key in whole.rows if key[0] != doomed} == {key for key in store.rows if key[0] != doomed}
    assert (
        0 < len([key for key in store.rows if key[0] == doomed]) < len([key for key in whole.rows if key[0] == doomed])
    )


async def test_what_another_plan_finished_does_not_count() -> None:
    """One process completes and begins anew while a second one still notes parts of the first plan."""
    store, whole = RememberingMemory(), Memory()
    async with plant() as (sim, client):
        await interrupt(sim, client, store, HOURS, after=3)
        (notes,) = store.notes.values()
        (export,) = store.notes
        strays = {name: note for name, note in notes.items() if name != "record"}
        assert len(strays) == 3
        store.notes.clear()
        store.rows.clear()
        await interrupt(sim, client, store, HOURS, after=1)
        store.notes[export].update(strays)
        await export_to_store(client, store, HOURS)
        await export_to_store(client, whole, HOURS)
    assert store.rows == whole.rows


async def test_two_processes_that_begin_at_once_share_one_plan() -> None:
    store = RememberingMemory()
    request = ExportRequest(start=timedelta(hours=1), window=1800)
    async with plant() as (_, client), anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(export_to_store, client, store, request)
    assert len({moment for _, _, moment in store.rows}) == 60
    assert store.notes == {}


async def test_series_without_values_are_named_over_several_runs() -> None:
    store = RememberingMemory()
    async with plant() as (sim, client):
        devices = [device.id async for device in client.devices.list()]
        request = attrs.evolve(HOURS, attributes=["alert_details"], devices=devices[:1])
        straight = await export_to_store(client, Memory(), request)
        await interrupt(sim, client, store, request, after=2)
        result = await export_to_store(client, store, request)
    assert result.without_value == straight.without_value
