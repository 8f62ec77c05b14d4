"""Export history into a database. Each part is written as it arrives, and existing rows are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

import anyio
import attrs

from enapter_async import EnapterClient, HistoryPart, InvalidArgumentError, StorageError
from enapter_async.exporter.request import ExportRecord, ExportRequest
from enapter_async.exporter.selection import select_devices
from enapter_async.rows import Row, make_batch_rows
from enapter_async.rows.batches import none_is_empty

_CONCURRENCY: Final = 8
_FIRST_PAUSE: Final = 0.25
_PATIENCE_SECONDS: Final = 60.0
"""How long a database that is away is waited for."""


class RowStore(Protocol):
    """The part of a store of `enapter_async.collector` that an export needs."""

    async def write(self, rows: Sequence[Row]) -> int:
        """Write rows that are not there yet; returns how many these were."""
        ...


@attrs.frozen
class DatabaseExportResult:
    """The outcome of an export into a store.

    Attributes:
        rows: Rows of the history.
        new: Those of them that were not in the database before.
    """

    rows: int
    new: int


async def export_to_store(
    client: EnapterClient,
    store: RowStore,
    request: ExportRequest,
    *,
    concurrency: int = _CONCURRENCY,
    on_progress: Callable[[float, int], object] = lambda _share, _rows: None,
) -> DatabaseExportResult:
    """Export history into a store, such as a table of PostgreSQL.

    Existing rows are kept. After an interruption, the same call completes the export.

    Args:
        client: The client to read with.
        store: The store to write to, open already. It stays open.
        request: The history to export.
        concurrency: Most requests at once.
        on_progress: A quick synchronous callable that gets the share of the parts that are written, 0 to 1, and the
            number of rows.

    Raises:
        EnapterError: The API refuses or cannot be reached.
        SelectionError: A device or an attribute does not exist.
        InvalidArgumentError: An argument is invalid.
        StorageError: The store cannot be written.
    """
    if concurrency < 1:
        raise InvalidArgumentError("concurrency", f"must be at least 1, got {concurrency}")
    now = datetime.now(UTC)
    request.resolve(now)  # an invalid span is told before anything is asked
    record = ExportRecord.make(request, now, await select_devices(client, request.devices, request.attributes))
    left = iter(list(record.plan))
    done = rows = new = 0
    problem: Exception | None = None

    async def read(part: HistoryPart) -> None:
        nonlocal rows, new
        async with client.telemetry.history([part], concurrency=1) as history:
            with none_is_empty():
                async for batch in history:
                    found = make_batch_rows(batch, record.units)
                    written = await _write(store, found)
                    new += written  # not in one line: other tasks add to it during the wait
                    rows += len(found)

    async def work() -> None:
        nonlocal done, problem
        try:
            for part in left:
                await read(part)
                done += 1
                on_progress(done / len(record.plan), rows)
        except Exception as error:  # noqa: BLE001 - raised below, outside of the group that would wrap it
            problem = problem or error
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for _ in range(concurrency):
            tasks.start_soon(work)
    if problem is not None:
        raise problem
    return DatabaseExportResult(rows, new)


async def _write(store: RowStore, rows: Sequence[Row]) -> int:
    pause = _FIRST_PAUSE
    end = anyio.current_time() + _PATIENCE_SECONDS
    while True:
        try:
            return await store.write(rows)
        except StorageError as error:
            if not error.temporary or anyio.current_time() + pause > end:
                raise
        await anyio.sleep(pause)
        pause = min(2 * pause, 5.0)
