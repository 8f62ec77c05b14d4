"""History into a database: the rows that a file would have, once each."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from enapter_async import EnapterClient, InvalidArgumentError, StorageError
from enapter_async.exporter import ExportRequest, export_history, export_to_store
from enapter_async.rows import Row, parse_time
from enapter_async.simulator import Simulator

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
        with pytest.raises(InvalidArgumentError, match="concurrency: must be at least 1, got 0"):
            await export_to_store(client, Memory(), last_hour(), concurrency=0)
        assert not sim.requests
