"""Reads the parts of an export concurrently, without finished parts and deleted devices."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeAlias

import anyio
import attrs

from enapter_async import EnapterClient, History, HistoryPart, NotFoundError, TimeseriesBatch
from enapter_async.exporter.request import ExportRecord
from enapter_async.rows.batches import none_is_empty

SeriesKey: TypeAlias = tuple[str, str]
"""Device and attribute."""


@attrs.frozen
class FinishedPart:
    """A finished part.

    Attributes:
        part: Index of the part.
        rows: Number of rows.
        bytes: Size of its file; 0 in a database.
        without: Series without a value, as device and attribute.
    """

    part: int
    rows: int
    bytes: int
    without: tuple[SeriesKey, ...]


WritePart: TypeAlias = Callable[[HistoryPart, HistoryPart | None], Awaitable[FinishedPart]]
"""Reads and writes a part, or its rest without devices that no longer exist."""


class PartsReader:
    """Reads all unfinished parts of an export."""

    def __init__(
        self,
        client: EnapterClient,
        record: ExportRecord,
        *,
        finished: dict[int, FinishedPart],
        missing: set[str],
        write_part: WritePart,
        note_missing: Callable[[set[str]], Awaitable[None]],
    ) -> None:
        """Prepare the reader. Nothing is sent yet.

        Args:
            client: Client to read with.
            record: Record of the export.
            finished: Finished parts. Others are added.
            missing: Devices that no longer exist. Others are added.
            write_part: Reads and writes a part.
            note_missing: Records devices that no longer exist.
        """
        self._client = client
        self._record = record
        self._finished = finished
        self._missing = missing
        self._write_part = write_part
        self._note_missing = note_missing

    async def read(self, concurrency: int) -> None:
        """Read the parts, then check whether devices without values still exist."""
        left = iter([index for index in range(len(self._record.plan)) if index not in self._finished])
        problem: Exception | None = None

        async def work() -> None:
            nonlocal problem
            try:
                for index in left:
                    self._finished[index] = await self._read_part(self._record.plan[index])
            except Exception as error:  # noqa: BLE001 - raised below, outside of the group that would wrap it
                problem = problem or error
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            for _ in range(concurrency):
                tasks.start_soon(work)
        if problem is not None:
            raise problem
        await self._find_missing()

    async def _read_part(self, part: HistoryPart) -> FinishedPart:
        left: HistoryPart | None = part
        while left is not None:
            try:
                return await self._write_part(part, left)
            except NotFoundError as error:
                if not error.errors:
                    raise  # a proxy's response says nothing about devices
                # Without the code of an empty history, a device does not exist, and the response may not say which one.
                missing = await self._find_missing_among({series.device for series in left.query.series})
                if not missing:
                    raise
                left = _without_devices(left, missing)
        return await self._write_part(part, None)

    async def _find_missing_among(self, devices: set[str]) -> set[str]:
        """Return the devices that no longer exist."""
        missing: set[str] = set()
        for device in sorted(devices):
            try:
                await self._client.devices.get(device)
            except NotFoundError as error:
                if not error.errors:
                    raise
                missing.add(device)
        await self._note_missing(missing - self._missing)
        self._missing |= missing
        return missing

    async def _find_missing(self) -> None:
        """Check whether devices without values still exist, since a server may leave out unknown devices."""
        silent: set[str] = set()
        for finished in self._finished.values():
            with_values = list_series(self._record.plan[finished.part]) - set(finished.without)
            silent |= {device for device, _ in finished.without} - {device for device, _ in with_values}
        if silent := silent - self._missing:
            known = {device.id async for device in self._client.devices.list()}
            # Only a response about the device itself is reliable: the list may have changed while it was read.
            await self._find_missing_among(silent - known)


@asynccontextmanager
async def opened_part(client: EnapterClient, part: HistoryPart) -> AsyncGenerator[History]:
    """Open the history of a part. The block ends if the server responds that none of it has history."""
    async with client.telemetry.history([part], concurrency=1) as history:
        with none_is_empty():
            yield history


def list_series(part: HistoryPart) -> set[SeriesKey]:
    """Return the series of a part."""
    return {(series.device, attribute) for series in part.query.series for attribute in series.attributes}


def list_with_values(batch: TimeseriesBatch, series: set[SeriesKey]) -> set[SeriesKey]:
    """Return the series with a value in a batch."""
    return {
        key
        for column in batch.columns
        if (key := (column.device, column.attribute)) in series and any(value is not None for value in column.values)
    }


def list_without_value(record: ExportRecord, finished: Mapping[int, FinishedPart]) -> tuple[SeriesKey, ...]:
    """Return the series without a value in any finished part."""
    silent = {(device, attribute) for device, units in record.units.items() for attribute in units}
    for part in finished.values():
        silent -= list_series(record.plan[part.part]) - set(part.without)
    return tuple(sorted(silent))


def _without_devices(part: HistoryPart, devices: set[str]) -> HistoryPart | None:
    """Return a part without some devices, or None if nothing is left."""
    series = [one for one in part.query.series if one.device not in devices]
    return attrs.evolve(part, query=attrs.evolve(part.query, series=series)) if series else None
