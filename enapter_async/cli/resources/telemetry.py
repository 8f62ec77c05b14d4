"""`enapter-async telemetry`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING

import click

from enapter_async import Datapoint, ValueDeclaration, WatchEvent
from enapter_async._arguments import fits_in_list, show_value
from enapter_async.cli.completers import complete_attribute
from enapter_async.cli.exits import Exit, Failure
from enapter_async.cli.output import Format, Printer, Shape, output_option, warn
from enapter_async.cli.parameters import duration, option
from enapter_async.cli.resources.declaration import (
    Resource,
    argument,
    connect,
    device_argument,
    limit_option,
    site_option,
)
from enapter_async.cli.resources.following import follow_option, live_printer, until_stopped

if TYPE_CHECKING:
    from enapter_async import EnapterClient

LATEST = Shape.flat("attribute", "value", "unit", "timestamp", "warning")
DATAPOINT = Shape.of(Datapoint, "timestamp", "attribute", "value")

_telemetry = Resource("telemetry", "Show and follow the latest telemetry. To write files, use `collect` and `export`.")
telemetry: click.Group = _telemetry.group


def _latest(
    *,
    device_id: str,
    attributes: tuple[str, ...],
    site_id: str | None,
    relevance: float | None,
    follow: bool,
    interval: float,
    limit: int | None,
    output: Format,
) -> None:
    printer = live_printer(output, DATAPOINT) if follow else Printer(output, LATEST)

    async def work(client: EnapterClient) -> None:
        device = await client.devices.get(device_id, site_id=site_id, expand={"manifest"})
        declared: Mapping[str, ValueDeclaration] = {} if device.manifest is None else device.manifest.telemetry
        names = list(dict.fromkeys(attributes)) or _leave_out_invalid(declared)
        if not names:
            raise Failure(f"{device.name or device_id} does not declare telemetry: name the attributes", Exit.NOT_FOUND)
        if follow:
            await until_stopped(_follow(client, {device.id: names}, interval, limit, printer))
            return
        points = await client.telemetry.latest({device.id: names}, relevance_interval=relevance)
        for name in names[:limit]:
            point = points[device.id].get(name)
            declaration = declared.get(name)
            printer.write(
                {
                    "attribute": name,
                    "value": None if point is None else point.value,
                    "unit": None if declaration is None else declaration.unit,
                    "timestamp": None if point is None else point.timestamp,
                    "warning": None if point is None else point.warning,
                }
            )
        printer.end()

    connect(work)


def _leave_out_invalid(names: Iterable[str]) -> list[str]:
    """Leave out names that no request can contain: one odd attribute must not hide the others."""
    valid: list[str] = []
    for name in names:
        if fits_in_list(name):
            valid.append(name)
        else:
            warn(f"attribute {show_value(name)} is left out: its name is invalid")
    return valid


async def _follow(
    client: EnapterClient, wanted: dict[str, list[str]], interval: float, limit: int | None, printer: Printer
) -> None:
    live: AsyncIterator[Datapoint]
    async with client.telemetry.watch(wanted, interval=interval, on_event=_warn_of_event) as live:
        left = limit
        async for datapoint in live:
            printer.write(datapoint)
            if left is not None:
                left -= 1
                if not left:
                    return


def _warn_of_event(event: WatchEvent) -> None:
    warn(str(event))


_telemetry.add(
    "latest",
    _latest,
    "Show the latest values of a device, or follow them live.",
    device_argument(),
    argument("attributes", nargs=-1, metavar="[ATTRIBUTE]...", shell_complete=complete_attribute),
    site_option,
    option(
        "--relevance",
        type=duration(0.001),
        metavar="DURATION",
        help="Maximum age of a value. [default: 30s, set by the server]",
    ),
    follow_option,
    option(
        "--interval",
        type=duration(0.1),
        default="1s",
        show_default=True,
        metavar="DURATION",
        help="With --follow: time between two polls.",
    ),
    limit_option,
    output_option,
)
