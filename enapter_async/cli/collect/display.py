"""The progress display of `collect`: a panel on a terminal, otherwise one line a minute."""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

import anyio
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from enapter_async import EnapterClient
from enapter_async.cli.collect.log import Log
from enapter_async.cli.traffic import Traffic, clock
from enapter_async.collector import Collector, CollectorEvent, CollectorStatistics, GapsNoted
from enapter_async.collector.events import WarningEvent

_REFRESH_SECONDS: Final = 0.25
_LINE_SECONDS: Final = 60.0
_RATE_SECONDS: Final = 5.0
_ALWAYS: Final = ("devices", "datapoints", "rows", "requests")


class Display:
    """Shows the progress of a collector. Errors of the display are ignored.

    Attributes:
        last_problem: The most recent problem, as text.
    """

    def __init__(self, client: EnapterClient, collector: Collector, traffic: Traffic, seconds: float | None) -> None:
        """Start to measure time.

        Args:
            client: Client of the collector, for its load.
            collector: Collector to show.
            traffic: Counts of requests, 429 responses and errors.
            seconds: Planned duration, if any.
        """
        self.last_problem: str = ""
        self._client = client
        self._collector = collector
        self._traffic = traffic
        self._seconds = seconds
        self._started = anyio.current_time()
        self._samples: deque[tuple[float, int]] = deque()

    def note(self, event: CollectorEvent) -> None:
        """Count an event."""
        if isinstance(event, WarningEvent | GapsNoted):
            self.last_problem = str(event)

    async def show(self, console: Console) -> None:
        """Show a panel until cancelled."""
        try:
            with Live(console=console, auto_refresh=False, transient=True) as live:
                while True:
                    live.update(self._panel(), refresh=True)
                    await anyio.sleep(_REFRESH_SECONDS)
        except (OSError, ValueError):  # the terminal was closed
            await anyio.sleep_forever()

    async def log(self, log: Log, *, target: str, interval: float) -> None:
        """Write a line when values arrive, then one line a minute, until cancelled.

        Args:
            log: Receives the lines.
            target: File, folder or database.
            interval: Seconds between two polls.
        """
        before = self._collector.statistics
        traffic = (0, 0, 0)
        with anyio.move_on_after(_LINE_SECONDS):
            await self._log_start(log, target, interval)
            await anyio.sleep_forever()
        while True:
            now = self._collector.statistics
            sent = (self._traffic.requests, self._traffic.rate_limited, self._traffic.errors)
            requests, rate_limited, errors = (one - other for one, other in zip(sent, traffic, strict=True))
            fields: dict[str, object] = {
                "devices": now.devices,
                "datapoints": now.datapoints - before.datapoints,
                "rows": now.rows - before.rows,
                "filled_in": now.rows_filled - before.rows_filled,
                "requests": requests,
                "rate_limited": rate_limited,
                "errors": errors,
                "missed_ticks": now.polls.missed_ticks - before.polls.missed_ticks,
                "gaps_open": now.gaps_open,
                "waiting_rows": now.waiting,
            }
            # Of problems, a person reads only those that there are.
            figures = ", ".join(
                f"{value:,} {name.replace('_', ' ')}" for name, value in fields.items() if value or name in _ALWAYS
            )
            log.write(logging.INFO, f"last {_LINE_SECONDS:.0f} s: {figures}", event="Status", **fields)
            before, traffic = now, sent
            await anyio.sleep(_LINE_SECONDS)

    async def _log_start(self, log: Log, target: str, interval: float) -> None:
        while True:
            now = self._collector.statistics
            if now.datapoints:
                break
            await anyio.sleep(_REFRESH_SECONDS)
        attributes, devices = (
            f"{count:,} {name}{'s' * (count != 1)}"
            for count, name in ((now.attributes, "attribute"), (now.devices, "device"))
        )
        log.write(
            logging.INFO,
            f"collecting {attributes} of {devices} into {target} every {interval:g} s",
            event="Started",
            devices=now.devices,
            attributes=now.attributes,
            target=target,
            interval=interval,
        )

    def _figures(self, done: CollectorStatistics) -> list[tuple[str, str]]:
        load = self._client.load
        figures = [
            ("devices", f"{done.devices:,}"),
            ("datapoints", f"{done.datapoints:,}"),
            ("datapoints/s", f"{self._rate(done):,.0f}"),
            ("in flight", f"{load.in_flight:,}"),
            ("429s", f"{self._traffic.rate_limited:,}"),
            ("errors", f"{self._traffic.errors:,}"),
            ("missed ticks", f"{done.polls.missed_ticks:,}"),
        ]
        if done.gaps_open:
            figures.append(("gaps to fill", f"{done.gaps_open:,} ({clock(done.gap_seconds_open)})"))
        if done.rows_filled:
            figures.append(("filled in", f"{done.rows_filled:,}"))
        if load.waiting:
            pace = "" if load.requests_per_second is None else f" at {load.requests_per_second:,.1f}/s"
            figures.append(("waiting for the rate limit", f"{load.waiting:,}{pace}"))
        if done.waiting > 10_000:
            figures.append(("waiting for the store", f"{done.waiting:,}"))
        return figures

    def _rate(self, done: CollectorStatistics) -> float:
        now, count = anyio.current_time(), done.datapoints
        samples = self._samples
        samples.append((now, count))
        while len(samples) > 2 and samples[1][0] <= now - _RATE_SECONDS:
            samples.popleft()
        start, before = samples[0] if len(samples) > 1 else (self._started, 0)
        return (count - before) / (now - start) if now > start else 0.0

    def _panel(self) -> RenderableType:
        elapsed = anyio.current_time() - self._started
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim")
        table.add_column(justify="right")
        for name, value in self._figures(self._collector.statistics):
            alarming = name in {"429s", "errors", "missed ticks"} and value != "0"
            table.add_row(name, Text(value, style="yellow" if alarming else "bold"))
        frame = Table.grid()
        frame.add_row(Text(f"collecting, {clock(elapsed)}  (Ctrl-C stops it)", style="cyan"))
        if self._seconds is not None:
            frame.add_row(ProgressBar(total=self._seconds, completed=min(elapsed, self._seconds), width=50))
        frame.add_row(table)
        if self.last_problem:
            frame.add_row(Text(f"last: {self.last_problem}", style="yellow", no_wrap=True, overflow="ellipsis"))
        return frame
