"""The tables of a PostgreSQL store: names, creation, and requirements for existing tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol, TypeAlias

Record: TypeAlias = Mapping[str | int, Any]

INCOMING: Final = "enapter_async_incoming"
"""The temporary table for incoming rows."""

# Series first in the key: charts ask for one attribute over time. The block range index serves what asks for a span of
# time only, and is a few kilobytes large.
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS {telemetry} (
    device_id text NOT NULL,
    attribute text NOT NULL,
    time      timestamptz NOT NULL,
    value     double precision,
    text      text,
    unit      text,
    PRIMARY KEY (device_id, attribute, time)
);
CREATE INDEX IF NOT EXISTS {telemetry_time} ON {telemetry} USING brin (time);
"""
_JOURNAL: Final = """
CREATE TABLE IF NOT EXISTS {gaps} (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id text,
    start     timestamptz NOT NULL,
    before    timestamptz NOT NULL,
    reason    text NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS {gaps_once} ON {gaps} (coalesce(device_id, ''), start, before);
"""
_MARKS: Final = """
CREATE TABLE IF NOT EXISTS {devices} (
    device_id text PRIMARY KEY,
    reached   timestamptz NOT NULL
);
"""
_EXPORTS: Final = """
CREATE TABLE IF NOT EXISTS {exports} (
    export  text NOT NULL,
    name    text NOT NULL,
    note    text NOT NULL,
    written timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (export, name)
);
"""
_INCOMING_TABLE: Final = f"""
CREATE TEMPORARY TABLE IF NOT EXISTS {INCOMING} (
    device_id text, attribute text, time timestamptz, value double precision, text text, unit text
) ON COMMIT DELETE ROWS
"""
_COLUMNS_OF_TABLE: Final = """
SELECT attname AS name, format_type(atttypid, NULL) AS type,
    attnotnull AND NOT atthasdef AND attidentity = '' AS required
FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped
"""
_UNIQUE_COLUMNS: Final = """
SELECT array(
    SELECT attname::text FROM pg_attribute WHERE attrelid = indrelid AND attnum = ANY (indkey[0:indnkeyatts - 1])
)
FROM pg_index
WHERE indrelid = $1::regclass AND indisunique AND indisvalid AND indimmediate
    AND indpred IS NULL AND indexprs IS NULL
"""
_Types: TypeAlias = Mapping[str, Sequence[str]]

_TEXT: Final = ("text", "character varying")
_TIME: Final = ("timestamp with time zone",)
_ROW_TYPES: Final[_Types] = {
    "device_id": _TEXT,
    "attribute": _TEXT,
    "time": _TIME,
    "value": ("double precision",),
    "text": ("text",),
    "unit": _TEXT,
}
_GAP_TYPES: Final[_Types] = {
    "device_id": _TEXT,
    "start": _TIME,
    "before": _TIME,
    "reason": _TEXT,
    "id": ("bigint", "integer"),
}
_MARK_TYPES: Final[_Types] = {"device_id": _TEXT, "reached": _TIME}


class Connection(Protocol):
    """The methods of an asyncpg connection used here."""

    def transaction(self) -> AbstractAsyncContextManager[object]: ...
    async def execute(self, query: str, *args: object) -> str: ...
    async def fetch(self, query: str, *args: object, timeout: float | None = None) -> list[Record]: ...
    async def fetchval(self, query: str, *args: object) -> object: ...


class WrongTableError(Exception):
    """An existing table is unsuitable."""


class Tables:
    """The tables of one store, by their quoted names.

    Attributes:
        telemetry: Table of the rows.
        gaps: Table of the journal.
        devices: Table of the times up to which each device was collected.
        exports: Notes about exports that are not finished.
    """

    def __init__(self, schema: str | None, table: str) -> None:
        self._schema = schema
        self.telemetry: str = self._table(table)
        self.gaps: str = self._table(f"{table}_gaps")
        self.devices: str = self._table(f"{table}_devices")
        self.exports: str = self._table(f"{table}_exports")
        self._quoted: Mapping[str, str] = {
            "telemetry": self.telemetry,
            "telemetry_time": quote_identifier(f"{table}_time_brin"),
            "gaps": self.gaps,
            "gaps_once": quote_identifier(f"{table}_gaps_once"),
            "devices": self.devices,
            "exports": self.exports,
        }

    def _table(self, name: str) -> str:
        quoted = quote_identifier(name)
        return quoted if self._schema is None else f"{quote_identifier(self._schema)}.{quoted}"

    async def prepare(self, connection: Connection) -> None:
        """Create missing tables, and check existing ones.

        Raises:
            WrongTableError: A table is unsuitable.
        """
        async with connection.transaction():
            await self._lock(connection)
            if self._schema is not None and not await connection.fetchval(
                "SELECT 1 FROM pg_namespace WHERE nspname = $1", self._schema
            ):
                await connection.execute(f"CREATE SCHEMA {quote_identifier(self._schema)}")
            for table, statements in ((self.telemetry, _TABLES), (self.gaps, _JOURNAL), (self.devices, _MARKS)):
                await self._create(connection, table, statements)
            await self._check(connection)
        await connection.execute(_INCOMING_TABLE)

    async def prepare_exports(self, connection: Connection) -> None:
        """Create the table of unfinished exports if it does not exist; a role that only collects needs none."""
        async with connection.transaction():
            await self._lock(connection)
            await self._create(connection, self.exports, _EXPORTS)

    async def _lock(self, connection: Connection) -> None:
        # Two processes that start at once would both create the tables.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", f"enapter_async {self.telemetry}")

    async def _create(self, connection: Connection, table: str, statements: str) -> None:
        if await connection.fetchval("SELECT to_regclass($1)", table) is None:
            await connection.execute(statements.format_map(self._quoted))

    async def _check(self, connection: Connection) -> None:
        await self._check_columns(connection, self.telemetry, _ROW_TYPES, filled=_ROW_TYPES)
        await self._check_columns(connection, self.gaps, _GAP_TYPES, filled=_GAP_TYPES.keys() - {"id"})
        await self._check_columns(connection, self.devices, _MARK_TYPES, filled=_MARK_TYPES)
        await self._check_key(connection, self.telemetry, {"device_id", "attribute", "time"})
        await self._check_key(connection, self.devices, {"device_id"})

    async def _check_columns(
        self, connection: Connection, table: str, types: _Types, *, filled: Collection[str]
    ) -> None:
        columns = {record["name"]: record for record in await connection.fetch(_COLUMNS_OF_TABLE, table)}
        for name, allowed in types.items():
            if name not in columns:
                raise WrongTableError(f"the table {table} has no column {name}")
            if columns[name]["type"] not in allowed:
                found = columns[name]["type"]
                raise WrongTableError(f"column {name} of the table {table} is {found}, it must be {allowed[0]}")
        for name, column in columns.items():
            if name not in filled and column["required"]:
                raise WrongTableError(f"the table {table} needs a value for its column {name}")

    async def _check_key(self, connection: Connection, table: str, key: set[str]) -> None:
        if key not in [set(record[0]) for record in await connection.fetch(_UNIQUE_COLUMNS, table)]:
            *others, last = sorted(key, key=list(_ROW_TYPES).index)
            names = f"{', '.join(others)} and {last}" if others else last
            raise WrongTableError(f"the table {table} has no unique key of {names}")


def quote_identifier(name: str) -> str:
    """Return a name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
