"""The file of gaps next to the output, with one JSON object per line, for people and scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

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
        with target.open("ab") as file:
            file.write(lines.encode("utf-8", "replace"))
            sync_file(file)
    except OSError as error:
        raise storage_error(target, "cannot be written", error) from error
