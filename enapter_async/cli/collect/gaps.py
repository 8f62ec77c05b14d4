"""`enapter-async gaps`, which lists and fills the gaps of a telemetry store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click
from rich.console import Console

from enapter_async._visible import make_visible
from enapter_async.cli import interruption
from enapter_async.cli.collect.command import site_option
from enapter_async.cli.connection import chosen_simulator, connected, server_options
from enapter_async.cli.examples import help_epilog
from enapter_async.cli.exits import Exit, Failure, failure
from enapter_async.cli.groups import group
from enapter_async.cli.output import json_text
from enapter_async.cli.parameters import duration, option
from enapter_async.cli.running import run
from enapter_async.cli.selection import choose_attributes, selection_options
from enapter_async.cli.traffic import clock
from enapter_async.collector import (
    CollectorEvent,
    Gap,
    JournaledStore,
    RepairError,
    Selection,
    SqliteStore,
    make_store,
    repair_gaps,
)
from enapter_async.rows import format_time

_STORE: Final = click.argument("store", metavar="STORE")
_BEHIND: Final = 60_000_000
"""Microseconds behind the newest row after which a device is named."""
_MOST_NAMED: Final = 10
_SCHEMA: Final = option("--schema", metavar="NAME", help="Schema of the tables in PostgreSQL.")


@group()
def gaps() -> None:
    """List and repair the gaps that `collect` recorded in a store.

    STORE is the value of `collect --to`: a file such as telemetry.sqlite, or postgresql://user@host/database.
    """


@gaps.command("list", epilog=help_epilog("gaps list"))
@_STORE
@_SCHEMA
@option("--output", type=click.Choice(("table", "json")), default="table", show_default=True, help="Output format.")
def list_gaps(*, store: str, schema: str | None, output: str) -> None:
    """List the gaps recorded in STORE, oldest first."""
    found, newest = run(_read, _existing(store, schema))
    if output == "json":
        for gap in found:
            record = {"device_id": gap.device_id, "start": format_time(gap.start), "before": format_time(gap.before)}
            click.echo(json_text({**record, "reason": gap.reason}))
        return
    for line in _describe_gaps(found):
        click.echo(line)
    for line in _describe_reach(found, newest):
        click.echo(line, err=True)


def _describe_gaps(found: Sequence[Gap]) -> Iterator[str]:
    """Yield a line for each gap; devices with the same one share a line."""
    groups: dict[tuple[int, int, str], list[str]] = {}
    for gap in found:
        groups.setdefault((gap.start, gap.before, gap.reason), []).append(gap.device_id or "all devices")
    for (start, before, reason), devices in groups.items():
        who = devices[0] if len(devices) == 1 else f"{len(devices):,} devices"
        yield make_visible(f"{format_time(start)}  {format_time(before)}  {who}  {reason}")


def _describe_reach(found: Sequence[Gap], newest: Mapping[str, int]) -> Iterator[str]:
    total = sum(gap.seconds for gap in found)
    yield f"{len(found):,} gap{'' if len(found) == 1 else 's'}, {total:,.0f} s" if found else "no gaps"
    if not newest:
        yield "nothing has been collected yet"
        return
    latest = max(newest.values())
    ago = clock(max(0.0, time.time() - latest / 1e6))
    yield f"collected up to {format_time(latest)} ({ago} ago); `collect` reads newer data from history when it starts"
    behind = sorted((reached, device) for device, reached in newest.items() if latest - reached > _BEHIND)
    if behind:
        named = ", ".join(f"{device} up to {format_time(reached)}" for reached, device in behind[:_MOST_NAMED])
        more = len(behind) - _MOST_NAMED
        count = "1 device is" if len(behind) == 1 else f"{len(behind):,} devices are"
        yield make_visible(f"{count} behind: {named}" + (f" and {more:,} more" if more > 0 else ""))


@gaps.command("repair", epilog=help_epilog("gaps repair"))
@_STORE
@_SCHEMA
@selection_options
@site_option
@option(
    "--interval",
    type=duration(0.1),
    default="1s",
    show_default=True,
    metavar="DURATION",
    help="Interval at which the data was collected.",
)
@server_options
def repair(
    *,
    store: str,
    schema: str | None,
    devices: tuple[str, ...],
    names: tuple[str, ...],
    attributes: str | None,
    site_id: str | None,
    interval: float,
    **simulator: Any,
) -> None:
    """Repair the gaps of STORE from history, without collecting new datapoints."""
    selection = Selection(devices=devices or None, attributes=choose_attributes(names, attributes), site_id=site_id)
    with interruption.saying("stopped; filled gaps are kept, and the others stay recorded"):
        run(_repair, _existing(store, schema), selection, interval, chosen_simulator(simulator))


async def _read(store: JournaledStore) -> tuple[list[Gap], Mapping[str, int]]:
    async with store:
        tomorrow = round((time.time() + 86_400) * 1e6)
        return await store.read_gaps(), await store.read_newest(None, tomorrow)


async def _repair(
    store: JournaledStore, selection: Selection, interval: float, simulator: dict[str, str] | None
) -> None:
    began = time.monotonic()
    incomplete: RepairError | None = None

    def report(event: CollectorEvent) -> None:
        click.echo(str(event), err=True)

    async with store, connected(simulator, Console(stderr=True)) as client:
        before = len(await store.read_gaps())
        try:
            rows = await repair_gaps(client, store, selection=selection, interval=interval, on_event=report)
        except RepairError as error:
            rows, incomplete = error.rows, error
        left = len(await store.read_gaps())
    took = time.monotonic() - began
    click.echo(f"{rows:,} rows filled in; {before:,} gaps before, {left:,} now ({took:.1f} s)")
    if incomplete is not None:
        raise Failure(str(incomplete), failure(next(iter(incomplete.failures.values()))).code)


def _existing(target: str, schema: str | None) -> JournaledStore:
    store = make_store(target, schema=schema)
    if not isinstance(store, JournaledStore):
        place = "" if target == "-" else f"; the gaps of a file are in {target}.gaps.jsonl"
        raise click.UsageError(f"{'standard output' if target == '-' else target} does not record gaps{place}")
    if isinstance(store, SqliteStore) and not store.path.exists():
        raise Failure(f"{target} does not exist", Exit.STORAGE)
    return store
