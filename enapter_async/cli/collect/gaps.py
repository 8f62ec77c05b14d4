"""`enapter-async gaps`: what is missing in a store of telemetry, and filling it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

import click
import rich_click
from rich.console import Console

from enapter_async.cli import interruption
from enapter_async.cli.collect.command import make_selection, selection_options
from enapter_async.cli.connection import chosen_simulator, connected, server_options
from enapter_async.cli.exits import Exit, Failure
from enapter_async.cli.parameters import duration, option
from enapter_async.cli.running import run
from enapter_async.collector import Gap, JournaledStore, Selection, make_store, repair_gaps
from enapter_async.rows import format_time

_STORE: Final = click.argument("store", metavar="STORE", type=click.Path(path_type=Path))


@rich_click.group()
def gaps() -> None:
    """List and fill the gaps that `collect` noted in a store.

    STORE is the file that `collect` writes to, such as telemetry.sqlite.
    """


@gaps.command("list")
@_STORE
@option("--output", type=click.Choice(("table", "json")), default="table", show_default=True, help="Form of the list.")
def list_gaps(*, store: Path, output: str) -> None:
    """List the gaps in the journal of STORE, oldest first."""
    found = run(_read, store)
    for gap in found:
        record = {"device_id": gap.device_id, "start": format_time(gap.start), "before": format_time(gap.before)}
        if output == "json":
            click.echo(json.dumps({**record, "reason": gap.reason}, ensure_ascii=False))
        else:
            click.echo(f"{record['start']}  {record['before']}  {gap.device_id or 'all devices'}  {gap.reason}")
    if output == "table":
        total = sum(gap.seconds for gap in found)
        click.echo(
            f"{len(found):,} gap{'' if len(found) == 1 else 's'}, {total:,.0f} s" if found else "no gaps", err=True
        )


@gaps.command("repair")
@_STORE
@selection_options
@option(
    "--interval",
    type=duration(0.1),
    default="1s",
    show_default=True,
    metavar="DURATION",
    help="Time between two datapoints, as it was collected.",
)
@server_options
def repair(
    *, store: Path, devices: tuple[str, ...], attributes: str, site: str | None, interval: float, **simulator: Any
) -> None:
    """Fill the gaps of STORE from history, without collecting anything new."""
    selection = make_selection(devices, attributes, site)
    with interruption.saying("stopped; what is filled stays, and the rest stays noted"):
        run(_repair, store, selection, interval, chosen_simulator(simulator))


async def _read(path: Path) -> list[Gap]:
    async with _existing(path) as store:
        return await store.read_gaps()


async def _repair(path: Path, selection: Selection, interval: float, simulator: dict[str, str] | None) -> None:
    began = time.monotonic()
    async with _existing(path) as store, connected(simulator, Console(stderr=True)) as client:
        before = await store.read_gaps()
        rows = await repair_gaps(
            client, store, selection=selection, interval=interval, on_event=lambda event: click.echo(event, err=True)
        )
        left = await store.read_gaps()
    click.echo(
        f"{rows:,} rows filled in, {len(before):,} gaps before, {len(left):,} now ({time.monotonic() - began:.1f} s)"
    )


def _existing(path: Path) -> JournaledStore:
    store = make_store(path)
    if not isinstance(store, JournaledStore):
        raise click.UsageError(f"{path} has no journal of gaps; those of a file are in {path}.gaps.jsonl")
    if not path.exists():
        raise Failure(f"{path} does not exist", Exit.STORAGE)
    return store
