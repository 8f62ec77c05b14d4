"""Debian's nginx with `limit_req`: a real rate limiter that nobody here wrote.

Started with a prefix, a configuration and a loopback port of its own, and stopped with the block.
`delaying_proxy` puts the round trip of a wide area network before it, or behind it.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.ports import find_free_port

BINARY = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")

DEVICE = {
    "device": {
        "id": "7b1e4c90-25d3-4f6a-8e57-1a9c3d2b4f68",
        "blueprint_id": "e5d4c3b2-a190-4f8e-b7d6-c5a493827160",
        "name": "Rooftop inverter",
        "site_id": "3f0c1d52-8a4e-4b7e-9d21-0c6f5a7b9e10",
        "updated_at": "2026-03-14T09:26:53.589793Z",
        "slug": "rooftop-inverter",
        "type": "LUA",
        "authorized_role": "OWNER",
    }
}

CONFIGURATION = """\
daemon off;
{user}
worker_processes 1;
pid {root}/nginx.pid;
error_log {root}/error.log crit;
events {{ worker_connections 1024; }}
http {{
  log_format answers '$msec $status $request_uri';
  default_type application/json;
  keepalive_requests 1000000000;
  client_body_temp_path {root}/body;
  proxy_temp_path {root}/proxy;
  fastcgi_temp_path {root}/fastcgi;
  uwsgi_temp_path {root}/uwsgi;
  scgi_temp_path {root}/scgi;
  limit_req_zone $server_name zone=quota:1m rate={rate}r/s;
  map $status $retry_after {{ default ""; 429 "{retry_after}"; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    server_name api;  # an empty key would not be limited
    access_log {root}/answers.log answers;
    limit_req zone=quota{burst};
    limit_req_status 429;
    add_header Retry-After $retry_after always;
    location / {{ {answer} }}
  }}
  server {{
    listen 127.0.0.1:{static_port} backlog=4096;
    access_log off;
    location / {{ {static} }}
  }}
}}
"""
STATIC = "root {root}/www; try_files /device.json =404;"


class Nginx:
    """A running nginx: `url`, and what it answered by its own log."""

    def __init__(
        self, root: Path, *, rate: int, burst: int, retry_after: int | None, upstream_port: int | None, static_port: int
    ) -> None:
        self._root = root
        self._burst = burst
        self._retry_after = retry_after
        self._upstream_port = upstream_port
        self._static_port = static_port
        self.port = find_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (root / "www").mkdir()
        (root / "www" / "device.json").write_text(json.dumps(DEVICE))
        self._configure(rate)
        command = [str(BINARY), "-p", str(root), "-c", str(root / "nginx.conf"), "-e", str(root / "error.log")]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _configure(self, rate: int) -> None:
        # Workers of a master that runs as root would be nobody, who may not read our folder.
        user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
        static = STATIC.format(root=self._root)
        upstream = self._upstream_port
        text = CONFIGURATION.format(
            root=self._root,
            user=user,
            port=self.port,
            static_port=self._static_port,
            rate=rate,
            burst=f" burst={self._burst} nodelay" if self._burst else "",
            retry_after="" if self._retry_after is None else self._retry_after,
            answer=static if upstream is None else f"proxy_pass http://127.0.0.1:{upstream};",
            static=static,
        )
        (self._root / "nginx.conf").write_text(text)

    def set_rate(self, rate: int) -> None:
        """Change the rate; nginx takes it up within some milliseconds and keeps its bucket."""
        self._configure(rate)
        self._process.send_signal(signal.SIGHUP)

    def answers(self) -> list[tuple[float, int, str]]:
        """Stop nginx, which logs an answer after sending it; return time, status and path of all answers."""
        self.stop()
        lines = (self._root / "answers.log").read_text().splitlines()
        return [(float(at), int(status), path) for at, status, path in map(str.split, lines)]

    def statuses(self) -> dict[int, int]:
        """Stop nginx; return how many answers there were of each status."""
        counts: dict[int, int] = {}
        for _, status, _ in self.answers():
            counts[status] = counts.get(status, 0) + 1
        return counts

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)  # gracefully: what is under way is ended and logged
            self._process.wait(10)


@contextmanager
def rate_limiting_nginx(
    *, rate: int, burst: int = 20, retry_after: int | None = 1, upstream_latency: float = 0.0
) -> Iterator[Nginx]:
    """Run nginx.

    Args:
        rate: Requests per second.
        burst: Requests that it lets through at once, and serves without delay.
        retry_after: Header of a 429, if any.
        upstream_latency: Seconds until an accepted request is answered; a rejection comes at once.
    """
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nginx-")))
        static_port = find_free_port()
        upstream = stack.enter_context(delaying_proxy(static_port, upstream_latency)) if upstream_latency else None
        server = Nginx(
            root, rate=rate, burst=burst, retry_after=retry_after, upstream_port=upstream, static_port=static_port
        )
        stack.callback(server.stop)
        await_port(server.port)
        yield server


def await_port(port: int) -> None:
    """Return when somebody listens on the port."""
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


@contextmanager
def delaying_proxy(target_port: int, round_trip: float) -> Iterator[int]:
    """Run a proxy that delays every byte by half the round trip in either direction; yields its port."""
    port = find_free_port()
    process = subprocess.Popen([sys.executable, __file__, str(port), str(target_port), str(round_trip)])
    try:
        await_port(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


class _Delayed(asyncio.Protocol):
    """One side of a proxied connection: what it receives is written to the other side later."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._early: list[bytes] = []
        self.other: asyncio.Transport | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        asyncio.get_running_loop().call_later(self._delay, self._write, data)

    def connection_lost(self, exc: Exception | None) -> None:
        asyncio.get_running_loop().call_later(self._delay, self._close)

    def _write(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        elif not self.other.is_closing():
            self.other.write(data)

    def _close(self) -> None:
        if self.other is not None:
            self.other.close()

    def join(self, other: asyncio.Transport) -> None:
        self.other = other
        for data in self._early:
            other.write(data)


class _Accepted(_Delayed):
    def __init__(self, delay: float, target_port: int) -> None:
        super().__init__(delay)
        self._target_port = target_port
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        assert self.transport is not None
        try:
            transport, outgoing = await loop.create_connection(
                lambda: _Delayed(self._delay), "127.0.0.1", self._target_port
            )
        except OSError:
            self.transport.close()
            return
        outgoing.join(self.transport)
        self.join(transport)


async def _proxy(port: int, target_port: int, round_trip: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Accepted(round_trip / 2, target_port), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_proxy(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
