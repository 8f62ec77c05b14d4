"""Commands: what devices are told to do, and what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, Literal, TypeAlias

from enapter_async._protocol import query
from enapter_async._protocol.body import dumps
from enapter_async._protocol.decoding.envelopes import Enveloped, PageOf, Whole
from enapter_async._protocol.request import JSON_TYPE, Answer, Operation, Request, Safety
from enapter_async._protocol.urls import segment
from enapter_async._protocol.values import format_time, require_timeout
from enapter_async._session import Session
from enapter_async.errors import EnapterError, ExecutionPendingError, InvalidArgumentError
from enapter_async.models.arguments import refuse_argument
from enapter_async.models.commands import CommandExecution, ExecutionState, StartedExecution
from enapter_async.models.common import JSON, UNSET, Unset
from enapter_async.pagination import Pager
from enapter_async.resources._resource import RawResource, Resource, device_path, raw, site_path
from enapter_async.resources._waiting import OnProgress, Waiting

ExecutionExpand: TypeAlias = Literal["log"]
"""What an execution can include: all responses, newest first."""
ExecutionListExpand: TypeAlias = Literal["ephemeral", "log"]
"""What a list of executions can include: ephemeral ones, and all responses of each."""
ExecutionOrder: TypeAlias = Literal["CREATED_AT_ASC", "CREATED_AT_DESC"]
"""Order of a list of executions: oldest or newest first."""
ExecutionStateName: TypeAlias = Literal["NEW", "IN_PROGRESS", "SUCCESS", "ERROR", "TIMEOUT", "UNSYNC"]
"""State of an execution, as a literal."""

_EXECUTE: Final = Operation("commands.execute", "POST", Safety.UNSAFE, waits_for_device=True)
_START: Final = Operation("commands.start", "POST", Safety.UNSAFE)
_GET_EXECUTION: Final = Operation("commands.get_execution", "GET", Safety.READ)
_LIST_EXECUTIONS: Final = Operation("commands.list_executions", "GET", Safety.READ)

_EXECUTION: Final = Enveloped("execution", CommandExecution)
_STARTED: Final = Whole(StartedExecution)
_PAGE: Final = PageOf("executions", CommandExecution)
_EXPANDS: Final = frozenset({"log"})
_LIST_EXPANDS: Final = frozenset({"ephemeral", "log"})
_ORDERS: Final = frozenset({"CREATED_AT_ASC", "CREATED_AT_DESC"})


class Commands(Resource):
    """Commands of devices, and their executions.

    A command moves real equipment and the API has no idempotency key: no method here sends a command again
    after a failure that leaves open whether it arrived. Such a failure is an `OutcomeUnknownError`;
    `list_executions(device_id, created_at_gte=error.started_at,
    name_in=[name], expand={"ephemeral"})` tells whether the command arrived.
    """

    async def execute(
        self,
        device_id: str,
        name: str,
        arguments: Mapping[str, JSON] | None = None,
        *,
        ephemeral: bool | Unset = UNSET,
        expand: Iterable[ExecutionExpand] = (),
        site_id: str | None = None,
        timeout: float | None = None,
    ) -> CommandExecution:
        """Execute a command in one request, whose answer comes when the device has answered.

        `run` does the same in short requests, and knows the execution's ID from the beginning.

        Args:
            device_id: Its ID, or its slug (on the Cloud with `site_id` only).
            name: Name of the command, or an alias.
            arguments: Arguments by name.
            ephemeral: Keep the execution out of lists, and forget it after 24 hours.
            expand: What to include: log.
            site_id: Site of the device.
            timeout: Seconds for the whole call; `Timeouts.command` by default.

        Returns:
            The execution. A command that failed on the device is a result, not an error: see
            `raise_for_state()`. Never re-sent after an ambiguous failure. Role: the command's access level,
            USER by default.

        Raises:
            OutcomeUnknownError: No answer came; the command may be running.
        """
        expanded = query.chosen(expand, _EXPANDS, "expand")
        request = Request(
            _EXECUTE,
            device_path(device_id, site_id, "execute_command"),
            query.encode([("expand", expanded)] if expanded else []),
            body=_command(name, arguments, ephemeral),
            content_type=JSON_TYPE,
        )
        return await self._session.send(request, _EXECUTION, timeout)

    async def start(
        self,
        device_id: str,
        name: str,
        arguments: Mapping[str, JSON] | None = None,
        *,
        ephemeral: bool | Unset = UNSET,
        site_id: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """Start a command without waiting for the device.

        Args:
            device_id: Its ID, or its slug (on the Cloud with `site_id` only).
            name: Name of the command, or an alias.
            arguments: Arguments by name.
            ephemeral: Keep the execution out of lists, and forget it after 24 hours.
            site_id: Site of the device.
            timeout: Seconds for the whole call.

        Returns:
            The execution's ID, for `wait` and `get_execution`. Never re-sent after an ambiguous failure. Role:
            the command's access level, USER by default.

        Raises:
            OutcomeUnknownError: No answer came; the command may be running.
        """
        path = device_path(device_id, site_id, "command_executions")
        request = Request(_START, path, body=_command(name, arguments, ephemeral), content_type=JSON_TYPE)
        return await self._session.send(request, _execution_id, timeout)

    async def wait(
        self,
        device_id: str,
        execution_id: str,
        *,
        expand: Iterable[ExecutionExpand] = (),
        on_progress: OnProgress | None = None,
        site_id: str | None = None,
        timeout: float | None = None,
    ) -> CommandExecution:
        """Wait until an execution has ended, looking at it at once and at intervals that grow from 0.5 to 5 s.

        Lost connections, 429 and 5xx (but 501 and 505) are outlived as long as time is left.

        Args:
            device_id: Its ID, or its slug (on the Cloud with `site_id` only).
            execution_id: What `start` gave.
            expand: What to include: log.
            on_progress: Called with the execution when it is first seen, and each time that it has changed.
                What it raises ends the wait.
            site_id: Site of the device.
            timeout: Seconds for the whole wait; `Timeouts.command` by default.

        Returns:
            The execution in any state but NEW and IN_PROGRESS, one that is not known included. Re-sent freely.
            Role: READONLY, then the command's read access level.

        Raises:
            ExecutionPendingError: Time ran out; the command itself goes on.
        """
        expanded = query.chosen(expand, _EXPANDS, "expand")
        query.optional_callable(on_progress, "on_progress")
        waiting = self._waiting(device_id, execution_id, expanded, on_progress, site_id)
        return await waiting.until_final(self._waiting_time(timeout))

    async def run(
        self,
        device_id: str,
        name: str,
        arguments: Mapping[str, JSON] | None = None,
        *,
        ephemeral: bool | Unset = UNSET,
        expand: Iterable[ExecutionExpand] = (),
        on_progress: OnProgress | None = None,
        site_id: str | None = None,
        timeout: float | None = None,
    ) -> CommandExecution:
        """Start a command and wait until it has ended.

        Args:
            device_id: Its ID, or its slug (on the Cloud with `site_id` only).
            name: Name of the command, or an alias.
            arguments: Arguments by name.
            ephemeral: Keep the execution out of lists, and forget it after 24 hours.
            expand: What to include: log.
            on_progress: Called with the execution as soon as its ID is known (its state is None then), and each
                time that it has changed. What it raises ends the wait.
            site_id: Site of the device.
            timeout: Seconds for start and wait together; `Timeouts.command` by default.

        Returns:
            The execution in any state but NEW and IN_PROGRESS. A command that failed on the device is a result,
            not an error: see `raise_for_state()`. The start is never re-sent after an ambiguous failure. Role:
            the command's access level, USER by default, and its read access level.

        Raises:
            OutcomeUnknownError: No answer to the start came; the command may be running.
            ExecutionPendingError: The command was started, and time ran out or its end cannot be seen; it has
                the execution's ID, and why as its cause.
        """
        now = asyncio.get_running_loop().time
        deadline = now() + self._waiting_time(timeout)
        expanded = query.chosen(expand, _EXPANDS, "expand")
        query.optional_callable(on_progress, "on_progress")
        execution_id = await self.start(
            device_id, name, arguments, ephemeral=ephemeral, site_id=site_id, timeout=deadline - now()
        )
        waiting = self._waiting(device_id, execution_id, expanded, on_progress, site_id)
        waiting.saw(CommandExecution(id=execution_id, device_id=device_id))
        try:
            return await waiting.until_final(deadline - now())
        except ExecutionPendingError:
            raise
        except EnapterError as error:
            raise waiting.pending(f"was started, but its end cannot be seen: {error}") from error
        except asyncio.CancelledError as cancelled:
            cancelled.add_note(f"command execution {execution_id} of device {device_id} was started and goes on")
            raise

    async def get_execution(
        self,
        device_id: str,
        execution_id: str,
        *,
        expand: Iterable[ExecutionExpand] = (),
        site_id: str | None = None,
        timeout: float | None = None,
    ) -> CommandExecution:
        """Get an execution as it is now.

        Args:
            device_id: Its ID, or its slug (on the Cloud with `site_id` only).
            execution_id: What `start` gave.
            expand: What to include: log.
            site_id: Site of the device.
            timeout: Seconds for the whole call.

        Returns:
            The execution. Re-sent freely. Role: READONLY, then the command's read access level.

        Raises:
            NotFoundError: There is no such execution; an ephemeral one is forgotten after 24 hours.
        """
        request = _get_execution(device_id, execution_id, query.chosen(expand, _EXPANDS, "expand"), site_id)
        return await self._session.send(request, _EXECUTION, timeout)

    def list_executions(
        self,
        device_id: str | None = None,
        *,
        site_id: str | None = None,
        device_id_in: Iterable[str] | None = None,
        order: ExecutionOrder | None = None,
        created_at_gte: datetime | None = None,
        created_at_lt: datetime | None = None,
        state_in: Iterable[ExecutionState | ExecutionStateName] | None = None,
        name_in: Iterable[str] | None = None,
        expand: Iterable[ExecutionListExpand] = (),
        page_size: int | None = None,
        offset: int = 0,
        max_items: int | None = None,
        concurrency: int | None = None,
        timeout: float | None = None,
    ) -> Pager[CommandExecution]:
        """List executions of a device, or of all devices of a site.

        Args:
            device_id: ID of the device, or its slug (on the Cloud with `site_id` only).
            site_id: Site of the device; without `device_id`, the site whose executions are listed.
            device_id_in: Only these devices; for the list of a site.
            order: CREATED_AT_ASC or CREATED_AT_DESC; the server's default is not documented.
            created_at_gte: Only executions created at or after this aware datetime, by the platform's clock.
            created_at_lt: Only executions created before this aware datetime.
            state_in: Only executions in one of these states.
            name_in: Only executions of these commands.
            expand: `ephemeral` includes ephemeral executions, `log` all responses; for the list of a device.
                Neither is certain on every server.
            page_size: Items to ask for at once, 1 to 50.
            offset: Items to skip.
            max_items: Most items to give.
            concurrency: Most pages in flight; 1 = one after the other.
            timeout: Seconds for each request.

        Returns:
            A `Pager`; nothing is sent before it is iterated. Re-sent freely. Role: READONLY, then each
            command's read access level.

        Raises:
            InvalidArgumentError: Neither a device nor a site was given, a time is naive, or an argument does not
                fit the list.
        """
        path = _list_path(device_id, site_id)
        filters: list[tuple[str, str]] = []
        if device_id_in is not None:
            if device_id is not None:
                raise InvalidArgumentError("device_id_in", "is for the list of a site, without device_id")
            filters.append(("device_id.in", query.listed(device_id_in, "device_id_in")))
        if order is not None:
            filters.append(("order", query.one_of(order, _ORDERS, "order")))
        if created_at_gte is not None:
            filters.append(("created_at.gte", format_time(created_at_gte, "created_at_gte")))
        if created_at_lt is not None:
            filters.append(("created_at.lt", format_time(created_at_lt, "created_at_lt")))
        if state_in is not None:
            filters.append(("state.in", query.members(state_in, ExecutionState, "state_in")))
        if name_in is not None:
            filters.append(("name.in", query.listed(name_in, "name_in")))
        expanded = query.chosen(expand, _LIST_EXPANDS, "expand")
        if expanded:
            if device_id is None:
                # Ignored by the server, it would hide executions from whoever looks for a lost one.
                raise InvalidArgumentError("expand", "is for the list of a device, with device_id")
            filters.append(("expand", expanded))
        return self._pager(
            _LIST_EXECUTIONS,
            path,
            _PAGE,
            key=_id,
            filters=filters,
            page_size=page_size,
            offset=offset,
            max_items=max_items,
            concurrency=concurrency,
            timeout=timeout,
        )

    def _waiting(
        self,
        device_id: str,
        execution_id: str,
        expanded: str,
        on_progress: OnProgress | None,
        site_id: str | None,
    ) -> Waiting:
        request = _get_execution(device_id, execution_id, expanded, site_id)

        async def look(seconds: float) -> CommandExecution:
            return await self._session.send(request, _EXECUTION, seconds)

        return Waiting(execution_id, look, self._session.sleep, on_progress)

    def _waiting_time(self, timeout: float | None) -> float:
        return self._session.time_for(_EXECUTE) if timeout is None else require_timeout(timeout)


class RawCommands(RawResource):
    """The methods of `Commands` that are one request, with the facts of their call."""

    def __init__(self, session: Session) -> None:
        super().__init__(Commands(session))

    @raw(Commands.execute)
    def execute(self) -> None:
        """Like `Commands.execute`."""

    @raw(Commands.start)
    def start(self) -> None:
        """Like `Commands.start`."""

    @raw(Commands.get_execution)
    def get_execution(self) -> None:
        """Like `Commands.get_execution`."""


def _command(name: str, arguments: Mapping[str, JSON] | None, ephemeral: bool | Unset) -> bytes:
    fields: dict[str, object] = {"name": query.text(name, "name")}
    if arguments is not None:
        if not isinstance(arguments, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise refuse_argument("arguments", "must be arguments by name", arguments)
        fields["arguments"] = {query.text(key, "arguments"): value for key, value in arguments.items()}
    if ephemeral is not UNSET:
        fields["ephemeral"] = query.flag(ephemeral, "ephemeral")
    return dumps(fields, "arguments")


def _execution_id(answer: Answer) -> str:
    return _STARTED(answer).execution_id


def _get_execution(device_id: str, execution_id: str, expanded: str, site_id: str | None) -> Request:
    path = device_path(device_id, site_id, "command_executions", segment(execution_id, "execution_id"))
    return Request(_GET_EXECUTION, path, query.encode([("expand", expanded)] if expanded else []))


def _list_path(device_id: str | None, site_id: str | None) -> str:
    if device_id is not None:
        return device_path(device_id, site_id, "command_executions")
    if site_id is not None:
        return site_path(site_id, "commands", "executions")
    raise InvalidArgumentError("device_id", "give a device_id or a site_id")


def _id(execution: CommandExecution) -> str:
    return execution.id
