"""Telemetry in PostgreSQL: rows, the journal of gaps, and the time up to which each device was collected."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar, cast

from enapter_async._arguments import describe_value, refuse_argument
from enapter_async._visible import make_visible
from enapter_async.collector._times import DAY, read_clock
from enapter_async.collector.gaps import Gap, join_gaps
from enapter_async.collector.store import RowKey, RowsRefusedError
from enapter_async.collector.stores._addresses import (
    adapt_to_asyncpg,
    choose_service,
    find_passwords,
    hide_password,
)
from enapter_async.collector.stores._committed import CommittedTimes
from enapter_async.collector.stores._postgres_rows import (
    RowConnection,
    clean_name,
    concerns_rows,
    find_refused,
    insert_rows,
    lacks_partition,
    read_state,
    to_gap_record,
    to_time,
)
from enapter_async.collector.stores._postgres_tables import Record, Tables, WrongTableError
from enapter_async.errors import InvalidArgumentError, MissingExtraError, StorageError
from enapter_async.rows import Row, to_microseconds

try:
    import asyncpg  # pyright: ignore[reportMissingTypeStubs]
except ImportError as _error:
    raise MissingExtraError("asyncpg", "postgres") from _error

T = TypeVar("T")


class _Connection(RowConnection, Protocol):
    """The methods of an asyncpg connection used here, whose type annotations are incomplete."""

    async def executemany(self, command: str, args: Iterable[Sequence[object]]) -> None: ...
    def is_closed(self) -> bool: ...
    def terminate(self) -> None: ...
    async def close(self, *, timeout: float) -> None: ...


_logger = logging.getLogger("enapter_async.collector")

_LOOK_BACK: Final = timedelta(hours=1)
"""Time before the newest mark from which newer rows of each device are searched."""
_CONNECT_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 60.0
"""Seconds for one statement before the connection counts as lost."""
_SCAN_SECONDS: Final = 3_600.0
"""Seconds for a scan of the whole table if there are no marks yet."""
_PASSING_CLASSES: Final = ("08", "40", "53", "57", "58")
"""Temporary classes of SQLSTATE: connection, rollback, resources (including a full disk), intervention, system."""
_PASSING: Final = frozenset({"25006", "25P03", "25P04", "55P03", "XX000"})
"""Further temporary states: a read-only standby during a failover, two timeouts, a lock, and a crashed backend."""
_CHANGED: Final = frozenset({"3F000", "42P01", "42703", "42P10"})
"""States of a missing schema, table, column or key. A new connection creates tables that were dropped in the meantime,
and names what is wrong with others."""


class PostgresStore:
    """The table `telemetry` of a PostgreSQL database, with a journal of gaps in `telemetry_gaps`.

    Rows are copied to a temporary table and inserted from there in one transaction. Existing rows are kept. A lost
    connection is restored. An existing table is used as it is, so it may be partitioned or a hypertable of TimescaleDB,
    as long as it has the columns and a unique key of device_id, attribute and time.

        async with PostgresStore("postgresql://collector@db.example.net/plant") as store:
            await Collector(client, store).run()

    Attributes:
        address: The address without its password.
    """

    def __init__(self, url: str = "postgresql://", *, schema: str | None = None, table: str = "telemetry") -> None:
        """Set the database. `async with` connects, and creates missing tables.

        Args:
            url: `postgresql://user:password@host:port/database`, each part optional; what is missing comes from
                PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, PGSERVICE, PGSSLMODE and ~/.pgpass, as with psql.
            schema: Schema of the tables; by default the first one of the role's search path. It is created if
                it does not exist.
            table: Name of the table of rows; those of the journal and the marks begin with it.

        Raises:
            InvalidArgumentError: The URL or a name is invalid.
            MissingExtraError: asyncpg, of the extra `postgres`, is not installed.
        """
        if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            shown = "bytes" if isinstance(url, bytes) else describe_value(url)  # bytes can contain a password
            raise InvalidArgumentError("url", f"must be a string such as postgresql://, got {shown}")
        self.address: str = hide_password(url)
        self._url = url
        self._tables = Tables(
            _require_name(schema, "schema") if schema is not None else None, _require_name(table, "table")
        )
        self._connection: _Connection | None = None
        self._is_new = True  # the connection has not been used yet
        self._lock = asyncio.Lock()
        self._committed = CommittedTimes()
        self._entered = False

    async def __aenter__(self) -> Self:
        self._entered = True
        try:
            await self._run(_nothing)
        except BaseException:
            self._entered = False
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entered = False
        connection, self._connection = self._connection, None
        if connection is not None:
            # Commits are safe, and a server that is down must not keep the program from ending.
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=_CONNECT_SECONDS)

    async def write(self, rows: Sequence[Row]) -> int:
        """Write rows in one transaction. Return the number of new ones."""
        return await self.commit(rows)

    async def commit(
        self, rows: Sequence[Row], *, note: Sequence[Gap] = (), replace: Mapping[int, Sequence[Gap]] | None = None
    ) -> int:
        """Change the journal and rows in one transaction. Return the number of new rows."""

        async def work(connection: _Connection) -> int:
            try:
                async with connection.transaction():
                    await self._change_journal(connection, note, replace or {})
                    return await insert_rows(connection, self._tables.telemetry, rows) if rows else 0
            except (asyncpg.PostgresError, OverflowError) as error:
                refusal = await self._describe_refusal(connection, rows, error)
                if refusal is None:
                    raise
                raise refusal from None

        new = await self._run(work)
        if replace is None:  # a database that loses rows of a repair has their gap again
            self._committed.add(rows)
        return new

    async def _change_journal(
        self, connection: _Connection, note: Sequence[Gap], replace: Mapping[int, Sequence[Gap]]
    ) -> None:
        gaps = list(note)
        if replace:
            gaps += [gap for number in await self._delete_gaps(connection, replace) for gap in replace[number]]
        if gaps:
            gaps, replaced = join_gaps(gaps, await self._find_near_gaps(connection, gaps))
            await self._delete_gaps(connection, replaced)
            await connection.executemany(
                f"INSERT INTO {self._tables.gaps} (device_id, start, before, reason) VALUES ($1, $2, $3, $4)"  # noqa: S608
                " ON CONFLICT DO NOTHING",
                list(map(to_gap_record, gaps)),
            )

    async def read_newest(self, devices: Collection[str] | None, before: int) -> Mapping[str, int]:
        """Return the time up to which each device has been collected."""

        async def work(connection: _Connection) -> Mapping[str, int]:
            return await self._read_newest(connection, devices, before)

        return await self._run(work)

    async def _read_newest(
        self, connection: _Connection, devices: Collection[str] | None, before: int
    ) -> Mapping[str, int]:
        names = None if devices is None else list(devices)
        bound = to_time(before)
        marks = await connection.fetch(
            f"SELECT device_id, reached AS newest FROM {self._tables.devices}"  # noqa: S608
            " WHERE ($1::text[] IS NULL OR device_id = ANY ($1)) AND reached < $2",
            names, bound,
        )  # fmt: skip
        newest = {record["device_id"]: record["newest"] for record in marks}
        since = max(newest.values()) - _LOOK_BACK if newest else None
        recent = await connection.fetch(
            f"SELECT device_id, max(time) AS newest FROM {self._tables.telemetry}"  # noqa: S608
            " WHERE ($1::text[] IS NULL OR device_id = ANY ($1))"
            " AND time < $2 AND ($3::timestamptz IS NULL OR time >= $3)"
            " GROUP BY device_id",
            names, bound, since,
            timeout=_ANSWER_SECONDS if newest else _SCAN_SECONDS,
        )  # fmt: skip
        for record in recent:
            device = record["device_id"]
            newest[device] = max(record["newest"], newest.get(device, record["newest"]))
        return {device: to_microseconds(time) for device, time in newest.items()}

    async def mark(self, reached: Mapping[str, int]) -> None:
        """Store the times up to which devices have been collected."""

        async def work(connection: _Connection) -> None:
            # In key order, so that two collectors that mark the same devices do not deadlock.
            await connection.execute(
                f"INSERT INTO {self._tables.devices} (device_id, reached)"  # noqa: S608
                " SELECT * FROM unnest($1::text[], $2::timestamptz[]) AS new (device_id, reached) ORDER BY device_id"
                " ON CONFLICT (device_id) DO UPDATE SET reached = excluded.reached",
                list(reached),
                [to_time(moment) for moment in reached.values()],
            )

        await self._run(work)

    async def read_gaps(self) -> list[Gap]:
        """Return the journal, oldest gap first."""
        return await self._run(self._read_gaps)

    async def _read_gaps(self, connection: _Connection) -> list[Gap]:
        found = await connection.fetch(
            f"SELECT id, device_id, start, before, reason FROM {self._tables.gaps} ORDER BY start, id"  # noqa: S608
        )
        return list(map(_make_gap, found))

    async def _find_near_gaps(self, connection: _Connection, gaps: Sequence[Gap]) -> list[Gap]:
        """Return the gaps of the journal that new ones may touch, without reading the rest of it.

        The gaps of a device do not overlap. So only those that begin within a new one can touch it, and the one before.
        """
        records = list(map(to_gap_record, gaps))
        near = f"SELECT * FROM {self._tables.gaps} WHERE coalesce(device_id, '') = new.device_id"  # noqa: S608
        found = await connection.fetch(
            f"SELECT DISTINCT gap.* FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[])"  # noqa: S608
            f" AS new (device_id, start, before), LATERAL (({near} AND start BETWEEN new.start AND new.before)"
            f" UNION ALL ({near} AND start < new.start ORDER BY start DESC LIMIT 1)) AS gap",
            [device or "" for device, *_ in records],
            [start for _, start, *_ in records],
            [before for *_, before, _ in records],
        )
        return list(map(_make_gap, found))

    async def _delete_gaps(self, connection: _Connection, numbers: Iterable[int]) -> list[int]:
        """Delete gaps of the journal. Return the numbers that were in it."""
        found = await connection.fetch(
            f"DELETE FROM {self._tables.gaps} WHERE id = ANY ($1::bigint[]) RETURNING id",  # noqa: S608
            list(numbers),
        )
        return [record["id"] for record in found]

    async def read_keys(self, devices: Collection[str], start: int, before: int) -> Collection[RowKey]:
        """Return device, attribute and time of all rows of some devices in a time range."""

        async def work(connection: _Connection) -> set[RowKey]:
            found = await connection.fetch(
                f"SELECT device_id, attribute, time FROM {self._tables.telemetry}"  # noqa: S608
                " WHERE device_id = ANY ($1::text[]) AND time >= $2 AND time < $3",
                list(devices), to_time(start), to_time(before),
            )  # fmt: skip
            return {(record[0], record[1], to_microseconds(record[2])) for record in found}

        return await self._run(work)

    # -- notes about exports that are not finished -----------------------------------------------------------

    async def read_export_notes(self, export: str) -> Mapping[str, str]:
        """Return the notes of an unfinished export by name."""

        async def work(connection: _Connection) -> dict[str, str]:
            await self._tables.prepare_exports(connection)
            found = await connection.fetch(f"SELECT name, note FROM {self._tables.exports} WHERE export = $1", export)  # noqa: S608
            return {record["name"]: record["note"] for record in found}

        return await self._run(work)

    async def note_export(self, export: str, name: str, note: str) -> None:
        """Add a note about an unfinished export. A note of that name that exists is kept."""
        await self._change_exports(
            "INSERT INTO {} (export, name, note) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", export, name, note
        )

    async def forget_export(self, export: str) -> None:
        """Remove the notes of an export."""
        await self._change_exports("DELETE FROM {} WHERE export = $1", export)

    async def _change_exports(self, statement: str, *arguments: str) -> None:
        async def work(connection: _Connection) -> None:
            await connection.execute(statement.format(self._tables.exports), *arguments)

        await self._run(work)

    async def _describe_refusal(
        self, connection: _Connection, rows: Sequence[Row], error: Exception
    ) -> RowsRefusedError | None:
        """Return an error with the rows that the server rejects, unless this is not the fault of single rows."""
        if not concerns_rows(error):
            return None
        found = await find_refused(connection, self._tables.telemetry, rows)
        return (
            RowsRefusedError(self.address, {at: self._clean(str(why)) for at, why in found.items()}) if found else None
        )

    # -- the connection --------------------------------------------------------------------------------------

    async def _run(self, work: Callable[[_Connection], Awaitable[T]]) -> T:
        if not self._entered:
            raise StorageError(self.address, "is not open: use `async with`")
        async with self._lock, self._failures():
            connection = self._connection
            if connection is None or connection.is_closed():
                self._connection, self._is_new = None, True
                connection = self._connection = await self._connect()
                await self._note_losses(connection)
            done = await work(connection)
            self._is_new = False
            return done

    async def _note_losses(self, connection: _Connection) -> None:
        """Record a gap if rows are missing that were committed before the connection was lost."""
        sample = self._committed.sample
        if sample is None or await connection.fetchval(
            f"SELECT 1 FROM {self._tables.telemetry} WHERE device_id = $1 AND attribute = $2 AND time = $3",  # noqa: S608
            clean_name(sample[0]), clean_name(sample[1]), to_time(sample[2]),
        ):  # fmt: skip
            return
        newest = await self._read_newest(connection, self._committed.devices, read_clock() + DAY)
        gaps = self._committed.find_losses(newest)
        if gaps:
            async with connection.transaction():
                await self._change_journal(connection, gaps, {})
        self._committed.sample = None  # the gaps are recorded once
        if gaps:
            _logger.warning("%s lost rows of %d devices; the gaps are recorded", self.address, len(gaps))

    @asynccontextmanager
    async def _failures(self) -> AsyncGenerator[None]:
        """Convert errors to `StorageError`, marked as temporary or permanent, without passwords."""
        failed: StorageError
        try:
            yield
            return
        except StorageError:
            raise
        except WrongTableError as error:
            failed = self._failure(str(error), passing=False)
        except asyncpg.PostgresError as error:
            code = read_state(error)
            passing = code.startswith(_PASSING_CLASSES) or code in _PASSING or lacks_partition(error)
            # The tables have changed since this connection was made.
            changed = code in _CHANGED or isinstance(error, asyncpg.InvalidCachedStatementError)
            passing = passing or (changed and not self._is_new)
            failed = self._failure(str(error), passing=passing)
        except asyncpg.TargetServerAttributeNotMatched:
            failed = self._failure("the server is read-only", passing=True)
        except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            # A `ValueError` of asyncpg means an invalid argument.
            passing = not isinstance(error, (ssl.SSLCertVerificationError, ValueError))
            failed = self._failure(_describe(error, is_connected=self._connection is not None), passing=passing)
        except (ValueError, OverflowError, LookupError) as error:
            failed = self._failure(_describe_argument(error), passing=False)
        except BaseException:
            # Cancelled: the state of the connection is unknown, and opening another one takes milliseconds.
            self._drop_connection()
            raise
        if failed.temporary:
            self._drop_connection()
        raise failed

    def _failure(self, message: str, *, passing: bool) -> StorageError:
        return StorageError(self.address, self._clean(message), temporary=passing)

    def _clean(self, message: str) -> str:
        """Return the first line of a message without passwords."""
        first = message.strip().splitlines()[0]
        for secret in find_passwords(self._url):
            first = first.replace(secret, "***")
        return make_visible(first)

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            connection.terminate()

    async def _connect(self) -> _Connection:
        service, service_file = choose_service(self._url) or (None, None)
        opened: object = await asyncpg.connect(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            adapt_to_asyncpg(self._url),
            timeout=_CONNECT_SECONDS,  # pyright: ignore[reportArgumentType]
            service=service,
            servicefile=service_file,
            command_timeout=_ANSWER_SECONDS,
            target_session_attrs="read-write",  # of several hosts, the one that is not a standby
            server_settings={
                "application_name": "enapter-async collect",
                "client_encoding": "UTF8",
                "client_min_messages": "warning",
            },
        )
        connection = cast("_Connection", opened)
        try:
            await self._tables.prepare(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection


def _require_name(name: str, argument: str) -> str:
    if not isinstance(name, str) or not name or "\0" in name or len(name.encode()) > 48:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refuse_argument(argument, "must be a name of at most 48 bytes", name)
    return name


def _describe(error: Exception, *, is_connected: bool) -> str:
    """Return the reason of a failed or unanswered exchange in the words of an operator."""
    if isinstance(error, socket.gaierror):
        return f"the host name cannot be resolved: {error.strerror}"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused; is the server running?"
    text = str(error)
    if "underlying connection is closed" in text:
        return "the connection was lost"
    silent = f"no answer in {_ANSWER_SECONDS:g} s; is a table locked?" if is_connected else "the server does not answer"
    return text or silent


def _describe_argument(error: ValueError | OverflowError | LookupError) -> str:
    """Return asyncpg's complaint about the settings of a connection."""
    if isinstance(error, LookupError):
        return str(error.args[0])
    text = str(error)
    if text.startswith("invalid literal for int()"):  # asyncpg reads nothing else as an integer
        return f"the port must be a number (in the address, the service or PGPORT), not {text.rpartition(': ')[2]}"
    return text


async def _nothing(_: _Connection) -> None:
    """Do nothing with a new connection."""


def _make_gap(record: Record) -> Gap:
    return Gap(
        id=record["id"],
        device_id=record["device_id"],
        start=to_microseconds(record["start"]),
        before=to_microseconds(record["before"]),
        reason=record["reason"],
    )
