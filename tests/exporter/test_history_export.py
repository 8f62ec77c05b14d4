"""Exports from a program: every kind of value, resumed after any end, and what happens when a device is deleted."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest
from plant import plant

from enapter_async import (
    InvalidArgumentError,
    NotFoundError,
    SelectionError,
    ServerError,
    StorageError,
)
from enapter_async.exporter import ExportRequest, HistoryExport, export_history
from enapter_async.rows.parquet import ParquetWriter, make_table
from enapter_async.simulator import Fault

pytestmark = pytest.mark.anyio

START = datetime(2026, 3, 14, tzinfo=UTC)
HOURS = ExportRequest(start=START, end=START + timedelta(hours=2), window=1800)
PARTS = 4


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


async def test_an_export_from_a_program(tmp_path: Path) -> None:
    async with plant() as (_, client):
        result = await export_history(client, tmp_path / "history.csv", HOURS)
    rows = read_csv(tmp_path / "history.csv")
    assert result.rows == len(rows) > 1_000
    assert result.path == tmp_path / "history.csv"
    assert result.missing_devices == ()
    assert {row["time"][:13] for row in rows} == {"2026-03-14T00", "2026-03-14T01"}
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


async def test_all_attributes_include_text_booleans_enumerations_and_alerts(tmp_path: Path) -> None:
    async with plant(8) as (_, client):
        request = attrs.evolve(HOURS, attributes="all", devices=["electrolyser-1"])
        await export_history(client, tmp_path / "history.csv", request)
        numeric = attrs.evolve(HOURS, devices=["electrolyser-1"])
        await export_history(client, tmp_path / "numeric.csv", numeric)
    rows = read_csv(tmp_path / "history.csv")
    texts = {row["attribute"]: row["text"] for row in rows if row["text"]}
    values = {row["attribute"]: row["value"] for row in rows if row["value"]}
    assert texts.keys() >= {"status", "active_modules", "alerts"}
    assert texts["alerts"].startswith("[")
    assert values.keys() >= {"dryer_on", "power"}
    assert not texts.keys() & values.keys()
    assert {row["attribute"] for row in read_csv(tmp_path / "numeric.csv")} <= values.keys()
    assert {row["unit"] for row in rows if row["attribute"] == "power"} != {""}


async def test_an_export_that_failed_is_resumed_by_an_equal_request(tmp_path: Path) -> None:
    target = tmp_path / "history.jsonl"
    request = ExportRequest(start=timedelta(hours=2), window=1800)
    async with plant() as (sim, client):
        sim.faults.on("queryTimeseries", Fault.answer(500), nth=range(3, 100))
        with pytest.raises(ServerError):
            await export_history(client, target, request, concurrency=1)
        sim.faults.clear()
        assert not target.exists()
        asked = len(sim.requests_of("queryTimeseries"))
        with pytest.raises(InvalidArgumentError, match=r"granularity: .* was begun with 60, not with 120"):
            await export_history(client, target, attrs.evolve(request, granularity=120))
        assert len(sim.requests_of("queryTimeseries")) == asked
        result = await export_history(client, target, request)
        answered = [made.body for made in sim.requests_of("queryTimeseries") if made.status == 200]
        assert len(answered) == len(set(answered))
        # Two hours that begin within a half-hour window need five parts, others four.
        assert len(answered) in (PARTS, PARTS + 1)
        with pytest.raises(StorageError, match="already exists"):
            await export_history(client, target, request)
    assert result.rows == len(target.read_text().splitlines())


async def test_steps_of_an_export(tmp_path: Path) -> None:
    async with plant() as (sim, client):
        async with HistoryExport(tmp_path / "history.parquet", HOURS, source="plant") as export:
            assert (export.is_read, export.rows, export.share_read, export.share_joined) == (False, 0, 0.0, 0.0)
            with pytest.raises(RuntimeError, match="read"):
                await export.join()
            with pytest.raises(StorageError, match="another process exports to it now"):
                await HistoryExport(tmp_path / "history.parquet", HOURS, source="plant").__aenter__()
            await export.read(client)
            assert export.is_read
            assert export.share_read == 1.0
        asked = len(sim.requests_of("queryTimeseries"))
        async with HistoryExport(tmp_path / "history.parquet", HOURS, source="plant") as export:
            assert export.is_read
            await export.read(client)
            result = await export.join()
            assert export.is_complete
            assert export.share_joined == 1.0
        assert len(sim.requests_of("queryTimeseries")) == asked == PARTS
    assert result.rows == ds.dataset(tmp_path / "history.parquet").count_rows()


@pytest.mark.parametrize("answer", ["left out", "not found"])
async def test_an_export_is_finished_when_a_device_was_deleted_meanwhile(tmp_path: Path, answer: str) -> None:
    target = tmp_path / "history.csv"
    async with plant() as (sim, client):
        whole = await export_history(client, tmp_path / "whole.csv", HOURS)
        doomed = next(iter(sim.world.devices))
        sim.faults.on("queryTimeseries", Fault.answer(500), nth=range(3, 100))
        with pytest.raises(ServerError):
            await export_history(client, target, HOURS, concurrency=1)
        sim.faults.clear()
        sim.world.devices.remove(doomed)
        if answer == "not found":
            # The first question of each part names the device, and the second does not.
            sim.faults.on("queryTimeseries", Fault.answer(404), nth=range(1, 100, 2))
        result = await export_history(client, target, HOURS, concurrency=1)
    assert result.missing_devices == (doomed,)
    assert whole.rows is not None
    assert result.rows is not None
    rows = read_csv(target)
    assert len(rows) == result.rows < whole.rows
    kept = [row for row in read_csv(tmp_path / "whole.csv") if row["device_id"] != doomed]
    assert [row for row in rows if row["device_id"] != doomed] == kept
    assert {row["time"] for row in rows if row["device_id"] == doomed} < {row["time"] for row in kept}


@pytest.mark.parametrize("answer", ["nothing there", "not found"])
async def test_an_export_of_a_deleted_device_alone_is_finished(tmp_path: Path, answer: str) -> None:
    target = tmp_path / "history.csv"
    async with plant() as (sim, client):
        doomed = (await client.devices.list().collect())[0].id
        request = attrs.evolve(HOURS, devices=[doomed])
        sim.faults.on("queryTimeseries", Fault.answer(500), nth=range(3, 100))
        with pytest.raises(ServerError):
            await export_history(client, target, request, concurrency=1)
        sim.faults.clear()
        sim.world.devices.remove(doomed)
        if answer == "not found":
            sim.faults.on("queryTimeseries", Fault.answer(404), nth=None)
        result = await export_history(client, target, request)
    assert result.missing_devices == (doomed,)
    assert result.rows == len(read_csv(target)) > 0


async def test_a_proxy_that_finds_nothing_has_deleted_no_device(tmp_path: Path) -> None:
    async with plant() as (sim, client):
        sim.faults.on("queryTimeseries", Fault.html(404), nth=range(2, 100))
        sim.faults.on("getDevice", Fault.html(404), nth=None)
        with pytest.raises(NotFoundError):
            await export_history(client, tmp_path / "history.csv", HOURS)
        sim.faults.clear()
        sim.faults.on("queryTimeseries", Fault.answer(404), nth=1)
        sim.faults.on("getDevice", Fault.html(404), nth=None)
        with pytest.raises(NotFoundError):
            await export_history(client, tmp_path / "history.csv", HOURS)
        sim.faults.clear()
        result = await export_history(client, tmp_path / "history.csv", HOURS)
    assert result.missing_devices == ()


async def test_nothing_to_export_is_told(tmp_path: Path) -> None:
    async with plant() as (_, client):
        for request, message in (
            (attrs.evolve(HOURS, devices=["toaster"]), "cannot see device 'toaster'"),
            (attrs.evolve(HOURS, attributes=["powr"]), "none with an attribute powr"),
        ):
            with pytest.raises(SelectionError, match=message):
                await export_history(client, tmp_path / "history.csv", request)
        with pytest.raises(InvalidArgumentError, match="target: must end in"):
            await export_history(client, tmp_path / "history.txt", HOURS)
        with pytest.raises(StorageError, match="there is no folder"):
            await export_history(client, tmp_path / "no" / "history.csv", HOURS)
    assert not list(tmp_path.iterdir())


async def test_files_of_an_export_and_of_a_collector_are_read_together(tmp_path: Path) -> None:
    async with plant() as (_, client):
        result = await export_history(client, tmp_path / "history.parquet", attrs.evolve(HOURS, attributes="all"))
    with (tmp_path / "2026-03-15.000001.parquet").open("wb") as file:
        writer = ParquetWriter(file)
        moment = 1_773_532_800_250_000
        writer.write(make_table([("d1", "power", moment, 1.5, None, "W"), ("d1", "mode", moment, None, "on", None)]))
        writer.close()
    assert result.rows is not None
    count = result.rows + 2
    assert ds.dataset(tmp_path).count_rows() == len(pd.read_parquet(tmp_path)) == count
    assert len(pl.scan_parquet(tmp_path).collect()) == count
    with duckdb.connect() as connection:
        found: Any = connection.execute(f"SELECT count(*), max(time) FROM '{tmp_path}/*.parquet'").fetchone()
    assert found[0] == count
    assert found[1].astimezone(UTC) == datetime(2026, 3, 15, 0, 0, 0, 250_000, UTC)
