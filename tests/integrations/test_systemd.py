"""What systemd hears, on a socket of the test's own."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from enapter_async.integrations.systemd import SystemdNotifier


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(Path(folder) / "notify"))
        server.settimeout(2)
        yield server


def test_every_message_has_the_form_of_sd_notify(listening: socket.socket) -> None:
    notifier = SystemdNotifier({"NOTIFY_SOCKET": listening.getsockname(), "WATCHDOG_USEC": "30000000"})
    assert notifier.is_active
    assert notifier.watchdog_seconds == 30
    notifier.ready()
    notifier.status("12 devices,\n1,000 rows")
    notifier.alive()
    notifier.reloading()
    notifier.stopping()
    got = [listening.recv(1024).decode() for _ in range(5)]
    assert got[:3] == ["READY=1", "STATUS=12 devices, 1,000 rows", "WATCHDOG=1"]
    assert got[3].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert got[4] == "STOPPING=1"


def test_an_abstract_socket_is_reached() -> None:
    name = f"enapter-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind("\0" + name)
        server.settimeout(2)
        SystemdNotifier({"NOTIFY_SOCKET": "@" + name}).ready()
        assert server.recv(100) == b"READY=1"


def test_without_a_socket_nothing_is_sent() -> None:
    notifier = SystemdNotifier({"WATCHDOG_USEC": "1000000"})
    assert not notifier.is_active
    assert notifier.watchdog_seconds is None
    notifier.ready()


def test_a_manager_that_is_gone_does_not_end_the_service(tmp_path: Path) -> None:
    SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()


def test_a_manager_that_is_busy_is_told_again(listening: socket.socket) -> None:
    """systemd ends a service whose READY it has not read."""
    notifier = SystemdNotifier({"NOTIFY_SOCKET": listening.getsockname()})
    assert notifier.ready()
    while notifier.ready():  # until the queue is full
        pass
    listening.recv(100)
    assert notifier.ready()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "5000000"}, 5.0),
        ({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": str(os.getpid())}, 5.0),
        ({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "9" * 400}, None),
        ({"WATCHDOG_USEC": str(2**64 - 1)}, (2**64 - 1) / 1e6),  # systemd's infinity
        ({}, None),
    ],
)
def test_the_watchdog_is_that_of_this_process(environment: dict[str, str], seconds: float | None) -> None:
    assert SystemdNotifier({"NOTIFY_SOCKET": "/x", **environment}).watchdog_seconds == seconds
