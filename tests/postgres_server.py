"""A real PostgreSQL for tests, in a folder of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.ports import find_free_port

_LONGEST_START: Final = 30.0


def find_programs() -> Path | None:
    """Return the folder of initdb and postgres: on the PATH, or where Debian puts them."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return folders[-1].parent if folders else None


needs_postgres: Final = pytest.mark.skipif(
    find_programs() is None, reason="PostgreSQL is not installed (Debian's postgresql)"
)


class PostgresServer:
    """A server that can be stopped, killed and started again."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._data = folder / "data"
        self._folder = folder
        self.port = find_free_port()
        # PostgreSQL refuses to run as root.
        self._account = "postgres" if os.geteuid() == 0 else getpass.getuser()
        if os.geteuid() == 0:
            shutil.chown(folder, self._account)
        self._run(
            "initdb", "-D", str(self._data), "-U", "admin", "-A", "trust", "--no-sync", "-E", "UTF8", "--no-locale"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://admin@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        log = (self._folder / "log").open("ab")
        command = self._command(
            "postgres", "-D", str(self._data), "-p", str(self.port), "-h", "127.0.0.1", "-k", "",
            "-c", "fsync=off", "-c", "max_connections=20", "-c", "shared_buffers=32MB",
        )  # fmt: skip
        self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self._folder)
        log.close()
        end = time.monotonic() + _LONGEST_START
        while subprocess.run(
            [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
        ).returncode:
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((self._folder / "log").read_text())
            time.sleep(0.05)

    def create_database(self) -> str:
        """Create a database and return its address."""
        name = f"test_{os.urandom(4).hex()}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "admin", name)
        return self.url.removesuffix("postgres") + name

    def stop(self) -> None:
        """Stop it in an orderly way; connections are ended."""
        if self._process is not None:
            with suppress(ProcessLookupError, FileNotFoundError):
                os.kill(self.postmaster, signal.SIGINT)
            self._process.wait()
            self._process = None

    def kill(self) -> None:
        """Kill the postmaster; its backends end with it, and what was committed is in the write-ahead log."""
        if self._process is not None:
            os.kill(self.postmaster, signal.SIGKILL)
            self._process.wait()
            self._process = None
            self._wait_for_backends()

    @property
    def postmaster(self) -> int:
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def _wait_for_backends(self) -> None:
        # A postmaster that starts while backends of the one before live refuses to: they share memory.
        time.sleep(0.2)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _command(self, name: str, *arguments: str) -> list[str]:
        command = [str(self._programs / name), *arguments]
        if os.geteuid() != 0:
            return command
        return ["setpriv", "--reuid", self._account, "--regid", self._account, "--clear-groups", *command]

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            self._command(name, *arguments), capture_output=True, text=True, check=False, cwd=self._folder
        )
        if done.returncode:
            raise RuntimeError(done.stderr)


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Give a server that is running, and stop it afterwards."""
    programs = find_programs()
    assert programs is not None
    # Not a folder of pytest's: those are closed to the account that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="enapter-postgres-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(programs, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


async def query(url: str, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
    """Run one statement on a connection of its own."""
    import asyncpg  # an extra; who runs this file without it skips the tests that ask

    connection = await asyncpg.connect(url)
    try:
        return [tuple(record) for record in await connection.fetch(statement, *arguments)]
    finally:
        await connection.close()
