"""The `enapter-async` command (extra `cli`)."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from enapter_async.cli import interruption

_NEEDED = frozenset({"click", "platformdirs", "rich", "rich_click"})


def main() -> None:
    """Run the command, or print how to install the missing extra."""
    interruption.guard()
    _open_closed_streams()
    _tolerate_stderr()
    # Not every output can encode all characters: a pipe on Windows uses a code page.
    if callable(reconfigure := getattr(sys.stdout, "reconfigure", None)):
        reconfigure(errors="backslashreplace")
    try:
        from enapter_async.cli.application import application
        from enapter_async.cli.otel import export_rest
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        sys.stderr.write("enapter-async needs its extra 'cli': python -m pip install 'enapter-async[cli]'\n")
        sys.exit(1)
    try:
        application(prog_name="enapter-async")
    except SystemExit as left:
        if not export_rest():
            interruption.leave(left.code)
        raise
    finally:
        interruption.finished()


def _open_closed_streams() -> None:
    """Replace closed standard streams, so that the next file or socket does not take their descriptor."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if number == 0 else "w", encoding="utf-8"))  # noqa: SIM115, PTH123


class _Tolerant(io.FileIO):
    """A file that drops what cannot be written."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _tolerate_stderr() -> None:
    """Keep a full disk or a closed pipe behind stderr from ending a command, or from changing its exit code."""
    stream = sys.stderr
    if os.name != "posix" or not isinstance(stream, io.TextIOWrapper) or stream.fileno() != 2:
        return
    raw = io.BufferedWriter(_Tolerant(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(raw, stream.encoding, "backslashreplace", line_buffering=True)
