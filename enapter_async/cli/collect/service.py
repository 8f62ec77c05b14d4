"""What a collector does as a service: metrics over HTTP, and signs of life for systemd."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
import click

from enapter_async import EnapterClient
from enapter_async.cli.running import alongside
from enapter_async.collector import Collector
from enapter_async.integrations.systemd import SystemdNotifier

if TYPE_CHECKING:
    from enapter_async.integrations.prometheus import LatestValues

_STATUS_SECONDS: Final = 10.0
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


@asynccontextmanager
async def serving(
    address: tuple[str, int] | None,
    collector: Collector,
    client: EnapterClient,
    latest: LatestValues | None,
    interval: float,
) -> AsyncGenerator[str | None, None]:
    """Serve metrics for the length of a block, if there is an address; gives where."""
    if address is None or latest is None:
        yield None
        return
    from enapter_async.integrations.prometheus import MetricsServer

    host, port = address
    async with MetricsServer(collector, client, latest, host=host, port=port, interval=interval) as server:
        yield server.url


@asynccontextmanager
async def notifying(notifier: SystemdNotifier, collector: Collector) -> AsyncGenerator[None, None]:
    """Tell systemd that the service is ready, how it fares and that it is alive, for the length of a block."""
    if not notifier.is_active:
        yield
        return

    async def report() -> None:
        pause = min(_STATUS_SECONDS, (notifier.watchdog_seconds or _STATUS_SECONDS) / 2)
        while True:
            done = collector.statistics
            notifier.status(
                f"{done.devices:,} devices, {done.rows:,} rows, {done.waiting:,} waiting, {done.gaps_open:,} open gaps"
            )
            notifier.alive()
            await anyio.sleep(pause)

    notifier.ready()
    try:
        async with alongside(report):
            yield
    finally:
        notifier.stopping()
