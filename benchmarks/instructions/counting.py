"""Count the instructions of a piece of work with valgrind's callgrind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.instructions.pieces import PIECES

ROOT = Path(__file__).parents[2]
_SUMMARY = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


class NotCountableError(Exception):
    """valgrind or a C compiler is missing."""


def build_library(folder: Path) -> Path:
    """Compile the two requests to callgrind that Python cannot make by itself."""
    for command in ("valgrind", "cc"):
        if not shutil.which(command):
            raise NotCountableError(f"{command} is not installed")
    library = folder / "callgrind.so"
    source = Path(__file__).with_name("callgrind.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return library


def count(piece: str, library: Path, *, source: Path = ROOT) -> float:
    """Return the instructions of one unit of a piece, less those of the same without us."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        subprocess.run(
            [
                *("valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"),
                *(sys.executable, "-m", "benchmarks.instructions.worker", piece, str(library)),
            ],
            cwd=source,
            # The rest of the environment differs from user to user, and its size moves memory.
            env={
                "PATH": os.defpath,
                "PYTHONHASHSEED": "0",
                "PYTHONDONTWRITEBYTECODE": "1",
                "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX,-ERMS,-FSRM",  # one memcpy for all processors
            },
            check=True,
            timeout=300,
        )
        _, without_us, ours = (_read(Path(f"{out}.{number}")) for number in (1, 2, 3))
    work = PIECES[piece]
    return (ours - without_us) / (work.units * work.calls)


def _read(path: Path) -> int:
    found = _SUMMARY.search(path.read_text("utf-8"))
    assert found is not None, path
    return int(found[1])
