"""Which store a path means."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio

from enapter_async.collector.events import CollectorEvent
from enapter_async.collector.problems import FIRST_PAUSE, Problems, next_pause
from enapter_async.collector.store import Store
from enapter_async.collector.stores.sqlite import SqliteStore
from enapter_async.errors import InvalidArgumentError, StorageError

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


@asynccontextmanager
async def opened_store(
    store: Store, *, wait: bool, on_event: Callable[[CollectorEvent], object] = lambda _: None
) -> AsyncGenerator[None, None]:
    """Open a store for the length of a block, and wait for one that is locked or not there yet.

    Args:
        store: The store.
        wait: Wait for it. Otherwise the first failure is raised.
        on_event: Gets `ProblemBegan` when waiting begins and `ProblemEnded` when it ends.

    Raises:
        StorageError: It cannot be opened, for a reason that does not pass.
    """

    def report(event: CollectorEvent) -> None:
        on_event(event)

    problems = Problems(report)
    pause = FIRST_PAUSE
    while True:
        try:
            await store.__aenter__()
            break
        except StorageError as error:
            if not (wait and error.temporary):
                raise
            problems.failed("store", error)
        await anyio.sleep(pause)
        pause = next_pause(pause)
    problems.passed("store")
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await store.__aexit__(None, None, None)
