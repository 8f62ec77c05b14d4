"""The option `--follow`, which prints new records until Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import anyio
import click

from enapter_async import FramesDropped, MalformedFrame, StreamGap
from enapter_async.cli import interruption
from enapter_async.cli.output import Format, Printer, Shape, warn
from enapter_async.cli.parameters import option
from enapter_async.cli.running import make_stop

if TYPE_CHECKING:
    from enapter_async import EnapterClient, Stream

follow_option: Final = option("--follow", "-f", is_flag=True, help="Print new records until Ctrl-C.")


def live_printer(form: Format, shape: Shape) -> Printer:
    """Return a printer for an endless stream of records.

    Raises:
        click.UsageError: The format cannot be endless.
    """
    if form == "json":
        raise click.UsageError("--follow does not end, so it cannot write a JSON document: use --output jsonl")
    return Printer(form, shape, live=True)


async def until_stopped(work: Awaitable[None]) -> None:
    """Wait for something that does not end on its own. Ctrl-C and SIGTERM stop it cleanly."""
    with anyio.CancelScope() as scope, interruption.listening(make_stop(scope.cancel), signal.SIGINT, signal.SIGTERM):
        await work


def following(
    stream: Callable[[EnapterClient], Stream[Any]], printer: Printer, limit: int | None
) -> Callable[[EnapterClient], Awaitable[None]]:
    """Return a function that follows a stream with a client.

    Args:
        stream: Opens the stream.
        printer: Prints the records.
        limit: Maximum number of records to print; None until stopped.
    """

    async def follow(client: EnapterClient) -> None:
        left = limit
        async with stream(client) as frames:
            async for event in frames.events():
                if isinstance(event, (StreamGap, MalformedFrame, FramesDropped)):
                    warn(_describe_event(event))
                    continue
                printer.write(event)
                if left is not None:
                    left -= 1
                    if not left:
                        return

    async def work(client: EnapterClient) -> None:
        await until_stopped(follow(client))

    return work


def _describe_event(event: StreamGap | MalformedFrame | FramesDropped) -> str:
    if isinstance(event, FramesDropped):
        return f"{event.count} records were dropped: printing is too slow"
    if isinstance(event, MalformedFrame):
        return f"a record could not be read: {event.error}"
    span = f"from {event.since:%H:%M:%S} to {event.until:%H:%M:%S} UTC"
    what = "the records that the server still had are above" if event.filled else "records from that time are missing"
    return f"connection lost {span} ({event.reason}); {what}"
