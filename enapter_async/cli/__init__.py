"""The `enapter-async` command (extra `cli`)."""

from __future__ import annotations

import os
import sys

from enapter_async.cli import interruption

_NEEDED = frozenset({"click", "platformdirs", "rich", "rich_click"})


def main() -> None:
    """Run the command, or say what to install where the extra is missing."""
    interruption.guard()
    _open_closed_streams()
    # Not every output has all letters: a pipe on Windows has those of one code page.
    if callable(reconfigure := getattr(sys.stdout, "reconfigure", None)):
        reconfigure(errors="backslashreplace")
    try:
        from enapter_async.cli.application import application
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        sys.stderr.write("enapter-async needs its extra 'cli': python -m pip install 'enapter-async[cli]'\n")
        sys.exit(1)
    try:
        application(prog_name="enapter-async")
    finally:
        interruption.finished()


def _open_closed_streams() -> None:
    """Open what stands for standard streams that were closed; else the next file or socket would take their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if number == 0 else "w", encoding="utf-8"))  # noqa: SIM115, PTH123
