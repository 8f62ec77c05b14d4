"""`collect` as a service, with metrics over HTTP and messages to systemd."""

from __future__ import annotations

import ipaddress
import logging
import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
import click

from enapter_async import EnapterClient
from enapter_async._pauses import FIRST_PAUSE, next_pause
from enapter_async.cli.running import alongside
from enapter_async.collector import Collector, CollectorStatistics
from enapter_async.integrations.systemd import SystemdNotifier

if TYPE_CHECKING:
    from enapter_async.integrations.prometheus import LatestValues

_STATUS_SECONDS: Final = 10.0
_START_SECONDS: Final = 15.0
"""Seconds after which a service that still waits for its API or store counts as started."""
_PATIENCE_SECONDS: Final = 10.0
"""Shortest time without a poll, in seconds, after which a collector counts as stuck."""
_SHORTEST_PAUSE: Final = 0.1
_PORTS: Final = 65_535
_NAME: Final = re.compile(r"[^][/:]*").fullmatch
_PORT: Final = re.compile(r"[0-9]{1,5}").fullmatch


def parse_address(text: str) -> tuple[str, int]:
    """Read `HOST:PORT`, `:PORT` or `PORT`. The default host is 127.0.0.1.

    Raises:
        click.BadParameter: The text is invalid.
    """
    host, _, port = text.strip().rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not (_NAME(host) or _is_ipv6(bare)) or not _PORT(port) or int(port) > _PORTS:
        raise click.BadParameter(
            f"{text!r} is not an address such as 127.0.0.1:9464 or [::1]:9464", param_hint="--serve"
        )
    return bare or "127.0.0.1", int(port)


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


class Progress:
    """Checks whether a collector makes progress. Waiting for the store or for the first poll counts as progress."""

    def __init__(self, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Create the check.

        Args:
            interval: Seconds between two polls.
            clock: Seconds, monotonic.
        """
        self._patience = max(3 * interval, _PATIENCE_SECONDS)
        self._clock = clock
        self._ticks = 0
        self._ticked_at = clock()

    def is_made(self, done: CollectorStatistics) -> bool:
        """Compare the newest statistics. Return False if polling has stopped without a reason."""
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
    """Serve metrics during a block, if there is an address.

    If that fails, the failure is logged once and the collector continues without metrics while it is retried.
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
        """Prepare the reports.

        Args:
            notifier: Sends the messages.
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
        """Report that collecting has started."""
        self._started.set()

    def stop(self) -> None:
        """Report that the service is stopping, and stop the collector."""
        self._stop()
        self._collector.stop()

    def reload(self) -> None:
        """Reopen the output, and report when that is done."""
        self._notifier.reloading()
        self._reloads.set()

    @asynccontextmanager
    async def reporting(self) -> AsyncGenerator[None, None]:
        """Report during a block, which may begin before the API and the store are available."""
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
        # A collector may wait for its API for hours, but systemd kills services that take 90 seconds to start.
        with anyio.move_on_after(_START_SECONDS):
            await self._started.wait()
        await self._report_ready()

    async def _keep_reporting(self) -> None:
        pause = max(_SHORTEST_PAUSE, min(_STATUS_SECONDS, (self._notifier.watchdog_seconds or _STATUS_SECONDS) / 2))
        progress = Progress(self._interval)
        while True:
            done = self._collector.statistics
            self._notifier.status(
                f"{done.devices:,} devices, {done.rows:,} rows, {done.waiting:,} waiting, {done.gaps_open:,} open gaps"
                if self._started.is_set()
                else "waiting for the API and the store"
            )
            # Stopping has a separate limit, TimeoutStopSec.
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
            if self._started.is_set():  # nothing is open before
                await self._collector.reopen().wait()
            await self._report_ready()

    async def _report_ready(self) -> None:
        while not self._notifier.ready():  # noqa: ASYNC110 - the socket of systemd has no event to wait for
            await anyio.sleep(_SHORTEST_PAUSE)

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._notifier.stopping()
