"""Command executions: the state of a command is a function of its start and of the time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from ..roles import Role
from ..times import format_time, parse_time

EPHEMERAL_KEPT = 86_400
"""Seconds after which an ephemeral execution is gone (reference.md, section 11)."""

_FINAL_RESPONSE = {"SUCCESS": "SUCCEEDED", "ERROR": "ERROR"}


@attrs.define(eq=False)
class Execution:
    """One run of a command.

    Attributes:
        id: ID.
        device_id: The device that runs it.
        name: Name as it was asked for, perhaps an alias.
        manifest_name: Name in the manifest.
        arguments: Arguments as responses show them, with sensitive ones masked.
        ephemeral: Whether it is left out of lists and forgotten after a day.
        created_at: Unix seconds, whole microseconds.
        duration: Seconds until it is over.
        outcome: Its last state: SUCCESS, ERROR, TIMEOUT or UNSYNC.
        payload: Payload of the last response.
        responds: Whether the device says anything at all.
        read_role: Lowest role that may see it.
        sent_arguments: Arguments as they came, for assertions.
    """

    id: str
    device_id: str
    name: str
    manifest_name: str
    arguments: dict[str, Any]
    ephemeral: bool
    created_at: float
    duration: float
    outcome: str = "SUCCESS"
    payload: dict[str, Any] = attrs.field(factory=dict[str, Any])
    responds: bool = True
    read_role: Role = Role.READONLY
    sent_arguments: dict[str, Any] = attrs.field(factory=dict[str, Any], repr=False)

    @property
    def ends_at(self) -> float:
        """When it is over."""
        return self.created_at + self.duration

    def state(self, now: float) -> str:
        """Return the state at a time: NEW, IN_PROGRESS, then the outcome."""
        if now >= self.ends_at:
            return self.outcome
        return "NEW" if now < self.created_at + 0.2 * self.duration else "IN_PROGRESS"

    def responses(self, now: float) -> list[dict[str, Any]]:
        """Return what the device has answered until a time, newest first."""
        if not self.responds:
            return []
        planned: list[tuple[float, str, dict[str, Any]]] = [
            (0.2, "STARTED", {}),
            (0.5, "IN_PROGRESS", {"progress": 50}),
        ]
        if self.outcome in _FINAL_RESPONSE:
            planned.append((1.0, _FINAL_RESPONSE[self.outcome], self.payload))
        responses: list[dict[str, Any]] = []
        for share, state, payload in reversed(planned):
            received_at = self.ends_at if share == 1 else self.created_at + share * self.duration
            if received_at <= now:
                responses.append({"state": state, "payload": payload, "received_at": format_time(received_at)})
        return responses

    def render(self, now: float, *, log: bool = False) -> dict[str, Any]:
        """Return the JSON."""
        responses = self.responses(now)
        answer: dict[str, Any] = {
            "id": self.id,
            "device_id": self.device_id,
            "state": self.state(now),
            "created_at": format_time(self.created_at),
            "request": {
                "name": self.name,
                "arguments": self.arguments,
                "manifest_name": self.manifest_name,
            },
            "ephemeral": self.ephemeral,
        }
        if responses:
            answer["response"] = responses[0]
        if log:
            answer["log"] = responses
        return answer


class ExecutionStore:
    """All executions, in the order of their creation."""

    def __init__(self) -> None:
        self._executions: dict[str, Execution] = {}

    def __len__(self) -> int:
        return len(self._executions)

    def __iter__(self) -> Iterator[Execution]:
        return iter(list(self._executions.values()))

    def add(self, execution: Execution) -> None:
        """Add an execution; its time is rounded to what responses can show."""
        execution.created_at = parse_time(format_time(execution.created_at))
        self._executions[execution.id] = execution

    def get(self, execution_id: str, device_id: str, now: float) -> Execution | None:
        """Find an execution of a device."""
        execution = self._executions.get(execution_id)
        if execution is None or execution.device_id != device_id:
            return None
        return None if _forgotten(execution, now) else execution

    def ordered(self, now: float) -> list[Execution]:
        """Return all executions by creation. Equal times are ordered by ID, so that descending is the exact reverse."""
        kept = [execution for execution in self._executions.values() if not _forgotten(execution, now)]
        return sorted(kept, key=lambda execution: (execution.created_at, execution.id))


def _forgotten(execution: Execution, now: float) -> bool:
    return execution.ephemeral and now - execution.created_at >= EPHEMERAL_KEPT
