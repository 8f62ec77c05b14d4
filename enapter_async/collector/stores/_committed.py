"""Times that a store has committed, to find out later whether the database or file lacks some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from enapter_async.collector._silence import CHECKED_AGAIN
from enapter_async.collector._times import DAY, SECOND, read_clock
from enapter_async.collector.gaps import Gap
from enapter_async.rows import Row


class CommittedTimes:
    """The oldest and the newest committed time of each device.

    A standby that takes over may lack the last transactions, and a restored backup the last day.

    Attributes:
        sample: A row of the last commit. If it is missing, the database has lost rows.
    """

    def __init__(self) -> None:
        self.sample: Row | None = None
        self._oldest: dict[str, int] = {}
        self._newest: dict[str, int] = {}

    @property
    def devices(self) -> list[str]:
        """The devices with committed rows."""
        return list(self._newest)

    def add(self, rows: Sequence[Row]) -> None:
        """Remember committed rows. Times more than a day ahead are ignored, as everywhere."""
        newest, ahead = self._newest, read_clock() + DAY
        for row in rows:
            device, moment = row[0], row[2]
            known = newest.get(device)
            if known is None:
                if moment < ahead:
                    newest[device] = self._oldest[device] = moment
            elif known < moment < ahead:
                newest[device] = moment
        if rows:
            self.sample = rows[-1]

    def find_losses(self, found: Mapping[str, int]) -> list[Gap]:
        """Return a gap for each device whose newest rows are missing.

        Args:
            found: Newest time of each device in the database.
        """
        gaps: list[Gap] = []
        for device, newest in self._newest.items():
            start = found.get(device, self._oldest[device])
            if start < newest or device not in found:
                gaps.append(_make_gap(device, start, newest, "the database lost rows"))
        return gaps


def find_replaced_rows(replaced: Mapping[str, int], found: Mapping[str, int], again: int = CHECKED_AGAIN) -> list[Gap]:
    """Return a gap for each device whose data ends earlier in a file than in the file that it replaced.

    The file may be a backup, or on a disk that was unmounted for a while. A new file without rows has no gaps.

    Args:
        replaced: Newest time of each device in the file that was replaced.
        found: Newest time of each device in the file.
        again: Seconds before the newest time that are part of the gap. Gaps within that time may have been
            recorded after the copy was made.
    """
    if not found:
        return []
    latest = max(found.values())
    starts = ((device, found.get(device, latest), newest) for device, newest in replaced.items())
    return [
        _make_gap(device, start - again * SECOND, newest, "the file was replaced")
        for device, start, newest in starts
        if start < newest
    ]


def _make_gap(device: str, first: int, last: int, reason: str) -> Gap:
    """Return a gap of whole seconds that contains both times."""
    start, before = first // SECOND * SECOND, (last // SECOND + 1) * SECOND
    return Gap(device_id=device, start=start, before=before, reason=reason)
