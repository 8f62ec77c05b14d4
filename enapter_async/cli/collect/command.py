"""`enapter-async collect`, which writes live telemetry to a database or to files."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

import anyio
import attrs
import click
from rich.console import Console

from enapter_async import InvalidArgumentError, RateLimit, SharedRateLimit
from enapter_async.cli import interruption
from enapter_async.cli.collect.display import Display
from enapter_async.cli.collect.log import Log
from enapter_async.cli.collect.service import Service, parse_address, serving
from enapter_async.cli.collect.summary import summarize
from enapter_async.cli.collect.waiting import Waiting
from enapter_async.cli.connection import chosen_simulator, connected, server_options
from enapter_async.cli.groups import command
from enapter_async.cli.parameters import duration, from_environment, option
from enapter_async.cli.profiles import RateOptions
from enapter_async.cli.running import alongside, make_stop, run
from enapter_async.cli.selection import choose_attributes, schema_option, selection_options
from enapter_async.cli.traffic import Traffic, clock
from enapter_async.collector import (
    FORMATS,
    SUFFIXES,
    Collector,
    CollectorEvent,
    Selection,
    Shard,
    Store,
    guess_store_format,
    make_store,
    opened_store,
    show_target,
)
from enapter_async.integrations.systemd import SystemdNotifier

if TYPE_CHECKING:
    from enapter_async.integrations.prometheus import LatestValues


site_option: Final = option("--site", "site_id", metavar="ID", help="Only devices of this site.")


@attrs.frozen(kw_only=True)
class Options:
    """The options of `collect`.

    Attributes:
        to: File, folder of Parquet files, address of a database, or - for standard output.
        selection: Devices and attributes to collect.
        interval: Seconds between two polls.
        seconds: How long to collect; None until stopped.
        simulator: Options of `simulate` and their values; None collects from the server of the environment.
        repair: Fill gaps from history.
        wait: Wait for an API and a database that are not available yet.
        serve: Host and port for metrics.
        limits: Options of the client for its rate limit.
        log_format: Format of log lines.
        quiet: Do not show progress, and log only warnings.
    """

    to: str
    selection: Selection
    interval: float
    seconds: float | None
    simulator: dict[str, str] | None
    repair: bool
    wait: bool
    serve: tuple[str, int] | None
    limits: RateOptions
    log_format: Literal["text", "json"]
    quiet: bool


def make_limits(redis: str | None, requests_per_second: float | None) -> RateOptions:
    """Return the options of a client for its rate limit, alone or shared with other processes.

    Raises:
        click.UsageError: `--redis` was given without a rate.
    """
    if redis is not None:
        if requests_per_second is None:
            raise click.UsageError("--redis needs --requests-per-second, the rate of all collectors together")
        shared = SharedRateLimit(redis, name="enapter-async collect", requests_per_second=requests_per_second)
        return {"shared_rate_limit": shared}
    if requests_per_second is not None:
        return {"rate_limit": RateLimit(requests_per_second=requests_per_second)}
    return {}


def parse_shard(context: click.Context, parameter: click.Parameter, value: str | None) -> Shard | None:
    """Read the value of `--shard`."""
    del context, parameter
    try:
        return None if value is None else Shard.parse(value)
    except InvalidArgumentError as error:
        raise click.BadParameter(str(error).partition(": ")[2]) from None


def choose_store(to: str, form: str, schema: str | None) -> Store:
    """Return the store for a target, and name the options of the command in errors."""
    try:
        return make_store(to, form, schema=schema)
    except InvalidArgumentError as error:
        name = {"form": "--format", "target": "--to"}.get(error.argument, f"--{error.argument}")
        raise click.BadParameter(str(error).partition(": ")[2], param_hint=name) from None


@from_environment("ENAPTER_COLLECT")
@command()
@option(
    "--to",
    metavar="TARGET",
    default="telemetry.sqlite",
    show_default=True,
    help="File, folder of Parquet files, postgresql://user@host/database, or - for stdout. Existing data is kept.",
)
@option(
    "--format",
    "name",
    type=click.Choice(FORMATS),
    help="Format. [default: from the file name: .sqlite, .csv, .jsonl, .parquet]",
)
@schema_option
@selection_options
@site_option
@option(
    "--interval",
    type=duration(0.1),
    default="1s",
    show_default=True,
    metavar="DURATION",
    help="Time between two polls.",
)
@option(
    "--for",
    "seconds",
    type=duration(0.001),
    metavar="DURATION",
    help="How long to collect. [default: until Ctrl-C or SIGTERM]",
)
@option(
    "--repair/--no-repair", default=True, help="Fill gaps of a database from history (default), or only record them."
)
@option("--fill-gap", is_flag=True, hidden=True, help="The default. Accepted for older scripts.")
@option(
    "--wait/--no-wait",
    default=None,
    help="Wait for an API or a database that cannot be reached yet. [default: only without a terminal]",
)
@option(
    "--shard",
    metavar="I/N",
    callback=parse_shard,
    help="Collect share I of N. Each device belongs to exactly one share.",
)
@option(
    "--requests-per-second",
    type=click.FloatRange(0.001),
    metavar="R",
    help="Maximum rate of requests; with --redis, of all collectors together.",
)
@option(
    "--redis", metavar="URL", help="Share the rate limit with other collectors through this Redis server (extra redis)."
)
@option(
    "--serve",
    metavar="HOST:PORT",
    help="Serve /metrics, /healthz and /readyz (extra prometheus). The default host is 127.0.0.1.",
)
@option(
    "--log-format", type=click.Choice(("text", "json")), default="text", show_default=True, help="Format of log lines."
)
@option("--quiet", "-q", is_flag=True, help="Do not show progress, and log only warnings.")
@server_options
def collect(
    *,
    to: str,
    name: str | None,
    schema: str | None,
    devices: tuple[str, ...],
    names: tuple[str, ...],
    attributes: str | None,
    site_id: str | None,
    interval: float,
    seconds: float | None,
    repair: bool,
    fill_gap: bool,
    wait: bool | None,
    shard: Shard | None,
    requests_per_second: float | None,
    redis: str | None,
    serve: str | None,
    log_format: Literal["text", "json"],
    quiet: bool,
    **simulator: Any,
) -> None:
    """Collect the latest telemetry of all devices into a database or into files.

    Each datapoint becomes one row: device_id, attribute, time (UTC), value, text, unit. In SQLite the table is called
    telemetry. CSV and JSON lines files contain only complete lines. Parquet (extra arrow) is a folder with files for
    each day, which appear when they are complete. To continue a file or folder, even after a crash, run the command
    again. Existing datapoints are skipped, and databases are repaired from history. Press Ctrl-C to stop.

    """
    form = name or guess_store_format(to)
    if form is None:
        raise click.BadParameter(
            f"{show_target(to)} must end in {', '.join(SUFFIXES)}, or be postgresql://... or -;"
            " otherwise, set --format",
            param_hint="--to",
        )
    if fill_gap and form not in ("sqlite", "postgres"):
        raise click.UsageError("--fill-gap works only with databases; use `export` to write history to a file")
    options = Options(
        to=to,
        selection=Selection(
            devices=devices or None,
            attributes=choose_attributes(names, attributes),
            site_id=site_id,
            shard=shard,
        ),
        interval=interval,
        seconds=seconds,
        simulator=chosen_simulator(simulator),
        repair=repair,
        wait=not sys.stderr.isatty() if wait is None else wait,
        serve=None if serve is None else parse_address(serve),
        limits=make_limits(redis, requests_per_second),
        log_format=log_format,
        quiet=quiet,
    )
    store = choose_store(to, form, schema)
    log = Log(log_format, quiet=quiet)
    warnings = contextlib.nullcontext() if _is_on_terminal(options) else log.including_warnings()
    with interruption.saying("stopped at once; everything written so far is kept"), warnings:
        run(_collect, options, store, log)


def _is_on_terminal(options: Options) -> bool:
    return sys.stderr.isatty() and options.log_format == "text"  # independent of FORCE_COLOR


def _make_latest(options: Options) -> LatestValues | None:
    """Return the store of latest values for metrics, if they are served."""
    if options.serve is None:
        return None
    from enapter_async.integrations.prometheus import STALE_AFTER, LatestValues

    return LatestValues(stale_after=max(STALE_AFTER, 3 * options.interval))


async def _collect(options: Options, store: Store, log: Log) -> None:
    traffic = Traffic()
    console = Console(stderr=True, quiet=options.quiet or options.log_format == "json")
    on_terminal = _is_on_terminal(options)
    display: Display | None = None

    def report(event: CollectorEvent) -> None:
        waiting.note(event)
        if display is not None:
            display.note(event)
        if not on_terminal:
            log.write_event(event)

    def tell(level: int, message: str) -> None:
        if not on_terminal:
            log.write(level, message)
        elif level > logging.INFO or not options.quiet:
            _print_line(message, to_stderr=True)

    latest = _make_latest(options)
    async with connected(options.simulator, console, [traffic], **options.limits) as client:
        waiting = Waiting(options.seconds)
        collector = Collector(
            client,
            store,
            selection=options.selection,
            interval=options.interval,
            repair=options.repair,
            wait=options.wait,
            on_event=report,
            on_rows=None if latest is None else latest.take,
        )
        service = Service(SystemdNotifier(), collector, options.interval)
        async with (
            _reloading(service),
            serving(options.serve, collector, client, latest, interval=options.interval, tell=tell),
            service.reporting(),
            AsyncExitStack() as stack,
        ):
            with waiting.limited():
                await collector.discover()
                await stack.enter_async_context(opened_store(store, wait=options.wait, on_event=report))
            display = Display(client, collector, traffic, options.seconds)
            started = anyio.current_time()
            target = show_target(options.to)
            logged = partial(display.log, log, target=target, interval=options.interval)
            shown = partial(display.show, console) if on_terminal else logged
            try:
                # The first signal stops cleanly, the second one at once.
                with interruption.listening(make_stop(service.stop), signal.SIGINT, signal.SIGTERM):
                    async with _shown(shown, quiet=options.quiet and on_terminal):
                        service.start()
                        await collector.run(seconds=waiting.rest())
            finally:
                elapsed = anyio.current_time() - started
                # Standard output must contain only rows.
                to_stderr = options.to == "-"
                _print_line(f"Collected for {clock(elapsed)} into {target}", to_stderr=to_stderr)
                figures = summarize(
                    collector.statistics,
                    traffic,
                    elapsed,
                    target=target,
                    names=collector.targets.names,
                    silent=collector.list_devices_without_value(),
                    wrong_clocks=collector.list_devices_with_wrong_clock(),
                    without_value=collector.list_without_value(),
                    width=_read_width(sys.stderr if to_stderr else sys.stdout),
                )
                _print_line(figures, to_stderr=to_stderr)


@asynccontextmanager
async def _reloading(service: Service) -> AsyncGenerator[None, None]:
    """Reopen the output on SIGHUP."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGHUP, service.reload)
    except (AttributeError, ValueError, RuntimeError, NotImplementedError):  # Windows, or not in the main thread
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


@asynccontextmanager
async def _shown(show: Callable[[], Coroutine[Any, Any, object]], *, quiet: bool) -> AsyncGenerator[None, None]:
    """Show the progress during a block."""
    if quiet:
        yield
        return
    async with alongside(show):
        yield


def _read_width(output: TextIO) -> int | None:
    """Return the columns of a terminal; None for a file or a pipe."""
    return shutil.get_terminal_size().columns if output.isatty() else None


def _print_line(text: str, *, to_stderr: bool) -> None:
    with contextlib.suppress(OSError):  # the reader of our output has closed it; the rows are in the store
        click.echo(text, err=to_stderr)
