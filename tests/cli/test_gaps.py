"""`enapter-async gaps`: what is noted in a store, and filling it without collecting."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from served import invoke, served

from enapter_async import HistoryPart, ServerError
from enapter_async.collector import SqliteStore
from enapter_async.collector._history_reader import HistoryReader
from enapter_async.collector._repair_job import RepairJob
from enapter_async.rows import Row


def note(database: Path) -> None:
    result = invoke("collect", "--simulate", "2", "--for", "3s", "--to", str(database), "-q")
    assert result.exit_code == 0, result.output
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM telemetry_gaps")  # of ticks that were late on a loaded machine
        connection.execute(
            "INSERT INTO telemetry_gaps (device_id, start, before, reason)"
            " VALUES (NULL, '2026-03-14T09:20:00Z', '2026-03-14T09:21:00Z', 'test')"
        )


def test_gaps_are_listed_and_filled(database: Path) -> None:
    note(database)
    listed = invoke("gaps", "list", str(database), "--output", "json")
    assert listed.exit_code == 0, listed.output
    assert json.loads(listed.stdout) == {
        "device_id": None,
        "start": "2026-03-14T09:20:00Z",
        "before": "2026-03-14T09:21:00Z",
        "reason": "test",
    }
    with served(devices=3) as server:
        repaired = server.run("gaps", "repair", str(database))
    assert repaired.exit_code == 0, repaired.output
    assert "1 gaps before, 0 now" in repaired.stdout
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT count(*) FROM telemetry WHERE time < '2026-03-15'").fetchone()[0]
    assert found > 0
    assert "no gaps" in invoke("gaps", "list", str(database)).stderr


def test_a_device_whose_history_fails_costs_itself_only(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = HistoryReader._read
    broken: list[str] = []

    async def fail(self: Any, job: RepairJob, part: HistoryPart, found: set[tuple[str, str]]) -> Sequence[Row]:
        devices = [series.device for series in part.query.series]
        broken.extend([] if broken else devices[:1])
        if broken[0] in devices:
            raise ServerError("status 500", status=500)
        return await read(self, job, part, found)

    monkeypatch.setattr("enapter_async.collector._history_reader._WAITED", -1.0)
    monkeypatch.setattr(HistoryReader, "_read", fail)
    note(database)
    with served(devices=3) as server:
        repaired = server.run("gaps", "repair", str(database))
    assert repaired.exit_code == 6, repaired.output
    assert "1 gaps before, 1 now" in repaired.stdout
    assert not repaired.stdout.startswith("0 rows")
    assert f"some gaps stay recorded, because their history cannot be read: {broken[0]}: status 500" in repaired.stderr
    listed = invoke("gaps", "list", str(database), "--output", "json")
    assert json.loads(listed.stdout)["device_id"] == broken[0]


def test_a_store_that_is_missing_or_has_no_journal(tmp_path: Path) -> None:
    missing = invoke("gaps", "list", str(tmp_path / "t.sqlite"))
    assert (missing.exit_code, (tmp_path / "t.sqlite").exists()) == (7, False)
    lines = invoke("gaps", "list", str(tmp_path / "t.csv"))
    assert lines.exit_code == 2
    assert "t.csv.gaps.jsonl" in lines.stderr


def test_the_list_tells_how_far_the_store_reaches(database: Path) -> None:
    note(database)
    with closing(sqlite3.connect(database)) as connection, connection:
        ((latest,),) = connection.execute("SELECT max(time) FROM telemetry")
        for number in range(12):
            device = f"old{number:02}"
            connection.execute(
                "INSERT INTO telemetry_devices VALUES (?, ?)", (device, f"2026-03-14T09:20:{number:02}Z")
            )
            connection.execute(
                "INSERT INTO telemetry_gaps (device_id, start, before, reason)"
                " VALUES (?, '2026-03-14T09:30:00Z', '2026-03-14T09:31:00Z', 'polls failed')",
                (device,),
            )
    listed = invoke("gaps", "list", str(database))
    assert listed.exit_code == 0, listed.output
    assert "2026-03-14T09:30:00Z  2026-03-14T09:31:00Z  12 devices  polls failed" in listed.stdout
    assert f"collected up to {latest} (" in listed.stderr
    assert "12 devices are behind: old00 up to 2026-03-14T09:20:00Z, old01" in listed.stderr
    assert listed.stderr.strip().endswith("old09 up to 2026-03-14T09:20:09Z and 2 more")


def test_a_store_without_rows_says_so(database: Path) -> None:
    async def make() -> None:
        async with SqliteStore(database):
            pass

    anyio.run(make)
    assert "no gaps\nnothing has been collected yet" in invoke("gaps", "list", str(database)).stderr
