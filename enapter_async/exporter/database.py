"""Export of history to a database. Each part is written as it arrives, and existing rows are kept."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol, TypeVar, runtime_checkable

import anyio
import attrs

from enapter_async import EnapterClient, HistoryPart, StorageError
from enapter_async._arguments import require_callback, require_instance, require_whole_number
from enapter_async._protocol.query import text
from enapter_async.exporter._parts import (
    FinishedPart,
    PartsReader,
    list_series,
    list_with_values,
    list_without_value,
    opened_part,
)
from enapter_async.exporter.request import ExportRecord, ExportRequest, identify_question
from enapter_async.exporter.selection import select_devices
from enapter_async.rows import Row, make_batch_rows

T = TypeVar("T")

_CONCURRENCY: Final = 8
_FIRST_PAUSE: Final = 0.25
_PATIENCE_SECONDS: Final = 60.0
"""Seconds to wait for an unavailable database."""


@runtime_checkable
class RowStore(Protocol):
    """The methods of a store of `enapter_async.collector` that an export needs."""

    async def write(self, rows: Sequence[Row]) -> int:
        """Write new rows. Return their number."""
        ...


@runtime_checkable
class ResumableStore(RowStore, Protocol):
    """A store that also stores the progress of exports, so that they can be resumed."""

    async def read_export_notes(self, export: str) -> Mapping[str, str]:
        """Return the notes of an export by name."""
        ...

    async def note_export(self, export: str, name: str, note: str) -> None:
        """Add a note durably. An existing note with this name is kept."""
        ...

    async def forget_export(self, export: str) -> None:
        """Remove all notes of an export."""
        ...


@attrs.frozen
class DatabaseExportResult:
    """The result of an export to a store.

    Attributes:
        rows: Number of rows of the history, including earlier runs.
        new: Number of rows that this run added to the database.
        without_value: Series without a value, as device ID and attribute. There is none in this time range, or the
            token may not read it.
        missing_devices: IDs of devices that were deleted during the export.
    """

    rows: int
    new: int
    without_value: tuple[tuple[str, str], ...] = ()
    missing_devices: tuple[str, ...] = ()


async def export_to_store(
    client: EnapterClient,
    store: RowStore,
    request: ExportRequest,
    *,
    source: str | None = None,
    concurrency: int = _CONCURRENCY,
    on_progress: Callable[[float, int], object] = lambda _share, _rows: None,
    on_resume: Callable[[datetime, datetime], object] = lambda _start, _end: None,
) -> DatabaseExportResult:
    """Export history to a store, such as a table in PostgreSQL.

    Existing rows are kept. A `PostgresStore` also stores the progress: after an interruption, an equal request resumes
    the export, with the time range, the devices and the attributes of the first start. Other stores start over.

    Args:
        client: Client to read with.
        store: The open store to write to. It stays open.
        request: Devices, attributes and time range to export.
        source: Name of the server; by default its address. An export of one server is not resumed with the data of
            another.
        concurrency: Maximum number of concurrent requests.
        on_progress: A quick synchronous callable that gets the share of the parts that are written, 0 to 1, and the
            number of rows.
        on_resume: Called with start and end if an unfinished export is resumed.

    Raises:
        EnapterError: A request failed.
        SelectionError: A device or an attribute does not exist.
        InvalidArgumentError: An argument is invalid.
        StorageError: The store cannot be written.
    """
    require_instance(client, EnapterClient, "client")
    require_instance(store, RowStore, "store")
    require_instance(request, ExportRequest, "request")
    source = client.config.base_url if source is None else text(source, "source")
    concurrency = require_whole_number(concurrency, "concurrency", 1)
    require_callback(on_progress, "on_progress", 2)
    require_callback(on_resume, "on_resume", 2)
    request.resolve(datetime.now(UTC))  # report an invalid time range before sending requests
    question = {"source": source, **request.to_json()}
    notes = _Notes(store, question)
    record = await notes.load(request)
    if record is None:
        selected = await select_devices(client, request.devices, request.attributes)
        record = await notes.begin(request, ExportRecord.make(request, datetime.now(UTC), selected))
    else:
        on_resume(record.plan.query.start, record.plan.query.end)
    plan, units, finished = record.plan, record.units, notes.finished
    rows = sum(part.rows for part in finished.values())
    new = 0

    async def write_part(part: HistoryPart, left: HistoryPart | None) -> FinishedPart:
        nonlocal rows, new
        silent, count = list_series(part), 0
        if left is not None:
            async with opened_part(client, left) as history:
                async for batch in history:
                    found = make_batch_rows(batch, units)
                    written = await _patiently(partial(store.write, found))
                    new += written  # not in one line, because other tasks add to it during the wait
                    count += len(found)
                    silent -= list_with_values(batch, silent)
        done = FinishedPart(part.index, count, 0, tuple(sorted(silent)))
        await notes.add_finished(done)
        rows += count
        on_progress((len(finished) + 1) / len(plan), rows)
        return done

    reader = PartsReader(
        client,
        record,
        finished=finished,
        missing=notes.missing,
        write_part=write_part,
        note_missing=notes.add_missing,
    )
    await reader.read(concurrency)
    await notes.forget()
    return DatabaseExportResult(rows, new, list_without_value(record, finished), tuple(sorted(notes.missing)))


class _Notes:
    """The notes about an unfinished export, which are stored in the database if it supports that.

    The first note is the record of the export. All others contain the number of that record, so they apply only to its
    plan, even if two processes run the same export and one of them starts it over.

    Attributes:
        finished: Finished parts.
        missing: IDs of devices that no longer exist.
    """

    def __init__(self, store: RowStore, question: dict[str, Any]) -> None:
        self.finished: dict[int, FinishedPart] = {}
        self.missing: set[str] = set()
        self._store = store if isinstance(store, ResumableStore) else None
        self._question = question
        self._export = identify_question(question)
        self._number = uuid.uuid4().hex

    async def load(self, request: ExportRequest) -> ExportRecord | None:
        """Return the unfinished export, if any."""
        store = self._store
        notes: Mapping[str, str] = (
            {} if store is None else await _patiently(partial(store.read_export_notes, self._export))
        )
        if _RECORD not in notes:
            return None
        kept = json.loads(notes[_RECORD])
        self._number = kept["number"]
        for name, note in notes.items():
            kind, _, number = name.partition(" ")
            if number.partition(" ")[0] != self._number:
                continue
            line = json.loads(note)
            if kind == _PART:
                without = tuple((device, attribute) for device, attribute in line["without"])
                self.finished[line["part"]] = FinishedPart(line["part"], line["rows"], 0, without)
            else:
                self.missing.add(line)
        return ExportRecord.from_json(kept, request, self._question, "the database")

    async def begin(self, request: ExportRequest, record: ExportRecord) -> ExportRecord:
        """Store the record of the export. Return the record of another process if that was faster."""
        if self._store is None:
            return record
        await self._add(_RECORD, {"number": self._number, **record.to_json(self._question)})
        return await self.load(request) or record

    async def add_finished(self, part: FinishedPart) -> None:
        """Record that a part is finished. Its rows are already committed."""
        line = {"part": part.part, "rows": part.rows, "without": part.without}
        await self._add(f"{_PART} {self._number} {part.part}", line)

    async def add_missing(self, devices: set[str]) -> None:
        """Record that devices no longer exist."""
        for device in sorted(devices):
            await self._add(f"{_MISSING} {self._number} {hashlib.sha256(device.encode()).hexdigest()}", device)

    async def forget(self) -> None:
        """Remove the notes of a complete export."""
        if (store := self._store) is not None:
            await _patiently(partial(store.forget_export, self._export))

    async def _add(self, name: str, note: object) -> None:
        if (store := self._store) is not None:
            text = json.dumps(note, separators=(",", ":"))
            await _patiently(partial(store.note_export, self._export, name, text))


_RECORD: Final = "record"
_PART: Final = "part"
_MISSING: Final = "missing"


async def _patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Call a method of a store, and retry while the store is unavailable."""
    pause = _FIRST_PAUSE
    end = anyio.current_time() + _PATIENCE_SECONDS
    while True:
        try:
            return await work()
        except StorageError as error:
            if not error.temporary or anyio.current_time() + pause > end:
                raise
        await anyio.sleep(pause)
        pause = min(2 * pause, 5.0)
