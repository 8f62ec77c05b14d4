"""Statistics of a collector."""

from __future__ import annotations

import attrs

from enapter_async import WatchStatistics
from enapter_async.collector.gaps import GapKind


@attrs.define(kw_only=True)
class CollectorStatistics:
    """Statistics of a collector since it was created.

    Attributes:
        devices: Number of devices collected.
        devices_seen: Number of these with a datapoint.
        wrong_clocks: Number of these with times that cannot be right.
        visible_devices: Number of devices that the token can see, or that were named.
        attributes: Number of attributes collected.
        seen: Number of these attributes with a datapoint.
        datapoints: Number of new datapoints received.
        rows: Number of new rows committed, not counting rows filled in from history.
        duplicates: Number of datapoints that were skipped because they were received again or are already in the store.
        duplicate_rows: Number of those that are already in the store.
        rows_filled: Number of rows filled in from history.
        gaps_noted: Number of gaps recorded.
        gaps_open: Number of gaps in the journal when it was last read, at most about a minute ago. Without a
            journal, as in files, it is the number of gaps recorded by this collector.
        gap_seconds_open: Total length of these gaps, in seconds; 0 without a journal.
        gaps_unselected: Number of these whose device is not collected, or no longer.
        gap_kinds: The recorded gaps by reason, with the most frequent reason first.
        gap_span: Start of the first and end of the last recorded gap, in microseconds since 1970.
        gap_spans: Start and end of the recorded gaps of all devices (None), and of a few devices far behind the others.
            Together they contain all recorded gaps.
        seconds_repaired: Seconds of gaps looked up in history.
        can_repair: Whether gaps are filled.
        skipped: Number of devices, attributes and values that could not be collected.
        without_value: Number of attributes for which the server returned a warning instead of a value.
        without_history: Number of attributes that are collected live and had no value in history in a gap.
        longest_gap: Longest time in seconds without a new datapoint of a device, with the device and an attribute of
            the datapoint after it. A repair does not change it.
        waiting: Number of rows waiting to be written.
        stalls: Number of times that polling had to wait for the store.
        committed_at: Unix time of the last commit; None before the first.
        polls: Statistics of polling.
    """

    devices: int = 0
    devices_seen: int = 0
    wrong_clocks: int = 0
    visible_devices: int = 0
    attributes: int = 0
    seen: int = 0
    datapoints: int = 0
    rows: int = 0
    duplicates: int = 0
    duplicate_rows: int = 0
    rows_filled: int = 0
    gaps_noted: int = 0
    gaps_open: int = 0
    gap_seconds_open: float = 0.0
    gaps_unselected: int = 0
    gap_kinds: tuple[GapKind, ...] = ()
    gap_span: tuple[int, int] | None = None
    gap_spans: tuple[tuple[str | None, int, int], ...] = ()
    seconds_repaired: float = 0.0
    can_repair: bool = False
    skipped: int = 0
    without_value: int = 0
    without_history: int = 0
    longest_gap: tuple[float, str, str] = (0.0, "", "")
    waiting: int = 0
    stalls: int = 0
    committed_at: float | None = None
    polls: WatchStatistics = attrs.field(factory=WatchStatistics)
