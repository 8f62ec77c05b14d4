"""Export of a command's spans and metrics, configured by OpenTelemetry's environment variables."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Final

from enapter_async import MissingExtraError

if TYPE_CHECKING:
    from enapter_async.integrations.opentelemetry import OpenTelemetryHook

_ASKING: Final = (
    "OTEL_TRACES_EXPORTER",
    "OTEL_METRICS_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
_INSTALL: Final = "pip install 'enapter-async[otel]' opentelemetry-distro opentelemetry-exporter-otlp"


@cache
def environment_hooks() -> tuple[OpenTelemetryHook, ...]:
    """Return the hook that exports spans and metrics, or none if the environment does not request an export."""
    asked = next((name for name in _ASKING if os.environ.get(name)), None)
    if asked is None or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ()
    try:
        from enapter_async.integrations.opentelemetry import OpenTelemetryHook, configure_from_environment

        configure_from_environment()
    except MissingExtraError:
        sys.stderr.write(f"{asked} is set, but nothing is exported because packages are missing: {_INSTALL}\n")
        return ()
    return (OpenTelemetryHook(),)
