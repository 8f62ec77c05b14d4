"""Command executions: request, responses of the device, and outcome."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Self

import attrs

from enapter_async.errors import CommandFailedError, ExecutionPendingError
from enapter_async.models.common import JSON, NO_EXTRA, OpenEnum


class ExecutionState(OpenEnum):
    """State of a command execution.

    All states except NEW and IN_PROGRESS are final. UNSYNC means that the platform does not know the outcome.
    """

    NEW = "NEW"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    TIMEOUT = "TIMEOUT"
    UNSYNC = "UNSYNC"

    @property
    def is_final(self) -> bool:
        """Whether the execution has ended. An unknown state counts as final."""
        return self not in _UNFINISHED


_UNFINISHED: Final = frozenset({ExecutionState.NEW, ExecutionState.IN_PROGRESS})


class ResponseState(OpenEnum):
    """State of a command, as reported in one response of a device."""

    STARTED = "STARTED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    ERROR = "ERROR"


@attrs.frozen(kw_only=True, weakref_slot=False)
class CommandRequest:
    """A command that was sent to a device.

    Attributes:
        name: Name of the command, or the alias that was used.
        arguments: Arguments by name. The server masks sensitive arguments in logs.
        manifest_name: Name in the manifest, if `name` is an alias.
        extra: Fields that this version does not know.
    """

    name: str = ""
    arguments: dict[str, JSON] = attrs.field(factory=dict[str, JSON], hash=False)
    manifest_name: str | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class CommandResponse:
    """One response of the device. There may be several before the last.

    Attributes:
        state: Reported state of the command.
        payload: Free-form value that the device returned.
        received_at: When the platform received it.
        extra: Fields that this version does not know.
    """

    state: ResponseState | None = None
    payload: JSON = attrs.field(default=None, hash=False)
    received_at: datetime | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class CommandExecution:
    """One execution of a command.

    Attributes:
        id: Identifier.
        device_id: ID of the device. May be missing in the response of `commands.execute`.
        state: State of the execution.
        created_at: When the platform accepted the command.
        request: The command.
        response: Latest response of the device, if any.
        log: All responses, newest first. None unless requested with `expand`.
        ephemeral: Whether it is deleted after 24 hours; older servers only.
        extra: Fields that this version does not know.
    """

    id: str
    device_id: str | None = None
    state: ExecutionState | None = None
    created_at: datetime | None = None
    request: CommandRequest | None = None
    response: CommandResponse | None = None
    log: tuple[CommandResponse, ...] | None = None
    ephemeral: bool | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)

    @property
    def is_final(self) -> bool:
        """Whether the execution has ended. An unknown state counts as final, a missing state does not."""
        return self.state is not None and self.state.is_final

    def raise_for_state(self) -> Self:
        """Return the execution itself if the command succeeded.

        Raises:
            CommandFailedError: The command ended in any state except SUCCESS, which includes unknown states.
            ExecutionPendingError: The command has not ended yet.
        """
        if self.state is ExecutionState.SUCCESS:
            return self
        name = f"command {self.request.name!r}" if self.request is not None else "command"
        if self.state is None or not self.state.is_final:
            state = None if self.state is None else self.state.value
            raise ExecutionPendingError(
                f"{name} has not ended (execution {self.id}, state {state})", execution_id=self.id, state=state
            )
        raise CommandFailedError(
            f"{name} ended in state {self.state.value} (execution {self.id})",
            state=self.state.value,
            execution=self,
        )


@attrs.frozen(kw_only=True, weakref_slot=False)
class StartedExecution:
    """The response to a started command.

    Attributes:
        execution_id: ID of the execution to wait for.
        extra: Fields that this version does not know.
    """

    execution_id: str
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)
