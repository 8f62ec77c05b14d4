"""`collect --fill-gap`: what the server remembers of the time in which nobody collected, beside live collection.

The journal of gaps is a table of the same database: a gap is noted before anything new is written, and its start
moves on as it is filled. So a gap that was not filled to its end is gone on with, whatever ended the program.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import attrs

from enapter_async import (
    EnapterClient,
    EnapterError,
    HistoryPart,
    Series,
    TimeseriesBatch,
    TimeseriesQuery,
    plan_history,
)
from enapter_async.cli.collector import Plan
from enapter_async.cli.exits import Exit, Failure
from enapter_async.cli.store import BUSY_SECONDS, INSERT, Row
from enapter_async.exporter.export import none_is_empty

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS telemetry_gaps (
    start INTEGER NOT NULL, -- Unix seconds; what is before it is filled
    before INTEGER NOT NULL
)
"""
_WINDOW: Final = 3_600
"""Steps that are filled before it is noted."""
_REQUESTS: Final = 2
"""At once: live collection goes first."""
_AGAIN_SECONDS: Final = 30.0


@attrs.frozen
class Gap:
    """A span that is to be filled.

    Attributes:
        number: Of its row.
        start: Unix seconds.
        before: Unix seconds; not included.
    """

    number: int
    start: int
    before: int


