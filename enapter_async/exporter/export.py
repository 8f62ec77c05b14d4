"""The export: several parts at a time are read into files, which are then joined into one file."""

from __future__ import annotations

import os
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio
import anyio.from_thread
import anyio.to_thread
import attrs

from enapter_async import EnapterClient, HistoryPart, InvalidArgumentError, StorageError
from enapter_async._arguments import require_instance, require_path, require_whole_number
from enapter_async._protocol.query import text
from enapter_async.exporter._folder import ExportFolder
from enapter_async.exporter._formats import PartWriter, get_format, guess_format
from enapter_async.exporter._parts import (
    FinishedPart,
    PartsReader,
    list_series,
    list_with_values,
    list_without_value,
    opened_part,
)
from enapter_async.exporter.request import ExportRecord, ExportRequest
from enapter_async.exporter.selection import select_devices

_CONCURRENCY: Final = 8


@attrs.frozen
class ExportResult:
    """The result of an export.

    Attributes:
        path: The file.
        rows: Number of rows; None if an earlier run completed the file and was stopped right after that.
        without_value: Series without a value, as device ID and attribute. There is none in this time range, or the
            token may not read it.
        missing_devices: IDs of devices that were deleted during the export. Their rows up to then may be in the file.
    """

    path: Path
    rows: int | None
    without_value: tuple[tuple[str, str], ...] = ()
    missing_devices: tuple[str, ...] = ()


