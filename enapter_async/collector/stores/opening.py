"""Which store a path means."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from enapter_async.collector.store import Store
from enapter_async.collector.stores.sqlite import SqliteStore
from enapter_async.errors import InvalidArgumentError

FORMATS: Final = ("sqlite", "csv", "jsonl", "parquet")
"""Formats of files that `make_store` knows."""
SUFFIXES: Final = {
    ".db": "sqlite",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
"""What the end of a name means."""


def make_store(path: Path, form: str | None = None) -> Store:
    """Return the store at a path; `async with` opens it.

    Args:
        path: File, or folder of Parquet files.
        form: One of `FORMATS`; by default as the name ends.

    Raises:
        InvalidArgumentError: The name does not tell the format.
        MissingExtraError: Parquet needs pyarrow, which is not installed.
    """
    form = form or SUFFIXES.get(path.suffix.lower())
    if form is None:
        raise InvalidArgumentError("path", f"{path} must end in {', '.join(SUFFIXES)}, or give the format")
    if form == "sqlite":
        return SqliteStore(path)
    if form == "parquet":
        from enapter_async.collector.stores.parquet import ParquetStore

        return ParquetStore(path)
    from enapter_async.collector.stores.lines import LineStore

    return LineStore(path, "csv" if form == "csv" else "jsonl")
