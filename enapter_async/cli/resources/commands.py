"""`enapter-async commands`, which sends commands to devices."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

import click

from enapter_async import JSON, CommandExecution, ExecutionPendingError, ExecutionState
from enapter_async.cli.completers import complete_device
from enapter_async.cli.exits import Exit, Failure
from enapter_async.cli.output import Format, Printer, Shape, output_option
from enapter_async.cli.parameters import duration, option
from enapter_async.cli.resources.declaration import (
    Resource,
    argument,
    connect,
    device_argument,
    or_unset,
    site_option,
    without_doubt,
)
from enapter_async.cli.resources.question import ask, yes_option
from enapter_async.cli.resources.values import pairs_argument
from enapter_async.cli.span import Moment, moment, since_option

if TYPE_CHECKING:
    from enapter_async import EnapterClient

EXECUTION = Shape.of(CommandExecution, "id", "device_id", command="request.name", state="state", created="created_at")
_STEP: Final = timedelta(milliseconds=1)

_commands = Resource("commands", "Send commands to devices and list their executions.")
commands: click.Group = _commands.group

_execution = argument("execution_id", metavar="EXECUTION")
_timeout = option("--timeout", type=duration(0.1), metavar="DURATION", help="Maximum wait for the command to finish.")
_log = option("--log", is_flag=True, help="Include all responses of the device.")
_sent = (
    device_argument(),
    argument("name", metavar="COMMAND"),
    pairs_argument("arguments"),
    option("--ephemeral", is_flag=True, help="Hide the execution from lists and delete it after 24 hours."),
    site_option,
)


@_commands.lists(
    "list",
    argument("device_id", metavar="[DEVICE]", required=False, shell_complete=complete_device),
    site_option,
    since_option(),
    option("--until", type=moment, metavar="TIME", help="End, like --since."),
    option(
        "--state",
        multiple=True,
        type=click.Choice([one.value for one in ExecutionState], case_sensitive=False),
        help="Only executions in this state; repeatable.",
    ),
    option("--name", multiple=True, metavar="COMMAND", help="Only executions of this command; repeatable."),
    option("--ephemeral", is_flag=True, help="Include ephemeral executions. Requires a device."),
    option("--oldest-first", is_flag=True, help="Oldest first instead of newest first."),
    shape=EXECUTION,
)
def _list(
    client: EnapterClient,
    *,
    device_id: str | None,
    site_id: str | None,
    since: Moment | None,
    until: Moment | None,
    state: tuple[ExecutionState, ...],
    name: tuple[str, ...],
    ephemeral: bool,
    oldest_first: bool,
    limit: int | None,
) -> AsyncIterable[CommandExecution]:
    """List executions of a device, or of all devices of a site."""
    if device_id is None and site_id is None:
        raise click.UsageError("name a DEVICE, or a --site")
    now = datetime.now(UTC)
    order: Literal["CREATED_AT_ASC", "CREATED_AT_DESC"] = "CREATED_AT_ASC" if oldest_first else "CREATED_AT_DESC"
    return client.commands.list_executions(
        device_id,
        site_id=site_id,
        order=order,
        created_at_gte=None if since is None else since.resolve(now, _STEP),
        created_at_lt=None if until is None else until.resolve(now, _STEP),
        state_in=[ExecutionState(one) for one in state] or None,
        name_in=list(name) or None,
        expand={"ephemeral"} if ephemeral else (),
        max_items=limit,
    )


@_commands.gives("get", device_argument(), _execution, site_option, _log, shape=EXECUTION)
async def _get(
    client: EnapterClient, *, device_id: str, execution_id: str, site_id: str | None, log: bool
) -> CommandExecution:
    """Show the current state of an execution."""
    return await client.commands.get_execution(device_id, execution_id, site_id=site_id, expand={"log"} if log else ())


@_commands.changes(
    "start",
    *_sent,
    question="Send the command {name!r} to device {device_id}?",
    shape=Shape.flat("execution_id"),
    look="commands list {device_id} --name {name} --ephemeral --since 15m",
)
async def _start(
    client: EnapterClient,
    *,
    device_id: str,
    name: str,
    arguments: dict[str, JSON],
    ephemeral: bool,
    site_id: str | None,
) -> dict[str, str]:
    """Send a command without waiting for the device. It is never sent twice."""
    started = await client.commands.start(
        device_id, name, arguments or None, ephemeral=or_unset(ephemeral or None), site_id=site_id
    )
    return {"execution_id": started}


def _run(
    *,
    device_id: str,
    name: str,
    arguments: dict[str, JSON],
    ephemeral: bool,
    site_id: str | None,
    timeout: float | None,
    log: bool,
    yes: bool,
    output: Format,
) -> None:
    ask(f"Send the command {name!r} to device {device_id}?", yes=yes)

    async def work(client: EnapterClient) -> None:
        running = client.commands.run(
            device_id,
            name,
            arguments or None,
            expand={"log"} if log else (),
            site_id=site_id,
            timeout=timeout,
            ephemeral=or_unset(ephemeral or None),
        )
        look = f"enapter-async commands list {device_id} --name {name} --ephemeral --since 15m"
        _print_end(await _await_end(without_doubt(running, f"check before repeating it: {look}"), device_id), output)

    connect(work)


def _wait(
    *, device_id: str, execution_id: str, site_id: str | None, timeout: float | None, log: bool, output: Format
) -> None:
    async def work(client: EnapterClient) -> None:
        waiting = client.commands.wait(
            device_id, execution_id, expand={"log"} if log else (), site_id=site_id, timeout=timeout
        )
        _print_end(await _await_end(waiting, device_id), output)

    connect(work)


_commands.add(
    "run",
    _run,
    "Send a command and wait until it has ended. It is never sent twice. If it fails, the exit code is 1.",
    *_sent,
    _timeout,
    _log,
    yes_option,
    output_option,
)
_commands.add(
    "wait",
    _wait,
    "Wait until an execution has ended. If it failed, the exit code is 1.",
    device_argument(),
    _execution,
    site_option,
    _timeout,
    _log,
    output_option,
)


async def _await_end(execution: Awaitable[CommandExecution], device_id: str) -> CommandExecution:
    try:
        return await execution
    except ExecutionPendingError as error:
        look = f"enapter-async commands wait {device_id} {error.execution_id}"
        raise Failure(f"{error}; it may continue, check with: {look}", Exit.UNKNOWN_OUTCOME) from error


def _print_end(execution: CommandExecution, output: Format) -> None:
    try:
        Printer(output, EXECUTION).one(execution)
    finally:
        execution.raise_for_state()  # even if the reader has closed the output
