"""Memory of the newest rows of files, which cannot be searched for every row."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from enapter_async.rows import Row

_REMEMBERED: Final = 4


class Recent:
    """The last few written times of each attribute, since the first responses repeat them."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], tuple[int, ...]] = {}

    def add(self, rows: Iterable[Row]) -> None:
        """Remember rows, oldest first."""
        for row in rows:
            key = (row[0], row[1])
            self._times[key] = (row[2], *self._times.get(key, ())[: _REMEMBERED - 1])

    def select_new(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return the rows that are not among the remembered ones."""
        if not self._times:
            return rows
        times = self._times
        return [row for row in rows if row[2] not in times.get((row[0], row[1]), ())]

    def newest(self, devices: Collection[str], before: int) -> dict[str, int]:
        """Return the newest time of each device before a time."""
        found: dict[str, int] = {}
        for (device, _), times in self._times.items():
            newest = max((time for time in times if time < before), default=None)
            if newest is not None and newest > found.get(device, newest - 1):
                found[device] = newest
        return {device: found[device] for device in devices if device in found}
