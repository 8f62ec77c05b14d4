"""`enapter-async export`: history into a file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import anyio
import attrs
import click
import rich_click
from rich.console import Console

from enapter_async.cli import interruption
from enapter_async.cli.collector import Traffic
from enapter_async.cli.connection import chosen_simulator, connected, server_name, server_options
from enapter_async.cli.export_folder import ExportFolder
from enapter_async.cli.export_formats import NAMES, Format, format_called, format_of
from enapter_async.cli.export_progress import shown
from enapter_async.cli.export_record import Asked, Record
from enapter_async.cli.exporter import Exporter
from enapter_async.cli.parameters import duration, option
from enapter_async.cli.progress import clock
from enapter_async.cli.running import run
from enapter_async.cli.selection import select
from enapter_async.cli.span import Moment, moment

AGGREGATIONS: Final = ("auto", "avg", "min", "max", "last", "bool_or")
_MOST_NAMED: Final = 5


@attrs.frozen(kw_only=True)
class Options:
    """The options of `export`.

    Attributes:
        to: The file.
        form: Its format.
        asked: What is asked for.
        since: From when on.
        until: Up to when.
        concurrency: Most requests at once.
        simulator: Options of `simulate` and their values; None reads from the server of the environment.
        quiet: Show no progress.
    """

    to: Path
    form: Format
    asked: Asked
    since: Moment
    until: Moment
    concurrency: int
    simulator: dict[str, str] | None
    quiet: bool


@rich_click.command()
@option(
    "--to",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="File to make; it appears when it is complete.",
)
@option("--format", "name", type=click.Choice(NAMES), help="By default as the name of the file ends.")
@option("--device", "devices", multiple=True, metavar="DEVICE", help="ID, slug or name; repeatable. By default all.")
@option("--attribute", "attributes", multiple=True, metavar="NAME", help="Repeatable. By default all that are numeric.")
@option(
    "--from",
    "since",
    type=moment,
    default="1d",
    show_default=True,
    metavar="TIME",
    help="2026-03-14T09:26Z, or how long ago: 30d.",
)
@option("--until", type=moment, default="now", show_default=True, metavar="TIME", help="As --from; not included.")
@option(
    "--granularity", type=duration(1), default="1m", show_default=True, metavar="DURATION", help="Length of a step."
)
@option("--aggregation", type=click.Choice(AGGREGATIONS), help="How the values of a step become one. [default: auto]")
@option("--window", type=duration(1), metavar="DURATION", help="Longest span of one request. [default: 10,000 steps]")
@option("--concurrency", type=click.IntRange(1), default=8, show_default=True, metavar="N", help="Requests at once.")
@option("--quiet", "-q", is_flag=True, help="Show no progress.")
@server_options
def export(
    *,
    to: Path,
    name: str | None,
    devices: tuple[str, ...],
    attributes: tuple[str, ...],
    since: Moment,
    until: Moment,
    granularity: float,
    aggregation: str | None,
    window: float | None,
    concurrency: int,
    quiet: bool,
    **simulator: Any,
) -> None:
    """Write the history of telemetry to a Parquet, CSV or JSON lines file.

    Each value becomes one row: time (UTC), device_id, attribute, value, unit. What is finished is kept beside the
    file until all of it is: after Ctrl-C, a crash or a lost connection the same command goes on where it ended.
    """
    chosen = chosen_simulator(simulator)
    name = name or format_of(to)
    if name is None:
        raise click.BadParameter(f"{to} must end in .parquet, .csv or .jsonl, or give --format", param_hint="--to")
    asked = Asked(
        server=server_name(chosen),
        since=since.text,
        until=until.text,
        granularity=granularity,
        aggregation=aggregation,
        window=window,
        devices=list(devices),
        attributes=list(attributes),
        format=name,
    )
    options = Options(
        to=to,
        form=format_called(name),
        asked=asked,
        since=since,
        until=until,
        concurrency=concurrency,
        simulator=chosen,
        quiet=quiet,
    )
    with interruption.saying("stopped; the same command goes on from here"):
        run(_export, options)


async def _export(options: Options) -> None:
    console = Console(stderr=True, quiet=options.quiet)
    folder = ExportFolder(options.to)
    started = anyio.current_time()
    with folder.held():
        if folder.is_complete():
            folder.remove()
            click.echo(f"{options.to} was complete already")
            return
        traffic = Traffic()
        exporter = await _read(options, folder, console, traffic)
        async with shown(console, "writing", lambda: exporter.share_joined, lambda: exporter.rows):
            await exporter.join()
        folder.remove()
    elapsed = anyio.current_time() - started
    click.echo(_summary(options.to, exporter, traffic, elapsed))


async def _read(options: Options, folder: ExportFolder, console: Console, traffic: Traffic) -> Exporter:
    """Read what is not finished; without asking for anything where everything is."""
    asked = options.asked
    kept = folder.record()
    record = None if kept is None else Record.from_json(kept, asked, folder.path)
    if record is not None:
        exporter = Exporter(record, folder, options.form)
        if exporter.is_read:
            return exporter
    async with connected(options.simulator, console, [traffic]) as client:
        if record is None:
            now, step = datetime.now(UTC), timedelta(seconds=asked.granularity)
            start, end = options.since.resolve(now, step), options.until.resolve(now, step)
            if end <= start:
                raise click.BadParameter(
                    f"{options.until.text} is not later than --from {options.since.text}", param_hint="--until"
                )
            record = Record.make(asked, start, end, await select(client, asked.devices, asked.attributes))
            folder.begin(record.to_json(asked))
        exporter = Exporter(record, folder, options.form)
        async with shown(console, "reading", lambda: exporter.share, lambda: exporter.rows):
            await exporter.read(client, options.concurrency)
    return exporter


def _summary(target: Path, exporter: Exporter, traffic: Traffic, elapsed: float) -> str:
    lines = [
        f"{target}: {exporter.rows:,} rows in {clock(elapsed)}",
        f"  requests      {traffic.requests:,}",
        f"  429 answers   {traffic.rate_limited:,}",
        f"  other errors  {traffic.errors:,}",
    ]
    if silent := exporter.without_value():
        named = ", ".join(f"{device} {attribute}" for device, attribute in silent[:_MOST_NAMED])
        more = f" and {len(silent) - _MOST_NAMED:,} more" if len(silent) > _MOST_NAMED else ""
        lines.append(f"  no value      {len(silent):,} (none in this span, or above the token's role): {named}{more}")
    return "\n".join(lines)
