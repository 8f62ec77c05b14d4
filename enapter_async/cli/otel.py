"""Export of a command's spans and metrics, configured by OpenTelemetry's environment variables."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Final

from enapter_async import MissingExtraError
from enapter_async.cli import interruption

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
    # An exporter called "none" switches an export off.
    asked = next((name for name in _ASKING if os.environ.get(name, "none").strip().lower() not in ("", "none")), None)
    if asked is None or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ()
    try:
        from enapter_async.integrations.opentelemetry import OpenTelemetryHook, configure_from_environment

        configure_from_environment()
    except MissingExtraError:
        sys.stderr.write(f"{asked} is set, but nothing is exported because packages are missing: {_INSTALL}\n")
        return ()
    return (OpenTelemetryHook(),)


def export_rest(seconds: float = 5.0) -> bool:
    """Export what is left when the command ends, until a signal comes or the time is up.

    OpenTelemetry would do it when the interpreter exits, which takes too long and ignores Ctrl-C.

    Args:
        seconds: The most to wait.

    Returns:
        Whether the exporters finished. If they did not, the interpreter would wait for them at its exit.
    """
    if not environment_hooks.cache_info().currsize or not environment_hooks():
        return True
    from enapter_async.integrations.opentelemetry import list_shutdowns

    stopped = threading.Event()

    def stop() -> bool:
        stopped.set()
        return True

    exports = [threading.Thread(target=shutdown, name="otel export", daemon=True) for shutdown in list_shutdowns()]
    with interruption.listening(stop, signal.SIGINT, signal.SIGTERM):
        for export in exports:
            export.start()
        deadline = time.monotonic() + seconds
        while any(export.is_alive() for export in exports):
            if stopped.wait(0.02) or time.monotonic() >= deadline:
                sys.stderr.write("enapter-async: some spans and metrics were not exported in time\n")
                return False
    return True
