"""The main job of `enapter-async export`: from the API into the files of the parts, several at a time."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager

import anyio
import anyio.from_thread
import anyio.to_thread

from enapter_async import EnapterClient, HistoryPart, NotFoundError, TimeseriesBatch
from enapter_async.cli.export_folder import ExportFolder, Finished
from enapter_async.cli.export_formats import Format, PartWriter
from enapter_async.cli.export_record import Record

_NOTHING_THERE = "telemetrypersistence/NO_TELEMETRY_ATTRIBUTES_FOUND"


class Exporter:
    """Reads the parts that are not finished.

    Attributes:
        parts: How many parts there are.
    """

    def __init__(self, record: Record, folder: ExportFolder, form: Format) -> None:
        self.parts = len(record.plan)
        self._record = record
        self._folder = folder
        self._format = form
        self._shares: dict[int, float] = {}
        self._writers: dict[int, PartWriter] = {}
        self._joined = 0
        self._rows = sum(part.rows for part in folder.finished.values())

    @property
    def rows(self) -> int:
        """Rows so far, those of earlier runs included."""
        return self._rows + sum(writer.rows for writer in self._writers.values())

    @property
    def share(self) -> float:
        """Share of the whole span of all devices that has been read, 0 to 1."""
        return (len(self._folder.finished) + sum(self._shares.values())) / self.parts

    @property
    def is_read(self) -> bool:
        """Whether all parts are finished."""
        return len(self._folder.finished) == self.parts

    @property
    def share_joined(self) -> float:
        """Share of the parts that are in the whole file, 0 to 1."""
        return self._joined / self.parts

    async def read(self, client: EnapterClient, concurrency: int) -> None:
        """Read all parts that are not finished.

        Raises:
            EnapterError: The API refuses or cannot be reached; what is finished stays.
            OSError: A file cannot be written.
        """
        left = (index for index in range(self.parts) if index not in self._folder.finished)
        async with anyio.create_task_group() as tasks:
            for _ in range(concurrency):
                tasks.start_soon(self._work, client, left)

    async def join(self) -> None:
        """Make the whole file of the parts.

        Raises:
            OSError: It cannot be written.
        """
        await anyio.to_thread.run_sync(self._join)

    def without_value(self) -> list[tuple[str, str]]:
        """Return the series, as device and attribute, for which no value came at all."""
        silent = {(device, attribute) for device, units in self._record.units.items() for attribute in units}
        for finished in self._folder.finished.values():
            silent -= _series(self._record.plan[finished.part]) - set(finished.without)
        return sorted(silent)

    async def _work(self, client: EnapterClient, left: Iterator[int]) -> None:
        for index in left:
            await self._read_part(client, self._record.plan[index])

    async def _read_part(self, client: EnapterClient, part: HistoryPart) -> None:
        silent = _series(part)
        new = self._folder.part(part.index)
        writer = self._writers[part.index] = self._format.part(new.file, self._record.units)

        def finish() -> Finished:
            writer.close()
            finished = Finished(part.index, writer.rows, new.file.tell(), tuple(sorted(silent)))
            new.complete()
            self._folder.note(finished)
            return finished

        try:
            async with client.telemetry.history([part], concurrency=1) as history:
                with none_is_empty():
                    async for batch in history:
                        await anyio.to_thread.run_sync(writer.write, batch)
                        silent -= _with_values(batch, silent)
                        self._shares[part.index] = (batch.unix_seconds[-1] - part.first) / (part.before - part.first)
            finished = await anyio.to_thread.run_sync(finish)
        finally:
            writer.give_up()
            new.give_up()
            del self._writers[part.index]
            self._shares.pop(part.index, None)
        self._folder.finished[part.index] = finished
        self._rows += finished.rows

    def _join(self) -> None:
        def joined() -> None:
            anyio.from_thread.check_cancelled()
            self._joined += 1

        with self._folder.whole() as file:
            self._format.join(self._folder.parts(self.parts), file, joined)


def _series(part: HistoryPart) -> set[tuple[str, str]]:
    return {(series.device, attribute) for series in part.query.series for attribute in series.attributes}


def _with_values(batch: TimeseriesBatch, series: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those of the series that have a value in a batch."""
    return {
        key
        for column in batch.columns
        if (key := (column.device, column.attribute)) in series and any(value is not None for value in column.values)
    }


@contextmanager
def none_is_empty() -> Generator[None, None, None]:
    """Take the answer that no attribute of a request has any history for an empty one (reference.md, Telemetry CSV)."""
    try:
        yield
    except NotFoundError as error:
        if error.code != _NOTHING_THERE:
            raise
