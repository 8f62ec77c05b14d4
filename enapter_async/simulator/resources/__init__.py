"""One module per resource; each collects its operations in `operations`."""

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
    blueprints,
    rules,
    streams,
)
OPERATIONS = [operation for resource in _RESOURCES for operation in resource.operations.all]
"""Every operation that is served."""
