"""Command executions: what was asked, what the device answered, how it ended."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Self

import attrs

from enapter_async.errors import CommandFailedError, ExecutionPendingError
from enapter_async.models.common import JSON, NO_EXTRA, OpenEnum


class ExecutionState(OpenEnum):
    """Where a command execution stands.

    NEW and IN_PROGRESS go on; every other state is final. UNSYNC: the platform itself does not know the outcome.
    """

    NEW = "NEW"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    TIMEOUT = "TIMEOUT"
    UNSYNC = "UNSYNC"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come; a state that is not known counts as final."""
        return self not in _UNFINISHED


_UNFINISHED: Final = frozenset({ExecutionState.NEW, ExecutionState.IN_PROGRESS})


class ResponseState(OpenEnum):
    """What one response of a device says about a command."""

    STARTED = "STARTED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    ERROR = "ERROR"


@attrs.frozen(kw_only=True, weakref_slot=False)
class CommandRequest:
    """What was asked of the device.

    Attributes:
        name: Command name, or the alias that was used.
        arguments: Arguments by name; the server masks sensitive ones in logs.
        manifest_name: Name in the manifest, when `name` was an alias.
        extra: Fields that this version does not know.
    """

    name: str = ""
    arguments: dict[str, JSON] = attrs.field(factory=dict[str, JSON], hash=False)
    manifest_name: str | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class CommandResponse:
    """One response of the device; there may be several before the last.

    Attributes:
        state: What it says.
        payload: Whatever the device returned; free-form.
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
        device_id: The device; may be missing in the answer of `commands.execute`.
        state: Where it stands.
        created_at: When the platform took it.
        request: What was asked.
        response: Latest response of the device; None before the first.
        log: All responses, newest first; None unless expanded.
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
        """Whether nothing more will come. A state that is not known counts as final, a missing one does not."""
        return self.state is not None and self.state.is_final

    def raise_for_state(self) -> Self:
        """Return the execution itself if the command succeeded.

        Raises:
            CommandFailedError: It ended in any other state than SUCCESS; one that is not known included.
            ExecutionPendingError: It has not ended yet.
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
    """The answer to a started command.

    Attributes:
        execution_id: What to wait for.
        extra: Fields that this version does not know.
    """

    execution_id: str
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)
