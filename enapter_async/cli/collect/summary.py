"""The summary of a run, one figure per line."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from enapter_async._visible import make_visible
from enapter_async.cli.traffic import Traffic, clock
from enapter_async.collector import CollectorStatistics, guess_store_format

_MOST_NAMED: Final = 3
_LIST_WIDTH: Final = 60
_LEAST_WIDTH: Final = 20
"""Columns for remarks below which they are not wrapped."""


def summarize(
    done: CollectorStatistics,
    traffic: Traffic,
    elapsed: float,
    *,
    target: str,
    names: Mapping[str, str] | None = None,
    silent: Sequence[str] = (),
    without_value: Sequence[tuple[str, str]] = (),
    wrong_clocks: Sequence[str] = (),
    width: int | None = None,
) -> str:
    """Return a summary of the collected data.

    Args:
        done: Statistics of the collector.
        traffic: Counts of requests.
        elapsed: Duration in seconds.
        target: File, folder or database.
        names: Names of devices for display, by ID.
        silent: Some of the devices without a value.
        without_value: Some of the attributes without a value, each with its device.
        wrong_clocks: Some of the devices with a wrong clock.
        width: Columns of the terminal; None for unlimited lines.
    """
    names = names or {}
    polls = done.polls
    rows = done.rows + done.rows_filled
    gap, device, attribute = done.longest_gap
    lines = [
        ("devices", f"{done.devices_seen:,}", _describe_devices(done, [names.get(one, one) for one in silent])),
        (
            "attributes",
            f"{done.seen:,}",
            _describe_attributes(done, [f"{names.get(one, one)} {name}" for one, name in without_value]),
        ),
        ("datapoints", f"{rows:,}", f"{rows / max(elapsed, 0.001):,.0f} per second"),
        (
            "duplicates skipped",
            f"{done.duplicates:,}",
            f"{done.duplicate_rows:,} were already in the store" if done.duplicate_rows else "",
        ),
        ("requests", f"{traffic.requests:,}", ""),
        ("429 responses", f"{traffic.rate_limited:,}", ""),
        ("errors", f"{traffic.errors:,}", f"{polls.failures:,} polls failed" if polls.failures else ""),
        ("missed ticks", f"{polls.missed_ticks:,}", f"of {polls.ticks:,}"),
        (
            "longest gap",
            f"{gap:.3g} s",
            f"between new values of {f'{names.get(device, device)} {attribute}'.strip()}" if gap else "",
        ),
    ]
    if done.can_repair:
        lines.append(("filled in", f"{done.rows_filled:,}", _describe_gaps(done)))
    elif done.gaps_noted or done.gaps_open:
        lines.append(("gaps recorded", f"{done.gaps_noted:,}", _describe_place(done, target)))
    if done.wrong_clocks:
        who = _list_some([names.get(one, one) for one in wrong_clocks], done.wrong_clocks)
        lines.append(("wrong clocks", f"{done.wrong_clocks:,}", f"gaps cannot be found: {who}"))
    if done.skipped:
        lines.append(("skipped", f"{done.skipped:,}", "devices, attributes or values that cannot be collected"))
    if done.waiting:
        lines.append(("not stored", f"{done.waiting:,}", "rows were received, but the store did not accept them"))
    if done.stalls:
        lines.append(("store stalls", f"{done.stalls:,}", "polling paused for the store"))
    column = max(len(value) for _, value, _ in lines)
    text = [
        line
        for name, value, remark in lines
        for line in _wrap(f"  {name:<18}  {value:>{column}}  ", make_visible(remark), width)
    ]
    if done.gaps_noted and not done.can_repair:
        text += [*(f"    {kind}" for kind in done.gap_kinds), *_describe_export(done)]
    return "\n".join(text)


def _wrap(prefix: str, remark: str, width: int | None) -> list[str]:
    """Return a line, or several if it does not fit into the terminal. Remarks begin in one column."""
    if width is None or len(prefix) + len(remark) <= width or width - len(prefix) < _LEAST_WIDTH:
        return [f"{prefix}{remark}".rstrip()]
    indent = " " * len(prefix)
    return textwrap.wrap(remark, width, initial_indent=prefix, subsequent_indent=indent, break_on_hyphens=False)


def _list_some(names: Sequence[str], count: int) -> str:
    """Join the first names that fit into a line. The others are counted."""
    shown: list[str] = []
    for name in names[:_MOST_NAMED]:
        if shown and len(", ".join([*shown, name])) > _LIST_WIDTH:
            break
        shown.append(name)
    more = count - len(shown)
    if not shown:
        return f"{count:,}"
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")


def _describe_devices(done: CollectorStatistics, silent: Sequence[str]) -> str:
    text = f"of {done.visible_devices:,}"
    others = done.visible_devices - done.devices
    if others > 0:
        text += f"; {others:,} not selected"
    without = done.devices - done.devices_seen
    return f"{text}; no value yet: {_list_some(silent, without)}" if without > 0 else text


def _describe_attributes(done: CollectorStatistics, without_value: Sequence[str]) -> str:
    without = done.attributes - done.seen
    if without <= 0:
        return f"of {done.attributes:,}"
    return f"of {done.attributes:,}; without a value: {_list_some(without_value, without)}"


def _describe_gaps(done: CollectorStatistics) -> str:
    if done.gaps_open:
        gaps = "1 gap remains" if done.gaps_open == 1 else f"{done.gaps_open:,} gaps remain"
        left = done.gaps_unselected
        then = f"{left:,} of devices that are not collected" if left else "the next run fills them"
        return f"{gaps} ({clock(done.gap_seconds_open)} in total); {then}"
    if not done.seconds_repaired:
        return "no gaps" if not done.gaps_noted else "all gaps are filled"
    empty = done.without_history
    nothing = f"; history had nothing for {empty:,} attribute{'s' * (empty != 1)}" if empty else ""
    return f"all gaps are filled: checked {clock(done.seconds_repaired)} of history{nothing}"


def _describe_place(done: CollectorStatistics, target: str) -> str:
    if guess_store_format(target) in ("sqlite", "postgres"):
        gaps = f"{done.gaps_open:,} gap{'s' * (done.gaps_open != 1)}"
        return f"the table telemetry_gaps lists {gaps} ({clock(done.gap_seconds_open)} in total)"
    return "" if target == "-" else f"see {target}.gaps.jsonl"


def _describe_export(done: CollectorStatistics) -> Iterator[str]:
    """Yield the commands that fetch the missing data, in separate lines so that they can be copied."""
    for device, *span in done.gap_spans:
        since, until = (datetime.fromtimestamp(time / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for time in span)
        chosen = "" if device is None else f" --device {shlex.quote(make_visible(device))}"
        yield f"  enapter-async export --from {since} --until {until}{chosen}"
