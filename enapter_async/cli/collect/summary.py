"""The summary of a run, one figure per line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from enapter_async.cli.traffic import Traffic, clock
from enapter_async.collector import CollectorStatistics, guess_store_format
from enapter_async.models.visible import make_visible


def summarize(
    done: CollectorStatistics,
    traffic: Traffic,
    elapsed: float,
    *,
    target: str,
    without_value: Sequence[tuple[str, str]] = (),
) -> str:
    """Print a summary of the collected data.

    Args:
        done: Statistics of the collector.
        traffic: Counts of requests.
        elapsed: Duration in seconds.
        target: File, folder or database.
        without_value: Some of the attributes without a value, each with its device.
    """
    polls = done.polls
    rows = done.rows + done.rows_filled
    gap, device, attribute = done.longest_gap
    lines = [
        ("devices", f"{done.devices:,}", f"of {done.visible_devices:,}"),
        ("attributes", f"{done.seen:,}", _describe_attributes(done, without_value)),
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
            f"between two responses with new values of one device ({f'{device} {attribute}'.strip()})" if gap else "",
        ),
    ]
    if done.can_repair:
        lines.append(("filled in", f"{done.rows_filled:,}", _describe_gaps(done)))
    elif done.gaps_noted:
        lines.append(("gaps recorded", f"{done.gaps_noted:,}", _describe_export(done, target)))
    if done.skipped:
        lines.append(("skipped", f"{done.skipped:,}", "devices, attributes or values that cannot be collected"))
    if done.stalls:
        lines.append(("store stalls", f"{done.stalls:,}", "polling paused for the store"))
    width = max(len(value) for _, value, _ in lines)
    return "\n".join(
        f"  {name:<18}  {value:>{width}}  {make_visible(remark)}".rstrip() for name, value, remark in lines
    )


def _describe_attributes(done: CollectorStatistics, without_value: Sequence[tuple[str, str]]) -> str:
    without = done.attributes - done.seen
    if without <= 0:
        return f"of {done.attributes:,}"
    named = ", ".join(f"{device} {attribute}" for device, attribute in without_value)
    more = without - len(without_value)
    if named and more > 0:
        named += f" and {more:,} more"
    return f"of {done.attributes:,}; without a value: {named or f'{without:,}'}"


def _describe_gaps(done: CollectorStatistics) -> str:
    if done.gaps_open:
        gaps = "1 gap remains" if done.gaps_open == 1 else f"{done.gaps_open:,} gaps remain"
        return f"{gaps} ({clock(done.gap_seconds_open)} in total); the next run fills them"
    if not done.seconds_repaired:
        return "no gaps" if not done.gaps_noted else "all gaps are filled"
    empty = done.without_history
    nothing = f"; history had nothing for {empty:,} attribute{'s' * (empty != 1)}" if empty else ""
    return f"all gaps are filled: checked {clock(done.seconds_repaired)} of history{nothing}"


def _describe_export(done: CollectorStatistics, target: str) -> str:
    span = done.gap_span
    if span is None:
        return ""
    since, until = (datetime.fromtimestamp(time / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for time in span)
    read = f"`enapter-async export --from {since} --until {until}` exports that time"
    form = guess_store_format(target)
    if form in ("sqlite", "postgres"):
        return f"listed in the table telemetry_gaps; {read}"
    return read if target == "-" else f"see {target}.gaps.jsonl; {read}"
