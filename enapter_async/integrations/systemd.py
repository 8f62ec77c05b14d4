"""Notifications to systemd over NOTIFY_SOCKET (sd_notify, `Type=notify`). Without that socket nothing is sent."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class SystemdNotifier:
    """Sends READY, STATUS, WATCHDOG, RELOADING and STOPPING to the service manager.

    A message that cannot be sent is dropped, because a status report must never stop the service.

    Attributes:
        watchdog_seconds: Seconds within which systemd expects a sign of life; None without a watchdog.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """Read the address of the service manager.

        Args:
            environment: Holds NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID; by default `os.environ`.
        """
        environment = os.environ if environment is None else environment
        address = environment.get("NOTIFY_SOCKET", "")
        # The leading NUL of an abstract socket is written as @.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_seconds: float | None = _watchdog(environment) if self._address else None

    @property
    def is_active(self) -> bool:
        """Whether a service manager listens."""
        return bool(self._address)

    def ready(self) -> bool:
        """Report that the service has started or reloaded. Return False if the manager is busy: call this again then.

        systemd ends a service that does not report this in time.
        """
        return self._send("READY=1")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send("STATUS=" + " ".join(text.split()))

    def alive(self) -> None:
        """Reset the watchdog."""
        if self.watchdog_seconds is not None:
            self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """Report that the service is reloading. Call `ready` when it is done."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Report that the service is stopping."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> bool:
        """Send a message. Return False if the queue of the manager is full."""
        if not self._address:
            return True
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as client:
            client.setblocking(False)
            try:
                client.connect(self._address)
                client.send(message.encode("utf-8", "replace"))
            except BlockingIOError:
                return False
        return True


def _watchdog(environment: Mapping[str, str]) -> float | None:
    """Return the watchdog's timeout. A watchdog with another PID is meant for another process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        seconds = int(environment.get("WATCHDOG_USEC", "")) / 1e6
    except (ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else None
