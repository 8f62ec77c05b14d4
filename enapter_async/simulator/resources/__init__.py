"""One module per resource; each collects its operations in `operations`."""

from __future__ import annotations

from . import devices, sites, telemetry, timeseries

_RESOURCES = (sites, devices, telemetry, timeseries)
OPERATIONS = [operation for resource in _RESOURCES for operation in resource.operations.all]
"""Every operation that is served."""
