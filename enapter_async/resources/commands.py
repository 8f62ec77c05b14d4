"""Commands of devices, and the executions that track them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, Literal, TypeAlias

from enapter_async._arguments import require_mapping
from enapter_async._protocol import query
from enapter_async._protocol.body import dumps
from enapter_async._protocol.decoding.envelopes import Enveloped, PageOf, Whole
from enapter_async._protocol.request import JSON_TYPE, Answer, Operation, Request, Safety
from enapter_async._protocol.urls import segment
from enapter_async._protocol.values import format_time, require_timeout
from enapter_async._session import Session
from enapter_async.errors import EnapterError, ExecutionPendingError, InvalidArgumentError
from enapter_async.models.commands import CommandExecution, ExecutionState, StartedExecution
from enapter_async.models.common import JSON, UNSET, Unset
from enapter_async.pagination import Pager
from enapter_async.resources._resource import RawResource, Resource, device_path, raw, site_path
from enapter_async.resources._waiting import OnProgress, Waiting

ExecutionExpand: TypeAlias = Literal["log"]
"""Optional part of an execution: all responses of the device, newest first."""
ExecutionListExpand: TypeAlias = Literal["ephemeral", "log"]
"""Optional parts of a list of executions: ephemeral executions, and all responses of each execution."""
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
    """Send commands to devices, and track their executions.

    Commands move real equipment, and the API has no idempotency keys. No method here sends a command again if it may
    already have arrived. Such a failure raises `OutcomeUnknownError`. To find out whether the command arrived, call
    `list_executions(device_id, created_at_gte=error.started_at, name_in=[name], expand={"ephemeral"})`.
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
        """Execute a command in one request that returns when the device has responded.

        Prefer `run`, which does the same in short requests and knows the execution's ID from the start.

        Args:
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            name: Name or alias of the command.
            arguments: Arguments by name.
            ephemeral: Leave the execution out of lists, and delete it after 24 hours.
            expand: Parts to include: log.
            site_id: Site of the device.
            timeout: Timeout of the whole call, in seconds. The default is `Timeouts.command`.

        Returns:
            The execution. A command that failed on the device does not raise an error. Call `raise_for_state()` for
            that.

        Raises:
            OutcomeUnknownError: No response was received. The command may be running.
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
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            name: Name or alias of the command.
            arguments: Arguments by name.
            ephemeral: Leave the execution out of lists, and delete it after 24 hours.
            site_id: Site of the device.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The ID of the execution, for `wait` and `get_execution`.

        Raises:
            OutcomeUnknownError: No response was received. The command may be running.
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
        """Wait until an execution has ended.

        The execution is polled at once, and then at intervals that grow from 0.5 to 5 s. Lost connections, 429 and
        5xx responses (except 501 and 505) are retried until the timeout.

        Args:
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            execution_id: ID returned by `start`.
            expand: Parts to include: log.
            on_progress: Called with the execution when it is first seen, and whenever it changes. An exception in it
                ends the wait.
            site_id: Site of the device.
            timeout: Timeout of the whole wait, in seconds. The default is `Timeouts.command`.

        Returns:
            The execution in any state except NEW and IN_PROGRESS. The state may be one that this version does not know.

        Raises:
            ExecutionPendingError: The timeout expired. The command itself continues.
        """
        expanded = query.chosen(expand, _EXPANDS, "expand")
        query.optional_callback(on_progress, "on_progress")
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
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            name: Name or alias of the command.
            arguments: Arguments by name.
            ephemeral: Leave the execution out of lists, and delete it after 24 hours.
            expand: Parts to include: log.
            on_progress: Called with the execution as soon as its ID is known (with state None), and whenever it
                changes. An exception in it ends the wait.
            site_id: Site of the device.
            timeout: Timeout of start and wait together, in seconds. The default is `Timeouts.command`.

        Returns:
            The execution in any state except NEW and IN_PROGRESS. A command that failed on the device does not raise
            an error. Call `raise_for_state()` for that.

        Raises:
            OutcomeUnknownError: No response to the start was received. The command may be running.
            ExecutionPendingError: The command was started, but the timeout expired or polling it failed. The error
                has the execution's ID, and its cause is the reason.
        """
        now = asyncio.get_running_loop().time
        deadline = now() + self._waiting_time(timeout)
        expanded = query.chosen(expand, _EXPANDS, "expand")
        query.optional_callback(on_progress, "on_progress")
        execution_id = await self.start(
            device_id, name, arguments, ephemeral=ephemeral, site_id=site_id, timeout=deadline - now()
        )
        waiting = self._waiting(device_id, execution_id, expanded, on_progress, site_id)
        try:
            waiting.saw(CommandExecution(id=execution_id, device_id=device_id))
            return await waiting.until_final(deadline - now())
        except ExecutionPendingError:
            raise
        except EnapterError as error:
            raise waiting.pending(f"was started, but polling it failed: {error}") from error
        except BaseException as interruption:  # cancelled, or raised by `on_progress`
            interruption.add_note(f"command execution {execution_id} of device {device_id} was started and continues")
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
        """Get the current state of an execution.

        Args:
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            execution_id: ID returned by `start`.
            expand: Parts to include: log.
            site_id: Site of the device.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The execution.

        Raises:
            NotFoundError: The execution does not exist. Ephemeral executions are deleted after 24 hours.
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
        """List the executions of a device, or of all devices of a site.

        Args:
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            site_id: Site of the device. Without `device_id`, the site whose executions are listed.
            device_id_in: Only executions of these devices. Valid only for the list of a site.
            order: CREATED_AT_ASC or CREATED_AT_DESC. The server's default is not documented.
            created_at_gte: Only executions created at or after this aware datetime, by the platform's clock.
            created_at_lt: Only executions created before this aware datetime.
            state_in: Only executions in one of these states.
            name_in: Only executions of these commands.
            expand: `ephemeral` includes ephemeral executions, `log` includes all responses. Valid only for the list
                of a device. Some servers may support neither.
            page_size: Items per request, 1 to 50.
            offset: Number of items to skip.
            max_items: Maximum number of items to return.
            concurrency: Maximum number of pages requested at once. 1 requests them one after another.
            timeout: Timeout of each request, in seconds.

        Returns:
            A `Pager`. Requests are sent when you iterate or await it.

        Raises:
            InvalidArgumentError: Neither a device nor a site was given, a datetime is naive, or an argument does not
                apply to this list.
        """
        path = _list_path(device_id, site_id)
        filters: list[tuple[str, str]] = []
        if device_id_in is not None:
            if device_id is not None:
                raise InvalidArgumentError("device_id_in", "is valid only without device_id, for the list of a site")
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
                # The server would ignore it, and a search for a lost execution would miss ephemeral ones.
                raise InvalidArgumentError("expand", "is valid only with device_id, for the list of a device")
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
    """The methods of `Commands` that send one request. They return a `Response`."""

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
        given = require_mapping(arguments, "arguments", "must map argument names to values")
        fields["arguments"] = {query.text(key, "arguments"): value for key, value in given.items()}
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
