"""One module per resource. Each collects its operations in `operations`."""

from __future__ import annotations

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
