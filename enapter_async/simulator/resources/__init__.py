"""One module per resource; each collects its operations in `operations`."""

from __future__ import annotations

from . import devices, sites, telemetry

OPERATIONS = [operation for resource in (sites, devices, telemetry) for operation in resource.operations.all]
