"""A real InfluxDB 1 for tests, in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.ports import find_free_port

_LONGEST_START: Final = 30.0


def find_influxd() -> str | None:
    """Return the program: on the PATH, or where Debian puts it."""
    return shutil.which("influxd") or shutil.which("influxd", path="/usr/sbin:/usr/bin")


class InfluxServer:
    """A server that takes line protocol and answers queries."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def write(self, database: str, lines: bytes) -> None:
        """Write lines; times are in nanoseconds.

        Raises:
            urllib.error.HTTPError: The server refuses a line.
        """
        self._send(f"/write?db={database}&precision=ns", lines)

    def query(self, statement: str, database: str = "") -> list[dict[str, Any]]:
        """Return the rows of a query, times in nanoseconds."""
        question = urllib.parse.urlencode({"db": database, "q": statement, "epoch": "ns"})
        (result,) = json.loads(self._send("/query", question.encode()))["results"]
        return [
            dict(zip(series["columns"], values, strict=True))
            for series in result.get("series", ())
            for values in series["values"]
        ]

    def is_there(self) -> bool:
        try:
            self._send("/ping", None)
        except OSError:
            return False
        return True

    def _send(self, path: str, body: bytes | None) -> bytes:
        with urllib.request.urlopen(self._url + path, body, timeout=10) as answer:
            return bytes(answer.read())


@contextmanager
def running_influx(folder: Path) -> Iterator[InfluxServer]:
    """Give a server that is running, and stop it afterwards."""
    program = find_influxd()
    assert program is not None
    port, other = find_free_port(), find_free_port()
    settings = {
        "INFLUXDB_REPORTING_DISABLED": "true",
        "INFLUXDB_BIND_ADDRESS": f"127.0.0.1:{other}",
        "INFLUXDB_HTTP_BIND_ADDRESS": f"127.0.0.1:{port}",
        "INFLUXDB_META_DIR": str(folder / "meta"),
        "INFLUXDB_DATA_DIR": str(folder / "data"),
        "INFLUXDB_DATA_WAL_DIR": str(folder / "wal"),
        "INFLUXDB_MONITOR_STORE_ENABLED": "false",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-config", os.devnull], env={**os.environ, **settings}, stdout=log, stderr=log, cwd=folder
        )
    try:
        server = InfluxServer(port)
        end = time.monotonic() + _LONGEST_START
        while not server.is_there():
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((folder / "log").read_text())
            time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        process.wait()
