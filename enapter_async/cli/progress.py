"""What the user sees while `collect` works: a panel on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections import deque
from typing import Final

import anyio
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from enapter_async import EnapterClient
from enapter_async.cli.collector import Collector, Traffic
from enapter_async.cli.gap import GapFiller
from enapter_async.cli.writer import Writer

_REFRESH_SECONDS: Final = 0.25
_LINE_SECONDS: Final = 10.0
_RATE_SECONDS: Final = 5.0


class Progress:
    """Shows a collector at work."""

    def __init__(
        self,
        client: EnapterClient,
        collector: Collector,
        writer: Writer,
        traffic: Traffic,
        seconds: float | None,
        *,
        filler: GapFiller | None = None,
    ) -> None:
        """Begin to count time.

        Args:
            client: For what is in flight.
            collector: For datapoints.
            writer: For what waits to be written.
            traffic: For requests, 429 answers and errors.
            seconds: How long it will take, if that is known.
            filler: For how much of a gap is filled.
        """
        self._filler = filler
        self._client = client
        self._collector = collector
        self._writer = writer
        self._traffic = traffic
        self._seconds = seconds
        self._started = anyio.current_time()
        self._samples: deque[tuple[float, int]] = deque()

    async def show(self, console: Console) -> None:
        """Show it until cancelled."""
        if not console.file.isatty():  # whatever FORCE_COLOR says
            while True:
                await anyio.sleep(_LINE_SECONDS)
                console.print(self._line(), soft_wrap=True, highlight=False, markup=False)
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(self._panel(), refresh=True)
                await anyio.sleep(_REFRESH_SECONDS)

    def _figures(self) -> list[tuple[str, str]]:
        load = self._client.load
        statistics = self._collector.statistics
        figures = [
            ("devices", f"{len(self._collector.plan.units):,}"),
            ("datapoints", f"{self._collector.datapoints:,}"),
            ("datapoints/s", f"{self._rate():,.0f}"),
            ("in flight", f"{load.in_flight:,}"),
            ("429s", f"{self._traffic.rate_limited:,}"),
            ("errors", f"{self._traffic.errors:,}"),
            ("missed ticks", f"{statistics.missed_ticks:,}"),
        ]
        if self._filler is not None and self._filler.whole:
            figures.append(("of the gap filled", f"{self._filler.share:.0%}"))
        if load.waiting:
            pace = "" if load.requests_per_second is None else f" at {load.requests_per_second:,.1f}/s"
            figures.append(("waiting for a turn", f"{load.waiting:,}{pace}"))
        if self._writer.waiting > 10_000:
            figures.append(("waiting for the disk", f"{self._writer.waiting:,}"))
        return figures

    def _rate(self) -> float:
        now, count = anyio.current_time(), self._collector.datapoints
        samples = self._samples
        samples.append((now, count))
        while len(samples) > 2 and samples[1][0] <= now - _RATE_SECONDS:
            samples.popleft()
        start, before = samples[0] if len(samples) > 1 else (self._started, 0)
        return (count - before) / (now - start) if now > start else 0.0

    def _line(self) -> str:
        figures = ", ".join(f"{value} {name}" for name, value in self._figures())
        problem = self._collector.last_problem
        return f"{clock(self._elapsed)}  {figures}" + (f"; last: {problem}" if problem else "")

    def _panel(self) -> RenderableType:
        elapsed = self._elapsed
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim")
        table.add_column(justify="right")
        for name, value in self._figures():
            alarming = name in {"429s", "errors", "missed ticks"} and value != "0"
            table.add_row(name, Text(value, style="yellow" if alarming else "bold"))
        frame = Table.grid()
        frame.add_row(Text(f"collecting, {clock(elapsed)}  (Ctrl-C ends it)", style="cyan"))
        if self._seconds is not None:
            frame.add_row(ProgressBar(total=self._seconds, completed=min(elapsed, self._seconds), width=50))
        frame.add_row(table)
        if self._collector.last_problem:
            problem = f"last: {self._collector.last_problem}"
            frame.add_row(Text(problem, style="yellow", no_wrap=True, overflow="ellipsis"))
        return frame

    @property
    def _elapsed(self) -> float:
        return anyio.current_time() - self._started


def clock(seconds: float) -> str:
    """Write a length of time as hours, minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def summary(
    collector: Collector, writer: Writer, traffic: Traffic, elapsed: float, *, filler: GapFiller | None = None
) -> str:
    """Write what was collected, one figure a line."""
    statistics = collector.statistics
    without = collector.plan.attributes - collector.seen
    gap, device, attribute = collector.longest_gap
    lines = [
        ("devices", f"{len(collector.plan.units):,}", f"of {collector.plan.devices:,} with numeric telemetry"),
        ("attributes", f"{collector.plan.attributes:,}", f"{without:,} gave no value" if without else ""),
        ("datapoints", f"{writer.written:,}", f"{writer.written / max(elapsed, 0.001):,.0f} a second"),
        (
            "duplicates skipped",
            f"{statistics.repeats + writer.duplicates:,}",
            f"{writer.duplicates:,} were in the file already" if writer.duplicates else "",
        ),
        ("requests", f"{traffic.requests:,}", ""),
        ("429 answers", f"{traffic.rate_limited:,}", ""),
        ("errors", f"{traffic.errors:,}", f"{statistics.failures:,} polls failed" if statistics.failures else ""),
        ("missed ticks", f"{statistics.missed_ticks:,}", f"of {statistics.ticks:,}"),
        ("longest gap", f"{statistics.longest_gap:.3g} s", "between two answers for the same attributes"),
        ("", f"{gap:.3g} s", f"between two datapoints ({device} {attribute})" if gap else "between two datapoints"),
    ]
    if filler is not None:
        lines.append(("filled in", f"{filler.rows:,}", _said_of(filler)))
    if collector.not_numeric:
        lines.append(("not written", f"{collector.not_numeric:,}", "were no numbers"))
    if writer.stalls:
        lines.append(("waits for the disk", f"{writer.stalls:,}", "polling paused meanwhile"))
    width = max(len(value) for _, value, _ in lines)
    return "\n".join(f"  {name:<18}  {value:>{width}}  {remark}".rstrip() for name, value, remark in lines)


def _said_of(filler: GapFiller) -> str:
    if not filler.whole:
        return "there was no gap"
    if filler.done == filler.whole:
        return f"the gap of {clock(filler.whole)} is filled"
    problem = f" ({filler.problem})" if filler.problem else ""
    return f"{filler.share:.0%} of a gap of {clock(filler.whole)}; --fill-gap goes on next time{problem}"
