"""`collect` as a service: metrics over HTTP, and messages to systemd."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
import click

from enapter_async import EnapterClient
from enapter_async.cli.running import alongside
from enapter_async.collector import Collector, CollectorStatistics
from enapter_async.collector._problems import FIRST_PAUSE, next_pause
from enapter_async.integrations.systemd import SystemdNotifier

if TYPE_CHECKING:
    from enapter_async.integrations.prometheus import LatestValues

_STATUS_SECONDS: Final = 10.0
_START_SECONDS: Final = 15.0
"""After this a service that still waits for its API or its store counts as started."""
_PATIENCE_SECONDS: Final = 10.0
"""Least time without a poll after which a collector counts as stuck."""
_PORTS: Final = 65_535


def parse_address(text: str) -> tuple[str, int]:
    """Read `HOST:PORT`, `:PORT` or `PORT`; the host is 127.0.0.1 unless it is given.

    Raises:
        click.BadParameter: The text is something else.
    """
    host, _, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not port.isascii() or not port.isdigit() or int(port) > _PORTS:
        raise click.BadParameter(f"{text!r} is not an address; write 127.0.0.1:9464", param_hint="--serve")
    return host or "127.0.0.1", int(port)


class Progress:
    """Whether a collector makes progress. While it waits for its store or has not begun to poll, that counts too."""

    def __init__(self, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin.

        Args:
            interval: Seconds between two polls.
            clock: Seconds, monotonic.
        """
        self._patience = max(3 * interval, _PATIENCE_SECONDS)
        self._clock = clock
        self._ticks = 0
        self._ticked_at = clock()

    def is_made(self, done: CollectorStatistics) -> bool:
        """Take the newest statistics into account; returns False if polling has stopped without a reason."""
        now, ticks = self._clock(), done.polls.ticks
        if ticks != self._ticks or not ticks or done.waiting:
            self._ticks, self._ticked_at = ticks, now
        return now - self._ticked_at <= self._patience


@asynccontextmanager
async def serving(
    address: tuple[str, int] | None,
    collector: Collector,
    client: EnapterClient,
    latest: LatestValues | None,
    *,
    interval: float,
    tell: Callable[[int, str], object],
) -> AsyncGenerator[None, None]:
    """Serve metrics for the length of a block, if there is an address.

    If that fails, it is told once and tried again: the collector goes on without.
    """
    if address is None or latest is None:
        yield
        return
    from enapter_async.integrations.prometheus import MetricsServer

    host, port = address

    async def serve() -> None:
        pause, told = FIRST_PAUSE, False
        while True:
            try:
                async with MetricsServer(collector, client, latest, host=host, port=port, interval=interval) as server:
                    tell(logging.INFO, f"metrics: {server.url}/metrics")
                    await anyio.sleep_forever()
            except Exception as error:  # noqa: BLE001 - whatever it is, collecting goes on
                if not told:
                    tell(logging.WARNING, f"{error}; trying again")
                told = True
            await anyio.sleep(pause)
            pause = next_pause(pause)

    async with alongside(serve):
        yield


class Service:
    """Keeps systemd informed about a collector."""

    def __init__(self, notifier: SystemdNotifier, collector: Collector, interval: float) -> None:
        """Prepare.

        Args:
            notifier: Where messages go.
            collector: The collector to report on.
            interval: Seconds between two polls.
        """
        self._notifier = notifier
        self._collector = collector
        self._interval = interval
        self._started = anyio.Event()
        self._stopping = False
        self._reloads = anyio.Event()

    def start(self) -> None:
        """Report that collecting begins."""
        self._started.set()

    def stop(self) -> None:
        """Report that the service ends, and let the collector end."""
        self._stop()
        self._collector.stop()

    def reload(self) -> None:
        """Have the output opened again, and report when that is done."""
        self._notifier.reloading()
        self._reloads.set()

    @asynccontextmanager
    async def reporting(self) -> AsyncGenerator[None, None]:
        """Report for the length of a block, from before the API and the store are there."""
        async with alongside(self._work):
            try:
                yield
            finally:
                self._stop()

    async def _work(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_reloading)
            if self._notifier.is_active:
                tasks.start_soon(self._report_start)
                tasks.start_soon(self._keep_reporting)

    async def _report_start(self) -> None:
        # A collector may wait for its API for hours, and systemd ends what takes 90 seconds to start.
        with anyio.move_on_after(_START_SECONDS):
            await self._started.wait()
        self._notifier.ready()

    async def _keep_reporting(self) -> None:
        pause = min(_STATUS_SECONDS, (self._notifier.watchdog_seconds or _STATUS_SECONDS) / 2)
        progress = Progress(self._interval)
        while True:
            done = self._collector.statistics
            self._notifier.status(
                f"{done.devices:,} devices, {done.rows:,} rows, {done.waiting:,} waiting, {done.gaps_open:,} open gaps"
                if self._started.is_set()
                else "waiting for the API and the store"
            )
            # The end has its own limit, TimeoutStopSec.
            if progress.is_made(done) or self._stopping:
                self._notifier.alive()
            if self._started.is_set():
                await anyio.sleep(pause)
                continue
            with anyio.move_on_after(pause):
                await self._started.wait()

    async def _keep_reloading(self) -> None:
        while True:
            await self._reloads.wait()
            self._reloads = anyio.Event()
            if self._started.is_set():  # before, nothing is open
                await self._collector.reopen().wait()
            self._notifier.ready()

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._notifier.stopping()