class HistoryExport:
    """An export whose history is read and whose file is created in separate calls. `export_history` makes them all.

    An async context manager, which locks the folder `<file>.partial`. After an interruption or a crash, an export with
    an equal request resumes it, with the time range, the devices and the attributes of the first start. The file is
    created when it is complete. An existing file is never replaced.

    Example:
        ```python
        async with HistoryExport("history.parquet", request, source="plant") as export:
            await export.read(client)
            result = await export.join()
        ```
    """

    def __init__(
        self, target: str | os.PathLike[str], request: ExportRequest, *, source: str, file_format: str | None = None
    ) -> None:
        """Prepare the export. Nothing is read or written yet.

        Args:
            target: File to create.
            request: Devices, attributes and time range to export.
            source: Name of the server, such as its address. An export is not resumed with the data of another server.
            file_format: `"parquet"`, `"csv"` or `"jsonl"`; by default as the name of the file ends.

        Raises:
            InvalidArgumentError: An argument is invalid.
            MissingExtraError: Parquet needs the extra `arrow`.
        """
        path = Path(require_path(target, "target"))
        require_instance(request, ExportRequest, "request")
        text(source, "source")
        name = guess_format(path) if file_format is None else file_format
        if name is None:
            raise InvalidArgumentError("target", f"must end in .parquet, .csv or .jsonl, got {str(path)!r}")
        self._path = path
        self._request = request
        self._format = get_format(name)
        self._question = {"source": source, "format": name, **request.to_json()}
        self._folder = ExportFolder(path)
        self._held = ExitStack()
        self._record: ExportRecord | None = None
        self._is_complete = False
        self._shares: dict[int, float] = {}
        self._writers: dict[int, PartWriter] = {}
        self._joined = 0
        self._rows = 0

    async def __aenter__(self) -> Self:
        """Lock the folder, and load the state of an earlier start.

        Raises:
            StorageError: The folder or the file is something else, or another process uses it.
            InvalidArgumentError: The folder belongs to another request. The error names the argument.
        """
        with ExitStack() as held:
            try:
                held.enter_context(self._folder.held())
                self._is_complete = self._folder.is_complete()
                kept = None if self._is_complete else self._folder.read_record()
                if kept is not None:
                    self._record = ExportRecord.from_json(kept, self._request, self._question, str(self._folder.path))
            except OSError as error:
                raise _storage_error(self._folder.path, error) from error
            self._rows = sum(part.rows for part in self._folder.finished.values())
            self._held = held.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Unlock the folder, which is kept if the export is not complete."""
        self._held.close()

    @property
    def is_complete(self) -> bool:
        """Whether the file is complete, so that only `join` remains to be called."""
        return self._is_complete

    @property
    def is_read(self) -> bool:
        """Whether all history is on disk, so that `join` needs no server."""
        return self._is_complete or (self._record is not None and len(self._folder.finished) == len(self._record.plan))

    @property
    def rows(self) -> int:
        """Number of rows so far, including earlier runs."""
        return self._rows + sum(writer.rows for writer in self._writers.values())

    @property
    def share_read(self) -> float:
        """Share of the history that has been read, 0 to 1."""
        if self._record is None:
            return 0.0
        return (len(self._folder.finished) + sum(self._shares.values())) / len(self._record.plan)

    @property
    def share_joined(self) -> float:
        """Share of the data read that is in the file, 0 to 1."""
        return self._joined / len(self._record.plan) if self._record is not None else 0.0

    async def read(self, client: EnapterClient, *, concurrency: int = _CONCURRENCY) -> None:
        """Read the parts that are not on disk yet. If all are, this sends nothing.

        Args:
            client: Where from.
            concurrency: Most requests at once.

        Raises:
            EnapterError: A request failed. Finished parts are kept.
            SelectionError: A device or an attribute does not exist.
            InvalidArgumentError: An argument of the request is invalid.
            StorageError: A file cannot be written. Finished parts are kept.
        """
        require_instance(client, EnapterClient, "client")
        concurrency = require_whole_number(concurrency, "concurrency", 1)
        if self.is_read:
            return
        record = self._record
        try:
            if record is None:
                self._request.resolve(datetime.now(UTC))  # report an invalid time range before sending requests
                selected = await select_devices(client, self._request.devices, self._request.attributes)
                record = ExportRecord.make(self._request, datetime.now(UTC), selected)
                self._folder.begin(record.to_json(self._question))
                self._record = record
            current = record

            async def write_part(part: HistoryPart, left: HistoryPart | None) -> FinishedPart:
                return await self._write_part(client, current, part, left)

            reader = PartsReader(
                client,
                current,
                finished=self._folder.finished,
                missing=self._folder.missing,
                write_part=write_part,
                note_missing=self._note_missing,
            )
            await reader.read(concurrency)
        except OSError as error:
            raise _storage_error(self._folder.path, error) from error

    async def join(self) -> ExportResult:
        """Create the file from the parts, and remove the folder.

        Raises:
            StorageError: The file cannot be written, or was created by another program in the meantime.
            RuntimeError: Not all parts have been read yet.
        """
        if not self.is_read:
            raise RuntimeError("read() must end before join()")
        if self._is_complete or self._record is None:
            await anyio.to_thread.run_sync(self._folder.remove)
            return ExportResult(self._path, None, (), tuple(sorted(self._folder.missing)))
        try:
            await anyio.to_thread.run_sync(self._join, self._record)
        except OSError as error:
            raise _storage_error(self._folder.target, error) from error
        result = ExportResult(
            self._path,
            self._rows,
            list_without_value(self._record, self._folder.finished),
            tuple(sorted(self._folder.missing)),
        )
        self._is_complete = True
        await anyio.to_thread.run_sync(self._folder.remove)
        return result

    async def _note_missing(self, devices: set[str]) -> None:
        self._folder.note_missing(devices)

    async def _write_part(
        self, client: EnapterClient, record: ExportRecord, part: HistoryPart, left: HistoryPart | None
    ) -> FinishedPart:
        """Read and write a part, without devices that no longer exist."""
        silent = list_series(part)
        new = self._folder.begin_part(part.index)
        writer = self._writers[part.index] = self._format.begin_part(new.file, record.units)

        def finish() -> FinishedPart:
            writer.close()
            finished = FinishedPart(part.index, writer.rows, new.file.tell(), tuple(sorted(silent)))
            new.complete()
            self._folder.note_finished(finished)
            return finished

        try:
            if left is not None:
                async with opened_part(client, left) as history:
                    async for batch in history:
                        await anyio.to_thread.run_sync(writer.write, batch)
                        silent -= list_with_values(batch, silent)
                        done = batch.unix_seconds[-1] - part.first
                        self._shares[part.index] = done / (part.before - part.first)
            finished = await anyio.to_thread.run_sync(finish)
            self._rows += finished.rows
            return finished
        finally:
            writer.give_up()
            new.give_up()
            del self._writers[part.index]
            self._shares.pop(part.index, None)

    def _join(self, record: ExportRecord) -> None:
        def on_joined() -> None:
            anyio.from_thread.check_cancelled()
            self._joined += 1

        with self._folder.whole() as file:
            self._format.join_parts(self._folder.list_parts(len(record.plan)), file, on_joined)


async def export_history(
    client: EnapterClient,
    target: str | os.PathLike[str],
    request: ExportRequest,
    *,
    file_format: str | None = None,
    concurrency: int = _CONCURRENCY,
) -> ExportResult:
    """Export history to a file, or resume an interrupted export.

    Args:
        client: Where from.
        target: File to create when the export is complete. Until then the folder `<file>.partial` contains the
            finished parts.
        request: Devices, attributes and time range to export.
        file_format: `"parquet"`, `"csv"` or `"jsonl"`; by default as the name of the file ends.
        concurrency: Most requests at once.

    Raises:
        EnapterError: A request failed. The same call resumes the export.
        SelectionError: A device or an attribute does not exist.
        InvalidArgumentError: An argument is invalid, or the folder belongs to another request.
        StorageError: A file cannot be read or written, exists already, or is used by another process.
        MissingExtraError: Parquet needs the extra `arrow`.
    """
    require_instance(client, EnapterClient, "client")
    concurrency = require_whole_number(concurrency, "concurrency", 1)
    async with HistoryExport(target, request, source=client.config.base_url, file_format=file_format) as export:
        await export.read(client, concurrency=concurrency)
        return await export.join()


def _storage_error(path: Path, error: OSError) -> StorageError:
    return StorageError(error.filename or path, error.strerror or str(error))
