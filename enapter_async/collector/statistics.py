"""Statistics of a collector."""

from __future__ import annotations

import attrs

from enapter_async import WatchStatistics


@attrs.define(kw_only=True)
class CollectorStatistics:
    """Statistics of a collector since it was created.

    Attributes:
        devices: Devices that are collected.
        visible_devices: Devices that the token can see, or that were named.
        attributes: Attributes that are collected.
        seen: Attributes that had a datapoint.
        datapoints: New datapoints that came.
        rows: Rows that were new and are committed, without those that were filled in.
        duplicates: Rows that the store had already.
        rows_filled: Rows that were filled in from history.
        gaps_noted: Gaps that were noted.
        gaps_open: Gaps in the journal.
        gap_seconds_open: Seconds in them.
        gap_span: Start of the first and end of the last gap that was noted, in microseconds since 1970.
        seconds_repaired: Seconds that were looked up in history.
        can_repair: Whether gaps are filled.
        skipped: Devices, attributes and values that could not be collected.
        without_value: Attributes for which the server warned instead of giving a value.
        longest_gap: Most seconds between two datapoints of one attribute, with device and attribute.
        waiting: Rows that wait to be written.
        stalls: How often polling had to wait for the store.
        committed_at: Unix time of the last commit; None before the first.
        polls: Statistics of the polling.
    """

    devices: int = 0
    visible_devices: int = 0
    attributes: int = 0
    seen: int = 0
    datapoints: int = 0
    rows: int = 0
    duplicates: int = 0
    rows_filled: int = 0
    gaps_noted: int = 0
    gaps_open: int = 0
    gap_seconds_open: float = 0.0
    gap_span: tuple[int, int] | None = None
    seconds_repaired: float = 0.0
    can_repair: bool = False
    skipped: int = 0
    without_value: int = 0
    longest_gap: tuple[float, str, str] = (0.0, "", "")
    waiting: int = 0
    stalls: int = 0
    committed_at: float | None = None
    polls: WatchStatistics = attrs.field(factory=WatchStatistics)
