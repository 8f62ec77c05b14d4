"""`enapter-async collect`: live telemetry into a database or into files."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, Literal

import anyio
import attrs
import click
import rich_click
from rich.console import Console

from enapter_async import EnapterClient, __version__
from enapter_async.cli import interruption
from enapter_async.cli.collector import Collector, Plan, Traffic, make_plan
from enapter_async.cli.gap import GapFiller, GapJournal, step_of
from enapter_async.cli.parameters import duration, option
from enapter_async.cli.profiles import chosen_profile
from enapter_async.cli.progress import Progress, clock, summary
from enapter_async.cli.running import alongside, run, soon
from enapter_async.cli.simulate import MODES
from enapter_async.cli.simulator_process import simulator_process
from enapter_async.cli.storage import NAMES, SUFFIXES, open_storage
from enapter_async.cli.writer import Writer

_SIMULATOR_OPTIONS: Final = ("rate_limit", "fault_rate", "latency_ms", "seed", "mode")


@attrs.frozen(kw_only=True)
class Options:
    """The options of `collect`.

    Attributes:
        to: File, or folder of Parquet files.
        form: What it is: one of `storage.NAMES`.
        interval: Seconds between two polls.
        seconds: How long to collect; None until told to stop.
        simulator: Options of `simulate` and their values; None collects from the server of the environment.
        fill_gap: Whether history fills the time since the last datapoint.
        quiet: Show no progress.
    """

    to: Path
    form: str
    interval: float
    seconds: float | None
    simulator: dict[str, str] | None
    fill_gap: bool
    quiet: bool


@rich_click.command()
@option(
    "--to",
    type=click.Path(path_type=Path),
    default=Path("telemetry.sqlite"),
    show_default=True,
    help="File, or folder of Parquet files; what is in it stays.",
)
@option(
    "--format", "name", type=click.Choice(NAMES), help="By default as the name ends: .sqlite, .csv, .jsonl, .parquet."
)
@option(
    "--interval",
    type=duration(0.1),
    default="1s",
    show_default=True,
    metavar="DURATION",
    help="Time between two polls.",
)
@option(
    "--for", "seconds", type=duration(0.001), metavar="DURATION", help="How long; by default until Ctrl-C or SIGTERM."
)
@option(
    "--fill-gap",
    is_flag=True,
    help="Fill the time since the last datapoint of a database from history, meanwhile; SQLite only.",
)
@option("--quiet", "-q", is_flag=True, help="Show no progress.")
@option("--simulate", type=click.IntRange(1), metavar="N", help="Start a simulator with N devices and collect from it.")
@option(
    "--rate-limit",
    type=click.FloatRange(0, min_open=True),
    metavar="R",
    help="Simulator: requests per second, 429 above.",
)
@option("--fault-rate", type=click.FloatRange(0, 1), metavar="P", help="Simulator: share of failures, 0 to 1.")
@option("--latency-ms", type=click.FloatRange(0), metavar="L", help="Simulator: delay of every answer.")
@option("--seed", type=int, metavar="N", help="Simulator: the same seed gives the same world.")
@option("--mode", type=click.Choice(MODES), help="Simulator: what it serves.")
def collect(
    *,
    to: Path,
    name: str | None,
    interval: float,
    seconds: float | None,
    fill_gap: bool,
    quiet: bool,
    simulate: int | None,
    rate_limit: float | None,
    fault_rate: float | None,
    latency_ms: float | None,
    seed: int | None,
    mode: Literal["any", "cloud", "gateway"] | None,
) -> None:
    """Collect the latest numeric telemetry of all devices into a database or into files.

    Each new datapoint becomes one row: device_id, attribute, time (UTC), value, unit. In SQLite the table is
    called telemetry; CSV and JSON lines grow by whole lines; Parquet (extra arrow) is a folder with files for each
    day, which appear when they are complete. A datapoint that is there already is skipped, so that the same file
    or folder can be continued, also after a crash. Ctrl-C ends it properly.
    """
    form = name or SUFFIXES.get(to.suffix.lower())
    if form is None:
        raise click.BadParameter(f"{to} must end in {', '.join(SUFFIXES)}, or give --format", param_hint="--to")
    if fill_gap and form != "sqlite":
        raise click.UsageError("--fill-gap is for SQLite, which can tell what it has; `export` writes history too")
    given = dict(zip(_SIMULATOR_OPTIONS, (rate_limit, fault_rate, latency_ms, seed, mode), strict=True))
    chosen = {f"--{name.replace('_', '-')}": str(value) for name, value in given.items() if value is not None}
    if chosen and simulate is None:
        raise click.UsageError(f"{next(iter(chosen))} is for the simulator: give --simulate N too")
    simulator = None if simulate is None else {"--devices": str(simulate), **chosen}
    options = Options(
        to=to, form=form, interval=interval, seconds=seconds, simulator=simulator, fill_gap=fill_gap, quiet=quiet
    )
    with interruption.saying("stopped at once; what was written before stays"):
        run(_collect, options)


async def _collect(options: Options) -> None:
    traffic = Traffic()
    console = Console(stderr=True, quiet=options.quiet)
    async with _client(options, traffic, console) as client:
        plan = await make_plan(client)
        with closing(open_storage(options.to, options.form)) as store, _filler(options, client, plan) as filler:
            writer = Writer(store)
            collector = Collector(client, plan, writer, interval=options.interval)
            started = anyio.current_time()
            end = anyio.Event()
            try:
                progress = Progress(client, collector, writer, traffic, options.seconds, filler=filler)
                # The first signal ends it properly, the second one at once.
                with interruption.listening(soon(end.set), signal.SIGINT, signal.SIGTERM):
                    async with _shown(progress, console, quiet=options.quiet):
                        await collector.run(end, options.seconds, None if filler is None else filler.run)
            finally:
                elapsed = anyio.current_time() - started
                click.echo(f"Collected for {clock(elapsed)} into {options.to}")
                click.echo(summary(collector, writer, traffic, elapsed, filler=filler))


@contextmanager
def _filler(options: Options, client: EnapterClient, plan: Plan) -> Generator[GapFiller | None, None, None]:
    """Make what fills the gap, if that is wanted; before anything new is written."""
    if not options.fill_gap:
        yield None
        return
    with closing(GapJournal(options.to, step_of(options.interval))) as journal:
        yield GapFiller(client, plan, journal, time.time)


@asynccontextmanager
async def _client(options: Options, traffic: Traffic, console: Console) -> AsyncGenerator[EnapterClient, None]:
    """Make the client, and the simulator where one is wanted."""
    app = f"enapter-async-cli/{__version__}"
    if options.simulator is None:
        async with chosen_profile().connected([traffic]) as client:
            yield client
        return
    async with simulator_process(options.simulator) as address:
        console.print(f"simulator: {address.url}", highlight=False, soft_wrap=True)
        async with EnapterClient(base_url=address.url, token=address.token, app=app, hooks=[traffic]) as client:
            yield client


@asynccontextmanager
async def _shown(progress: Progress, console: Console, *, quiet: bool) -> AsyncGenerator[None, None]:
    """Show the progress for the length of a block."""
    if quiet:
        yield
        return
    async with alongside(partial(progress.show, console)):
        yield
