"""The export itself: from the API into the files of the parts, several at a time, and from these into one file."""

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
        rows: Its rows; None where an earlier run completed the file and was stopped right after that.
        without_value: Series for which no value came, as device ID and attribute: there is none in this span, or
            the token may not read it.
        missing_devices: IDs of devices that were deleted while the export was under way. Their rows up to then
            may be in the file.
    """

    path: Path
    rows: int | None
    without_value: tuple[tuple[str, str], ...] = ()
    missing_devices: tuple[str, ...] = ()


class HistoryExport:
    """One export, step by step; `export_history` takes all the steps.

    An async context manager, which holds the folder `<file>.partial` against other processes. Whatever ends the
    program, an export of an equal request continues where this one ended, with the span, the devices and the
    attributes of the first start. The file appears when it is complete; a file that exists is never replaced.

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
        """Prepare the export; nothing is read or written yet.

        Args:
            target: The file to make.
            request: Devices, attributes and time range to export.
            source: Name of the server, such as its address. An export of one server is
                not continued with the data of another.
            file_format: `"parquet"`, `"csv"` or `"jsonl"`; by default as the name of the file ends.

        Raises:
            InvalidArgumentError: The format is unknown.
            MissingExtraError: Parquet needs the extra `arrow`.
        """
        path = Path(target)
        name = file_format or guess_format(path)
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
        """Take the folder, and what an earlier start left in it.

        Raises:
            StorageError: The folder or the file is something else, or another process holds it.
            InvalidArgumentError: The folder is of an export of something else; the argument is named.
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
        """Release the folder, which stays where something is left to be done."""
        self._held.close()

    @property
    def is_complete(self) -> bool:
        """Whether the file is complete: nothing is left to be done but to `join`."""
        return self._is_complete

    @property
    def is_read(self) -> bool:
        """Whether all of the history is on the disk: `join` needs no server."""
        return self._is_complete or (self._record is not None and len(self._folder.finished) == len(self._record.plan))

    @property
    def rows(self) -> int:
        """Rows so far, those of earlier runs included."""
        return self._rows + sum(writer.rows for writer in self._writers.values())

    @property
    def share_read(self) -> float:
        """Share of the whole span of all devices that has been read, 0 to 1."""
        if self._record is None:
            return 0.0
        return (len(self._folder.finished) + sum(self._shares.values())) / len(self._record.plan)

    @property
    def share_joined(self) -> float:
        """Share of what was read that is in the file, 0 to 1."""
        return self._joined / len(self._record.plan) if self._record is not None else 0.0

    async def read(self, client: EnapterClient, *, concurrency: int = _CONCURRENCY) -> None:
        """Read what is not on the disk yet; sends nothing if everything is.

        Args:
            client: Where from.
            concurrency: Most requests at once.

        Raises:
            EnapterError: The API refuses or cannot be reached; what is finished stays.
            SelectionError: A device or an attribute does not exist.
            InvalidArgumentError: An argument of the request is invalid.
            StorageError: A file cannot be written; what is finished stays.
        """
        if concurrency < 1:
            raise InvalidArgumentError("concurrency", f"must be at least 1, got {concurrency}")
        if self.is_read:
            return
        record = self._record
        try:
            if record is None:
                self._request.resolve(datetime.now(UTC))  # an invalid span is told before anything is asked
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
        """Make the file of what was read, and remove the folder.

        Raises:
            StorageError: The file cannot be written, or has appeared meanwhile.
            RuntimeError: Not everything was read yet.
        """
        if not self.is_read:
            raise RuntimeError("read() has to end before join()")
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
        """Read and write a part, or what is left of it without the devices that no longer exist."""
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
    """Export history into a file, or continue an export that was stopped.

    Args:
        client: Where from.
        target: The file to make; it appears when it is complete. Until then the folder `<file>.partial` holds what
            is finished.
        request: Devices, attributes and time range to export.
        file_format: `"parquet"`, `"csv"` or `"jsonl"`; by default as the name of the file ends.
        concurrency: Most requests at once.

    Raises:
        EnapterError: The API refuses or cannot be reached; the same call continues from there.
        SelectionError: A device or an attribute does not exist.
        InvalidArgumentError: An argument is invalid, or the folder is of an export of something else.
        StorageError: A file cannot be read or written, exists already, or is used by another process.
        MissingExtraError: Parquet needs the extra `arrow`.
    """
    async with HistoryExport(target, request, source=client.config.base_url, file_format=file_format) as export:
        await export.read(client, concurrency=concurrency)
        return await export.join()


def _storage_error(path: Path, error: OSError) -> StorageError:
    return StorageError(error.filename or path, error.strerror or str(error))
