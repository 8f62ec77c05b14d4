"""`enapter-async plot`, which draws a time series as a chart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import attrs
import click
from rich.console import Console

from enapter_async import Series, TimeseriesBatch, TimeseriesQuery, ValueDeclaration, ValueType
from enapter_async._visible import make_visible
from enapter_async.cli import interruption
from enapter_async.cli.completers import complete_attribute, complete_device
from enapter_async.cli.connection import chosen_simulator, connected, server_options
from enapter_async.cli.exits import Exit, Failure
from enapter_async.cli.groups import command
from enapter_async.cli.output import warn
from enapter_async.cli.parameters import duration, option
from enapter_async.cli.plot import image, terminal
from enapter_async.cli.plot.chart import Chart, Line, panels, points
from enapter_async.cli.plot.ticks import round_seconds
from enapter_async.cli.resources.declaration import argument
from enapter_async.cli.running import run
from enapter_async.cli.span import AGGREGATIONS, Moment, since_option, until_option
from enapter_async.exporter import SelectedDevice, select_devices

_USUAL_POINTS: Final = 500
_MOST_POINTS: Final = 50_000


@attrs.frozen(kw_only=True)
class Options:
    """The options of `plot`.

    Attributes:
        device: ID, slug or name.
        attributes: Telemetry attributes.
        since: Start of the time range.
        until: End of the time range.
        granularity: Length of a step in seconds; None for one that fits the time range.
        aggregation: How to combine the values of a step; None leaves it to the server.
        output: Image file to write; None draws in the terminal.
        simulator: Options of `simulate` and their values; None reads from the server of the environment.
    """

    device: str
    attributes: tuple[str, ...]
    since: Moment
    until: Moment
    granularity: float | None
    aggregation: str | None
    output: Path | None
    simulator: dict[str, str] | None


@command()
@argument("device", shell_complete=complete_device)
@argument("attributes", nargs=-1, required=True, shell_complete=complete_attribute)
@since_option("1d")
@until_option
@option("--granularity", type=duration(1), metavar="DURATION", help="Length of a step. [default: fits the time range]")
@option("--aggregation", type=click.Choice(AGGREGATIONS), help="How to combine the values of a step. [default: auto]")
@option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a picture (.png or .svg) instead of drawing in the terminal.",
)
@server_options
def plot(
    *,
    device: str,
    attributes: tuple[str, ...],
    since: Moment,
    until: Moment,
    granularity: float | None,
    aggregation: str | None,
    output: Path | None,
    **simulator: Any,
) -> None:
    """Plot the telemetry history of one device in the terminal or as an image.

    DEVICE is an ID, a slug or a name. Attributes with the same unit share an axis. Times are UTC.
    """
    if output is None:
        terminal.check_installed()
    elif output.suffix.lower() not in image.SUFFIXES:
        raise click.BadParameter(f"{output} must end in {' or '.join(image.SUFFIXES)}", param_hint="--output")
    else:
        image.check_installed()
    options = Options(
        device=device,
        attributes=tuple(dict.fromkeys(attributes)),
        since=since,
        until=until,
        granularity=granularity,
        aggregation=aggregation,
        output=output,
        simulator=chosen_simulator(simulator),
    )
    chart, lines = run(_read, options)
    console = Console(highlight=False)
    if output is None:
        apart = not terminal.has_colors(console)
        terminal.draw(attrs.evolve(chart, panels=panels(lines, apart=apart)), console)
        return
    with interruption.raising():
        missing = image.draw(attrs.evolve(chart, panels=panels(lines)), output)
    if missing:
        warn(f"no installed font has {missing}: boxes are shown instead of these characters")
    click.echo(f"{output}: {sum(len(line.points) for line in lines):,} points")


async def _read(options: Options) -> tuple[Chart, list[Line]]:
    start, end, step = _span(options)
    async with connected(options.simulator, Console(stderr=True)) as client:
        (selected,) = await select_devices(client, [options.device], options.attributes)
        for attribute, declaration in selected.attributes.items():
            _check_drawable(attribute, declaration)
        query = TimeseriesQuery(
            start=start,
            end=end,
            granularity=step,
            series=[Series(selected.device_id, options.attributes)],
            aggregation=options.aggregation,
        )
        batches: list[TimeseriesBatch] = []
        async with client.telemetry.history(query) as history:
            async for batch in history:
                batches.append(batch)  # noqa: PERF401 - ruff does not know what it would have to be
    return Chart(make_visible(selected.name), start, end, ()), _lines(selected, batches, start, end)


def _span(options: Options) -> tuple[datetime, datetime, float]:
    now, second = datetime.now(UTC), timedelta(seconds=1)
    start, end = options.since.resolve(now, second), options.until.resolve(now, second)
    if end <= start:
        raise click.BadParameter(
            f"{options.until.text} is not later than --from {options.since.text}", param_hint="--until"
        )
    seconds = (end - start).total_seconds()
    step = options.granularity or round_seconds(seconds / _USUAL_POINTS)
    if seconds / step > _MOST_POINTS:
        least = round_seconds(seconds / _MOST_POINTS)
        raise click.BadParameter(
            f"{seconds / step:,.0f} points are more than a chart can show; make it at least {least}s",
            param_hint="--granularity",
        )
    return start, end, step


def _check_drawable(attribute: str, declaration: ValueDeclaration | None) -> None:
    kind = None if declaration is None else declaration.type
    if kind is not None and not kind.is_numeric and kind != ValueType.BOOLEAN:
        raise Failure(f"{attribute} cannot be drawn: its values are of type {kind}, not numbers", Exit.USAGE)


def _lines(selected: SelectedDevice, batches: list[TimeseriesBatch], start: datetime, end: datetime) -> list[Line]:
    found, left_out = points(batches, selected.attributes)
    lines = [
        Line(
            make_visible((one.display_name if one else "") or attribute),
            make_visible(one.unit) if one and one.unit else None,
            found[attribute],
        )
        for attribute, one in selected.attributes.items()
        if found[attribute]
    ]
    silent = [attribute for attribute in found if not found[attribute]]
    if not lines:
        span = f"from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
        unfit = " that can be drawn" if left_out else ""
        raise Failure(f"{selected.name} has no value of {', '.join(silent)}{unfit} {span}", Exit.NOT_FOUND)
    _warn_of_missing(silent, left_out)
    return lines


def _warn_of_missing(silent: Iterable[str], left_out: Mapping[str, int]) -> None:
    for attribute, count in left_out.items():
        warn(f"{count:,} values of {attribute} are infinite, not a number, or too large to draw")
    for attribute in silent:
        if attribute not in left_out:
            warn(f"no value of {attribute} in this time range")