class GapJournal:
    """The gaps of a database of telemetry. Use it from one thread at a time.

    Attributes:
        step: Seconds between two datapoints that are filled in.
    """

    def __init__(self, path: Path, step: int) -> None:
        """Open the database, which is there.

        Args:
            path: The file.
            step: Seconds between two datapoints that are filled in.

        Raises:
            Failure: It cannot be opened.
        """
        self.step = step
        self._path = path
        try:
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def note(self, now: float) -> list[Gap]:
        """Note what is missing between the newest datapoint and now, and return all gaps that are not filled."""
        connection, step = self._connection, self.step
        try:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_SCHEMA)
                (newest,) = connection.execute("SELECT max(time) FROM telemetry").fetchone()
                if newest is not None:
                    # One step earlier: a kill may have cost some of the newest datapoints and spared others.
                    start = (math.floor(datetime.fromisoformat(newest).timestamp()) // step - 1) * step
                    # The first poll comes within an interval: until then nobody collects either.
                    before = (math.floor(now) // step + 2) * step
                    if before - start > 3 * step:
                        connection.execute("INSERT INTO telemetry_gaps VALUES (?, ?)", (start, before))
                found = connection.execute("SELECT rowid, start, before FROM telemetry_gaps ORDER BY start")
                return [Gap(*row) for row in found]
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def fill(self, gap: Gap, rows: Sequence[Row]) -> int:
        """Write datapoints that stand for a step each, where there is none in that step; returns how many were new.

        Raises:
            Failure: They cannot be written.
        """
        connection = self._connection
        try:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                early, late = _text(gap.start + 3 * self.step), _text(gap.before - 2 * self.step)
                if any(row[2] < early or row[2] >= late for row in rows):
                    there = self._at_the_ends(gap)
                    rows = [row for row in rows if row[:3] not in there]
                changes = connection.total_changes
                connection.executemany(INSERT, rows)
                return connection.total_changes - changes
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def advance(self, gap: Gap, start: int) -> None:
        """Note that a gap is filled up to a time, and forget it when that is its end."""
        try:
            if start >= gap.before:
                self._connection.execute("DELETE FROM telemetry_gaps WHERE rowid = ?", (gap.number,))
            else:
                self._connection.execute("UPDATE telemetry_gaps SET start = ? WHERE rowid = ?", (start, gap.number))
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def _at_the_ends(self, gap: Gap) -> set[tuple[str, str, str]]:
        """Return which steps at both ends have a datapoint already, whose time may be within the step."""
        there: set[tuple[str, str, str]] = set()
        step = self.step
        for first in (gap.start, gap.before - 2 * step):
            # Without the Z at the end: fractions of a second sort before it.
            span = (_text(first)[:-1], _text(first + 3 * step)[:-1])
            for device, attribute, time in self._connection.execute(
                "SELECT device_id, attribute, time FROM telemetry WHERE time >= ? AND time < ?", span
            ):
                second = math.floor(datetime.fromisoformat(time).timestamp())
                there.add((device, attribute, _text(second // step * step)))
        return there

    def _failed(self, error: sqlite3.Error) -> Failure:
        return Failure(f"{self._path} cannot be written: {error}", Exit.STORAGE)


class GapFiller:
    """Reads history into the gaps of a database.

    Attributes:
        rows: Datapoints that were filled in.
        done: Seconds that are filled.
        whole: Seconds that are to be filled.
        problem: Why it does not go on, if it does not.
    """

    def __init__(
        self,
        client: EnapterClient,
        plan: Plan,
        journal: GapJournal,
        clock: Callable[[], float],
        again: float = _AGAIN_SECONDS,
    ) -> None:
        """Note the gap; nothing is sent yet.

        Args:
            client: To read with.
            plan: What is collected.
            journal: Of the database.
            clock: Gives Unix seconds.
            again: Seconds between a failure and another attempt.

        Raises:
            Failure: The gap cannot be noted.
        """
        self.rows = 0
        self.done = 0
        self.problem = ""
        self._client = client
        self._plan = plan
        self._journal = journal
        self._step = journal.step
        self._again = again
        self._clock = clock
        self._writing = anyio.Lock()
        self._gaps = journal.note(clock())
        self.whole = sum(gap.before - gap.start for gap in self._gaps)

    @property
    def share(self) -> float:
        """Share of the gaps that is filled, 0 to 1."""
        return self.done / self.whole if self.whole else 1.0

    async def run(self) -> None:
        """Fill the gaps, oldest first; what fails is tried again, and stays noted when there is no time for that."""
        for gap in self._gaps:
            start = gap.start
            while start < gap.before:
                before = self._window(start, gap.before)
                try:
                    await anyio.sleep(max(0.0, before - self._clock()))
                    await self._fill(gap, start, before)
                    await anyio.to_thread.run_sync(self._journal.advance, gap, before)
                except (EnapterError, Failure) as error:
                    self.problem = str(error)
                    await anyio.sleep(self._again)
                    continue
                self.problem = ""
                self.done += before - start
                start = before

    def _window(self, start: int, before: int) -> int:
        """Return the end of what is filled next; what is not over yet comes last, to be waited for."""
        over = math.floor(self._clock()) // self._step * self._step
        end = min(start + _WINDOW * self._step, before)
        return min(end, over) if start < over else end

    async def _fill(self, gap: Gap, start: int, before: int) -> None:
        query = TimeseriesQuery(
            start=datetime.fromtimestamp(start, UTC),
            end=datetime.fromtimestamp(before, UTC),
            granularity=self._step,
            series=[Series(device, list(units)) for device, units in self._plan.units.items()],
            aggregation="last",
        )
        parts = iter(plan_history(query))
        problem: Exception | None = None

        async def work() -> None:
            nonlocal problem
            try:
                for part in parts:
                    await self._read(gap, part)
            except Exception as error:  # noqa: BLE001 - raised below, outside of the group that would wrap it
                problem = problem or error
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            for _ in range(_REQUESTS):
                tasks.start_soon(work)
        if problem is not None:
            raise problem

    async def _read(self, gap: Gap, part: HistoryPart) -> None:
        async with self._client.telemetry.history([part], concurrency=1) as history:
            with none_is_empty():
                async for batch in history:
                    rows = list(self._rows(batch))
                    async with self._writing:
                        self.rows += await anyio.to_thread.run_sync(self._journal.fill, gap, rows)

    def _rows(self, batch: TimeseriesBatch) -> Iterator[Row]:
        times = [_text(second) for second in batch.unix_seconds]
        for column in batch.columns:
            unit = self._plan.units.get(column.device, {}).get(column.attribute)
            for time, value in zip(times, column.values, strict=True):
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    yield column.device, column.attribute, time, float(value), unit


def step_of(interval: float) -> int:
    """Return the seconds of a step of history that stands for an interval: whole ones, at least one."""
    return max(1, math.ceil(interval))


def _text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
