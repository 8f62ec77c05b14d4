"""The file of gaps next to the output, with one JSON object per line, for people and scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from enapter_async._files import sync_file
from enapter_async.collector.gaps import Gap
from enapter_async.collector.stores._failures import storage_error
from enapter_async.rows import format_time

SUFFIX: Final = ".gaps.jsonl"


def gap_file(path: Path) -> Path:
    """Return the path of the gap file of an output."""
    return path.with_name(path.name + SUFFIX)


def append_gaps(path: Path, gaps: Sequence[Gap]) -> None:
    """Record gaps. They are on disk when this returns.

    Args:
        path: The output.
        gaps: The gaps.

    Raises:
        StorageError: The file cannot be written.
    """
    lines = "".join(
        json.dumps(
            {
                "device_id": gap.device_id,
                "start": format_time(gap.start),
                "before": format_time(gap.before),
                "reason": gap.reason,
            },
            ensure_ascii=False,
        )
        + "\n"
        for gap in gaps
    )
    target = gap_file(path)
    try:
        with target.open("a+b", buffering=0) as file:
            size = file.tell()
            try:
                _append(file, size, lines.encode("utf-8", "replace"))
            except OSError:
                with suppress(OSError):
                    file.truncate(size)  # otherwise the next attempt would continue an incomplete line
                raise
            sync_file(file)
    except OSError as error:
        raise storage_error(target, "cannot be written", error) from error


def _append(file: IO[bytes], size: int, data: bytes) -> None:
    if size:
        file.seek(size - 1)
        if file.read(1) != b"\n":  # a kill interrupted an earlier line
            data = b"\n" + data
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
