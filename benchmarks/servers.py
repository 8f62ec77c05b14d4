"""Servers to measure against: nginx with static files, and a paging server with a fixed latency."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DEVICE_ID = "7b1e4c90-25d3-4f6a-8e57-1a9c3d2b4f68"


def device(number: int = 0, *, expanded: bool = False, manifest: bool = False) -> dict[str, Any]:
    """Return a device as the API describes one."""
    identifier = DEVICE_ID if number == 0 else f"00000000-0000-4000-8000-{number:012}"
    value: dict[str, Any] = {
        "id": identifier,
        "blueprint_id": "e5d4c3b2-a190-4f8e-b7d6-c5a493827160",
        "name": f"Rooftop inverter {number}",
        "site_id": "3f0c1d52-8a4e-4b7e-9d21-0c6f5a7b9e10",
        "updated_at": "2026-03-14T09:26:53.589793Z",
        "slug": f"rooftop-inverter-{number}",
        "type": "LUA",
        "authorized_role": "OWNER",
    }
    if expanded:
        value["connectivity"] = {"status": "ONLINE"}
        value["communication"] = {"type": "UCM_LUA", "upstream_id": "c2a9d8f1-6b34-4e05-9a7c-58d0e1f2a3b4"}
        value["properties"] = {"serial_number": f"INV-{number}", "firmware_version": "2.4.1", "phases": 3}
        value["raised_alert_names"] = ["grid_overvoltage"]
    if manifest:
        value["manifest"] = _manifest()
    return value


def _manifest() -> dict[str, Any]:
    telemetry = {
        f"attribute_{number}": {
            "type": "float",
            "display_name": f"Attribute {number}",
            "unit": "kilowatt",
            "description": "What this attribute means, in a sentence of the usual length.",
        }
        for number in range(40)
    }
    return {"blueprint_spec": "device/3.0", "display_name": "Inverter", "runtime": {}, "telemetry": telemetry}


@contextmanager
def pinned_process(command: list[str], port: int) -> Iterator[None]:
    """Run a server on the last core until the block ends."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) > 1:
            os.sched_setaffinity(process.pid, {cores[-1]})
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        else:
            raise RuntimeError(f"{command[0]} did not start")
        yield
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def nginx() -> Iterator[str]:
    """Serve one device from nginx; yields the base URL."""
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(binary).exists():
        raise RuntimeError("nginx is not installed (apt-get install nginx-light)")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        files = root / "www" / "v3" / "devices"
        files.mkdir(parents=True)
        (files / DEVICE_ID).write_text(json.dumps({"device": device()}))
        for path in (root / "www").rglob("*"):
            path.chmod(0o755)
        configuration = root / "nginx.conf"
        configuration.write_text((HERE / "static.conf").read_text().format(root=root, port=port))
        command = [binary, "-p", str(root), "-c", str(configuration), "-e", str(root / "error.log")]
        with pinned_process(command, port):
            yield f"http://127.0.0.1:{port}"


@contextmanager
def paging(latency_ms: float, devices: int, *, manifests: bool = False) -> Iterator[str]:
    """Serve a list of devices in pages, each answer delayed; yields the base URL."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "benchmarks.paging_server",
        str(port),
        str(latency_ms),
        str(devices),
        str(int(manifests)),
    ]
    with pinned_process(command, port):
        yield f"http://127.0.0.1:{port}"
