"""`enapter-async export`, which writes history to a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import anyio
import attrs
import click
from rich.console import Console

from enapter_async import InvalidArgumentError
from enapter_async._visible import make_visible
from enapter_async.cli import interruption
from enapter_async.cli.connection import chosen_simulator, connected, server_name, server_options
from enapter_async.cli.export.progress import shown
from enapter_async.cli.groups import command
from enapter_async.cli.parameters import duration, option
from enapter_async.cli.running import run
from enapter_async.cli.selection import choose_attributes, schema_option, selection_options
from enapter_async.cli.span import AGGREGATIONS, Moment, since_option, until_option
from enapter_async.cli.traffic import Traffic, clock
from enapter_async.collector import guess_store_format, make_store, show_target
from enapter_async.exporter import (
    FORMATS,
    DatabaseExportResult,
    ExportRequest,
    ExportResult,
    HistoryExport,
    export_to_store,
    guess_format,
)

_MOST_NAMED: Final = 5


@attrs.frozen(kw_only=True)
class Options:
    """The options of `export`.

    Attributes:
        to: The file.
        form: Name of its format.
        database: Address of the database to write to instead of a file.
        schema: Schema of its tables.
        request: The history to export.
        concurrency: Maximum number of concurrent requests.
        simulator: Options of `simulate` and their values; None reads from the server of the environment.
        quiet: Do not show progress.
    """

    to: Path
    form: str
    database: str | None
    schema: str | None
    request: ExportRequest
    concurrency: int
    simulator: dict[str, str] | None
    quiet: bool


@command()
@option(
    "--to",
    required=True,
    metavar="TARGET",
    help="File to write, created when the export is complete, or postgresql://user@host/database.",
)
@option("--format", "name", type=click.Choice(FORMATS), help="File format. [default: from the file name]")
@schema_option
@selection_options
@since_option("1d")
@until_option
@option(
    "--granularity", type=duration(1), default="1m", show_default=True, metavar="DURATION", help="Length of a step."
)
@option("--aggregation", type=click.Choice(AGGREGATIONS), help="How to combine the values of a step. [default: auto]")
@option("--window", type=duration(1), metavar="DURATION", help="Longest span of one request. [default: 10,000 steps]")
@option(
    "--concurrency",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    metavar="N",
    help="Maximum number of requests in flight.",
)
@option("--quiet", "-q", is_flag=True, help="Do not show progress.")
@server_options
def export(
    *,
    to: str,
    name: str | None,
    schema: str | None,
    devices: tuple[str, ...],
    names: tuple[str, ...],
    attributes: str | None,
    since: Moment,
    until: Moment,
    granularity: float,
    aggregation: str | None,
    window: float | None,
    concurrency: int,
    quiet: bool,
    **simulator: Any,
) -> None:
    """Export telemetry history to a Parquet, CSV or JSON lines file, or to PostgreSQL.

    Each value becomes one row: device_id, attribute, time (UTC), value, text, unit. Finished parts are kept until the
    export is complete. After Ctrl-C, a crash or a lost connection, repeat the command to resume. In PostgreSQL, rows
    are added to the table that `collect` uses, and existing rows are kept.
    """
    chosen = chosen_simulator(simulator)
    form = _choose_format(to, name, schema)
    database = to if form == "postgres" else None
    request = ExportRequest(
        start=since.value,
        end=until.value,
        granularity=granularity,
        aggregation=aggregation,
        window=window,
        devices=devices,
        attributes=choose_attributes(names, attributes),
    )
    options = Options(
        to=Path(to),
        form=form,
        database=database,
        schema=schema,
        request=request,
        concurrency=concurrency,
        simulator=chosen,
        quiet=quiet,
    )
    with interruption.saying("stopped; repeat the command to resume"):
        try:
            run(_export if database is None else _export_to_database, options)
        except InvalidArgumentError as error:
            if error.argument == "end":
                raise click.BadParameter(
                    f"{until.text} is not later than --from {since.text}", param_hint="--until"
                ) from error
            raise


def _choose_format(to: str, name: str | None, schema: str | None) -> str:
    """Return the format of a file, or `postgres` for a database.

    Raises:
        click.UsageError: The target is invalid, or an option does not go with it.
    """
    if guess_store_format(to) == "postgres":
        if name is not None:
            raise click.UsageError("--format works only with files")
        return "postgres"
    if schema is not None:
        raise click.UsageError("--schema works only with PostgreSQL")
    form = name or guess_format(Path(to))
    if form is None:
        raise click.BadParameter(
            f"{show_target(to)} must end in .parquet, .csv or .jsonl, or be postgresql://...; otherwise, set --format",
            param_hint="--to",
        )
    if Path(to).is_dir():
        raise click.BadParameter(f"{to} is a directory", param_hint="--to")
    return form


async def _export(options: Options) -> None:
    console = Console(stderr=True, quiet=options.quiet)
    traffic = Traffic()
    started = anyio.current_time()
    source = server_name(options.simulator)
    async with HistoryExport(options.to, options.request, source=source, file_format=options.form) as export:
        if not export.is_read:
            async with (
                connected(options.simulator, console, [traffic]) as client,
                shown(console, "reading", lambda: export.share_read, lambda: export.rows),
            ):
                await export.read(client, concurrency=options.concurrency)
        async with shown(console, "writing", lambda: export.share_joined, lambda: export.rows):
            result = await export.join()
    click.echo(_summarize(result, traffic, anyio.current_time() - started))


async def _export_to_database(options: Options) -> None:
    console = Console(stderr=True, quiet=options.quiet)
    traffic = Traffic()
    started = anyio.current_time()
    target = options.database or ""
    share, rows = 0.0, 0

    def note(new_share: float, new_rows: int) -> None:
        nonlocal share, rows
        share, rows = new_share, new_rows

    def tell_resumed(start: datetime, end: datetime) -> None:
        console.print(
            f"resuming the export from {start:%Y-%m-%dT%H:%M:%SZ} to {end:%Y-%m-%dT%H:%M:%SZ}", highlight=False
        )

    store = make_store(target, schema=options.schema)
    async with (
        connected(options.simulator, console, [traffic]) as client,
        store,
        shown(console, "writing", lambda: share, lambda: rows),
    ):
        result = await export_to_store(
            client,
            store,
            options.request,
            source=server_name(options.simulator),
            concurrency=options.concurrency,
            on_progress=note,
            on_resume=tell_resumed,
        )
    elapsed = clock(anyio.current_time() - started)
    headline = f"{show_target(target)}: {result.rows:,} rows in {elapsed}, {result.new:,} of them added by this run"
    click.echo("\n".join([headline, *_list_traffic(traffic), *_list_silent(result, "database")]))


def _list_traffic(traffic: Traffic) -> list[str]:
    return [
        f"  requests      {traffic.requests:,}",
        f"  429 responses {traffic.rate_limited:,}",
        f"  other errors  {traffic.errors:,}",
    ]


def _summarize(result: ExportResult, traffic: Traffic, elapsed: float) -> str:
    path = make_visible(str(result.path))
    if result.rows is None:
        return f"{path} is already complete"
    return "\n".join(
        [f"{path}: {result.rows:,} rows in {clock(elapsed)}", *_list_traffic(traffic), *_list_silent(result, "file")]
    )


def _list_silent(result: ExportResult | DatabaseExportResult, place: str) -> Iterator[str]:
    missing = set(result.missing_devices)
    if missing:
        yield f"  deleted       {_list_some(result.missing_devices)} (rows up to then are in the {place})"
    silent = [f"{device} {attribute}" for device, attribute in result.without_value if device not in missing]
    if silent:
        yield f"  no value      {len(silent):,} (none in this range, or the token cannot see it): {_list_some(silent)}"


def _list_some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return make_visible(", ".join(names[:_MOST_NAMED]) + more)
