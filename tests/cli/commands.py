"""The command in a process of its own, and what it left in its database."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import attrs

DEVELOPMENT = (sys.executable, "-X", "dev", "-W", "error")
COMMAND = (*DEVELOPMENT, "-m", "enapter_async.cli")
_CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("ENAPTER_")}


def environment(**variables: str) -> dict[str, str]:
    """The environment of a command: ours, without settings of the SDK but for those given."""
    return {**_CLEAN, "NO_COLOR": "1", **variables}


def begin(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=environment(**variables),
    )


def watch_terminal(*arguments: str, **variables: str) -> str:
    """Run a command that succeeds, with a terminal as stderr; return what it shows there, without escape sequences."""
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=theirs,
        stdin=subprocess.DEVNULL,
        env=environment(TERM="xterm", COLUMNS="100", **variables),
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:
        pass  # the other end was closed
    finally:
        os.close(ours)
    process.communicate(timeout=30)
    assert process.returncode == 0
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


@attrs.frozen
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The last line on stderr."""
        return self.stderr.strip().splitlines()[-1]


def check_clean(ended: Ended) -> None:
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "Warning" not in ended.stderr


def end(process: subprocess.Popen[str], seconds: float = 30.0) -> Ended:
    stdout, stderr = process.communicate(timeout=seconds)
    # In development mode asyncio tells of every slow step, and on a busy machine any step may be slow.
    told = [line for line in stderr.splitlines(keepends=True) if not line.startswith("Executing <")]
    return Ended(process.returncode, stdout, "".join(told))


def run(*arguments: str, **variables: str) -> Ended:
    return end(begin(*arguments, **variables))


def wait_for_rows(path: Path, process: subprocess.Popen[str], seconds: float = 20.0) -> None:
    """Wait until the database has rows."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists():
            try:
                if rows(path):
                    return
            except sqlite3.Error:
                pass  # the table is not there yet
        time.sleep(0.05)
    raise AssertionError(f"no rows after {seconds} s; {process.poll()=}")


def rows(path: Path) -> list[tuple[str, str, str, float | None, str | None]]:
    """Read the whole table."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(
            "SELECT device_id, attribute, time, value, unit FROM telemetry ORDER BY device_id, attribute, time"
        ).fetchall()
    finally:
        connection.close()


def figure(ended: Ended, name: str) -> int:
    """Read a figure of the summary."""
    (line,) = [line for line in ended.stdout.splitlines() if line.strip().startswith(name)]
    return int(line.split(name, 1)[1].split()[0].replace(",", ""))
