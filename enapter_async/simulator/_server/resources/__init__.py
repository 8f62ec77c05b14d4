"""One module per resource. Each collects its operations in `operations`."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from . import (
    blueprints,
    commands,
    configuration,
    devices,
    logs,
    provisioning,
    rules,
    sites,
    streams,
    telemetry,
    terminal,
    timeseries,
)

_RESOURCES = (
    sites,
    devices,
    configuration,
    commands,
    logs,
    telemetry,
    timeseries,
    provisioning,
    terminal,
    blueprints,
    rules,
    streams,
)
OPERATIONS = [operation for resource in _RESOURCES for operation in resource.operations.all]
"""Every operation of the specification."""
UNLISTED = terminal.socket_operations.all
"""Other routes."""
_KNOWN: Final = frozenset(operation.id for operation in (*OPERATIONS, *UNLISTED))


def require_operation(operation: object) -> None:
    """Raise an error for anything but the ID of an operation.

    Raises:
        ValueError: The operation does not exist.
    """
    if not isinstance(operation, str) or operation not in _KNOWN:
        close = get_close_matches(str(operation), sorted(_KNOWN), n=1)
        hint = f"did you mean {close[0]!r}?" if close else "see the page Operations of the documentation"
        raise ValueError(f"unknown operation {operation!r}; {hint}")
