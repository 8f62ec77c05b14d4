"""Selection of the store for a target: a file, a folder, a database or standard output."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio

from enapter_async._arguments import require_callback, require_instance, require_path
from enapter_async._protocol.query import flag, one_of
from enapter_async.collector._guarded_store import GuardedStore
from enapter_async.collector._problems import Problems
from enapter_async.collector._reporting import Reporter
from enapter_async.collector.events import CollectorEvent
from enapter_async.collector.store import Store
from enapter_async.collector.stores._addresses import hide_password, mask_password
from enapter_async.collector.stores.sqlite import SqliteStore
from enapter_async.errors import EnapterError, InvalidArgumentError, StorageError

FORMATS: Final = ("sqlite", "csv", "jsonl", "parquet", "postgres", "influx")
"""Formats that `make_store` supports."""
SUFFIXES: Final = {
    ".db": "sqlite",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
"""Formats by the suffix of the name."""
STANDARD_OUTPUT: Final = "-"
_DATABASES: Final = ("postgresql:", "postgres:")


def guess_store_format(target: str) -> str | None:
    """Return the format that the name of a target implies, if any."""
    if target == STANDARD_OUTPUT:
        return "jsonl"
    if target.lower().startswith(_DATABASES):
        return "postgres"
    return SUFFIXES.get(Path(target).suffix.lower())


def show_target(target: str) -> str:
    """Return a target without its password, for display."""
    form = guess_store_format(target)
    if form == "postgres":
        return hide_password(target)
    return target if form is not None and "://" not in target else mask_password(target)


def make_store(target: str | os.PathLike[str], form: str | None = None, *, schema: str | None = None) -> Store:
    """Return the store for a target. Open it with `async with`.

    Args:
        target: File, folder of Parquet files, address of a PostgreSQL database (`postgresql://...`), or `-` for
            standard output.
        form: One of `FORMATS`. The default depends on the target.
        schema: Schema of the tables in PostgreSQL. The default is the first one in the role's search path.

    Raises:
        InvalidArgumentError: An argument is invalid, or the target does not imply a format or support the given one.
        MissingExtraError: Parquet needs pyarrow, PostgreSQL needs asyncpg, and it is not installed.
    """
    name = require_path(target, "target")
    guess = guess_store_format(name)
    form = guess if form is None else one_of(form, frozenset(FORMATS), "form")
    if form is None:
        raise InvalidArgumentError(
            "target",
            f"{show_target(name)} must end in {', '.join(SUFFIXES)}, be postgresql://... or -, or give the format",
        )
    if (form == "postgres") != (guess == "postgres"):
        raise InvalidArgumentError("form", f"{form} does not work with {show_target(name)}")
    if schema is not None and form != "postgres":
        raise InvalidArgumentError("schema", "works only with PostgreSQL")
    if name == STANDARD_OUTPUT:
        from enapter_async.collector.stores.pipe import PipeStore

        return PipeStore(form)
    if form == "influx":
        raise InvalidArgumentError("form", "influx works only with standard output, -")
    if form == "postgres":
        from enapter_async.collector.stores.postgres import PostgresStore

        return PostgresStore(name, schema=schema)
    return _make_file_store(Path(name), form)


def _make_file_store(path: Path, form: str) -> Store:
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
    """Open a store during a block. If it is locked or not available yet, wait for it.

    Args:
        store: The store.
        wait: Wait for it. Otherwise the first failure is raised.
        on_event: Receives `ProblemBegan` when waiting begins and `ProblemEnded` when it ends.

    Raises:
        InvalidArgumentError: An argument is invalid.
        StorageError: The store cannot be opened for a permanent reason.
    """
    guarded = GuardedStore(require_instance(store, Store, "store"))
    flag(wait, "wait")
    problems = Problems(Reporter(require_callback(on_event, "on_event")))

    def ends(error: EnapterError) -> bool:
        return not (wait and isinstance(error, StorageError) and error.temporary)

    await problems.persist("store", guarded.__aenter__, ends)
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await guarded.__aexit__(None, None, None)
