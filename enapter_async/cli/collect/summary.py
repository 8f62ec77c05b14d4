"""The summary of a run, one figure per line."""

from __future__ import annotations

from datetime import UTC, datetime

from enapter_async.cli.traffic import Traffic, clock
from enapter_async.collector import CollectorStatistics, guess_store_format
from enapter_async.models.visible import make_visible


def summarize(done: CollectorStatistics, traffic: Traffic, elapsed: float, *, target: str) -> str:
    """Print a summary of the collected data.

    Args:
        done: Statistics of the collector.
        traffic: Counts of requests.
        elapsed: Duration in seconds.
        target: File, folder or database.
    """
    polls = done.polls
    without = done.attributes - done.seen
    rows = done.rows + done.rows_filled
    gap, device, attribute = done.longest_gap
    lines = [
        ("devices", f"{done.devices:,}", f"of {done.visible_devices:,}"),
        ("attributes", f"{done.attributes:,}", f"{without:,} had no value" if without else ""),
        ("datapoints", f"{rows:,}", f"{rows / max(elapsed, 0.001):,.0f} a second"),
        (
            "duplicates skipped",
            f"{polls.repeats + done.duplicates:,}",
            f"{done.duplicates:,} were already in the store" if done.duplicates else "",
        ),
        ("requests", f"{traffic.requests:,}", ""),
        ("429 answers", f"{traffic.rate_limited:,}", ""),
        ("errors", f"{traffic.errors:,}", f"{polls.failures:,} polls failed" if polls.failures else ""),
        ("missed ticks", f"{polls.missed_ticks:,}", f"of {polls.ticks:,}"),
        ("longest gap", f"{polls.longest_gap:.3g} s", "between two answers for the same attributes"),
        ("", f"{gap:.3g} s", f"between two datapoints ({device} {attribute})" if gap else "between two datapoints"),
    ]
    if done.can_repair:
        lines.append(("filled in", f"{done.rows_filled:,}", _describe_gaps(done)))
    elif done.gaps_noted:
        lines.append(("gaps noted", f"{done.gaps_noted:,}", _describe_export(done, target)))
    if done.skipped:
        lines.append(("skipped", f"{done.skipped:,}", "devices, attributes or values that cannot be collected"))
    if done.stalls:
        lines.append(("store stalls", f"{done.stalls:,}", "polling paused for the store"))
    width = max(len(value) for _, value, _ in lines)
    return "\n".join(
        f"  {name:<18}  {value:>{width}}  {make_visible(remark)}".rstrip() for name, value, remark in lines
    )


def _describe_gaps(done: CollectorStatistics) -> str:
    if done.gaps_open:
        gaps = "1 gap remains" if done.gaps_open == 1 else f"{done.gaps_open:,} gaps remain"
        return f"{gaps} ({clock(done.gap_seconds_open)} in total); the next run continues"
    if done.seconds_repaired:
        return f"the gap of {clock(done.seconds_repaired)} is filled"
    return "no gaps"


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
