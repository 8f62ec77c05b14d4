"""What a service tells systemd over NOTIFY_SOCKET (sd_notify, `Type=notify`); nothing where there is no such socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class SystemdNotifier:
    """Sends READY, STATUS, WATCHDOG, RELOADING and STOPPING to the service manager.

    A message that cannot be sent is dropped: what reports on a service must never end it.

    Attributes:
        watchdog_seconds: Seconds after which systemd misses a sign of life; None without a watchdog.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """Read where to send to.

        Args:
            environment: Has NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID; by default `os.environ`.
        """
        environment = os.environ if environment is None else environment
        address = environment.get("NOTIFY_SOCKET", "")
        # An abstract socket is written with @ in place of the NUL that it begins with.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_seconds: float | None = _watchdog(environment) if self._address else None

    @property
    def is_active(self) -> bool:
        """Whether a service manager listens."""
        return bool(self._address)

    def ready(self) -> None:
        """Tell that the service has started, or has reloaded."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send("STATUS=" + " ".join(text.split()))

    def alive(self) -> None:
        """Reset the watchdog."""
        if self.watchdog_seconds is not None:
            self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """Tell that the service reloads; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Tell that the service ends."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as client:
            client.setblocking(False)
            client.connect(self._address)
            client.send(message.encode("utf-8", "replace"))


def _watchdog(environment: Mapping[str, str]) -> float | None:
    """Return the watchdog's time; a PID of another process means that it is not ours."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        seconds = int(environment.get("WATCHDOG_USEC", "")) / 1e6
    except ValueError:
        return None
    return seconds if seconds > 0 else None
