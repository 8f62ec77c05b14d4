"""The PostgreSQL store on a real server: nothing is lost, nothing is there twice, and failures say what to do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from enapter_async import InvalidArgumentError, StorageError
from enapter_async.collector import Gap
from enapter_async.rows import Row
from tests.postgres_server import PostgresServer, needs_postgres, query, running_postgres

asyncpg = pytest.importorskip("asyncpg", reason="the extra `postgres` is not installed")
from enapter_async.collector.stores._addresses import hide_password  # noqa: E402
from enapter_async.collector.stores.postgres import PostgresStore  # noqa: E402

pytestmark = [
    pytest.mark.anyio,
    needs_postgres,
]

NOON = 1_772_000_000_000_000
SECOND = 1_000_000
ODD = 'sch"ema; DROP TABLE telemetry; --'


def row(second: int = 0, *, device: str = "d1", attribute: str = "power", value: float | None = 1.5) -> Row:
    return (device, attribute, NOON + second * SECOND, value, None, "W")


async def test_rows_come_back_as_they_were_given(postgres_url: str) -> None:
    rows: list[Row] = [
        ("d1", "power", NOON, -0.5, None, "W"),
        ("d1", "status", NOON + 1, None, "läuft 'gut'; \\ \n", None),
        ("d2", "power", NOON, None, None, None),
        ("d2", "tiny", NOON, 5e-324, None, ""),
    ]
    async with PostgresStore(postgres_url) as store:
        assert await store.write(rows) == 4
    found = await query(
        postgres_url,
        "SELECT device_id, attribute, (extract(epoch FROM time) * 1000000)::bigint, value, text, unit"
        " FROM telemetry ORDER BY device_id, attribute",
    )
    assert found == sorted(rows, key=lambda one: one[:2])


async def test_a_row_that_is_there_is_left_alone(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store:
        assert await store.write([row(), row(1), row()]) == 2
        assert await store.write([row(value=99.0), row(2)]) == 1
    assert await query(postgres_url, "SELECT value FROM telemetry ORDER BY time") == [(1.5,), (1.5,), (1.5,)]


async def test_a_character_that_the_database_does_not_have_costs_itself_only(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store:
        assert await store.write([("d\0", "a\0", NOON, None, "x\0y", "\0"), row()]) == 2
    assert await query(
        postgres_url, "SELECT device_id, attribute, text, unit FROM telemetry WHERE text IS NOT NULL"
    ) == [("d\ufffd", "a\ufffd", "x\ufffdy", "\ufffd")]


async def test_half_a_character_is_replaced(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store:
        gap = Gap(device_id="d\ud800", start=NOON, before=NOON + 1, reason="\udfff")
        assert await store.commit([("d\ud800", "a\udfff", NOON, None, "\ud800x", None)], note=[gap]) == 1
        (noted,) = await store.read_gaps()
    assert (noted.device_id, noted.reason) == ("d\ufffd", "\ufffd")
    assert await query(postgres_url, "SELECT device_id, attribute, text FROM telemetry") == [
        ("d\ufffd", "a\ufffd", "\ufffdx")
    ]


async def test_a_time_that_cannot_be_is_told_and_costs_nothing_else(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store:
        with pytest.raises(StorageError, match="date value out of range") as caught:
            await store.write([row(), ("d1", "power", 10**19, 1.0, None, None)])
        assert not caught.value.temporary
        assert await store.write([row()]) == 1


async def test_the_journal_changes_in_the_transaction_of_its_rows(postgres_url: str) -> None:
    gap = Gap(device_id="d1", start=NOON, before=NOON + 10 * SECOND, reason="the program was stopped")
    async with PostgresStore(postgres_url) as store:
        await store.commit([row()], note=[gap, gap])
        (noted,) = await store.read_gaps()
        assert (noted.device_id, noted.start, noted.before, noted.reason) == ("d1", gap.start, gap.before, gap.reason)
        assert noted.id is not None
        await store.commit([row(1)], replace={noted.id: noted.without(NOON, NOON + 4 * SECOND), 10**6: [gap]})
        (rest,) = await store.read_gaps()
        assert (rest.start, rest.before) == (NOON + 4 * SECOND, NOON + 10 * SECOND)
        assert rest.id is not None
        await store.commit([], replace={rest.id: []})
        assert await store.read_gaps() == []


async def test_nothing_of_a_commit_is_done_when_a_part_of_it_fails(postgres_url: str) -> None:
    gap = Gap(device_id=None, start=NOON, before=NOON + SECOND, reason="")
    async with PostgresStore(postgres_url) as store:
        await query(postgres_url, "ALTER TABLE telemetry ADD CHECK (value < 100)")
        with pytest.raises(StorageError, match="violates check constraint"):
            await store.commit([row(value=1000.0)], note=[gap])
        assert await store.read_gaps() == []
        assert await store.write([row()]) == 1


async def test_the_newest_time_is_that_of_each_device(postgres_url: str) -> None:
    month = 30 * 86_400
    async with PostgresStore(postgres_url) as store:
        await store.mark({"silent": NOON - month * SECOND, "d1": NOON - 60 * SECOND, "ahead": NOON})
        await store.mark({"d1": NOON - 90 * SECOND})  # older than its newest row
        await store.write([row(5), row(3), row(month, device="ahead"), row(1, device="unmarked")])
        newest = await store.read_newest(["d1", "silent", "ahead", "unmarked", "unknown"], NOON + 86_400 * SECOND)
    assert newest == {
        "d1": NOON + 5 * SECOND,
        "silent": NOON - month * SECOND,
        "ahead": NOON,
        "unmarked": NOON + SECOND,
    }


async def test_keys_tell_what_is_there(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store:
        await store.write([row(0), row(1), row(2), row(1, device="d2")])
        assert set(await store.read_keys(["d1"], NOON, NOON + 2 * SECOND)) == {
            ("d1", "power", NOON),
            ("d1", "power", NOON + SECOND),
        }


async def test_names_of_any_kind_are_quoted(postgres_url: str) -> None:
    async with PostgresStore(postgres_url, schema=ODD, table='Mess\'werte "1"') as store:
        assert await store.write([row()]) == 1
        await store.mark({"d1": NOON})
        assert await store.read_newest(["d1"], NOON + SECOND) == {"d1": NOON}
    tables = await query(postgres_url, "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
                                   " WHERE nspname = $1 AND relkind = 'r' ORDER BY 1", ODD)  # fmt: skip
    assert tables == [('Mess\'werte "1"',), ('Mess\'werte "1"_devices',), ('Mess\'werte "1"_gaps',)]


async def test_collectors_that_start_together_share_the_tables(postgres_url: str) -> None:
    async def collect(number: int) -> int:
        async with PostgresStore(postgres_url, schema="plant") as store:
            return await store.write([row(second, device=f"d{number % 2}") for second in range(100)])

    assert sum(await asyncio.gather(*map(collect, range(6)))) == 200


async def test_a_partitioned_table_of_the_users_own_is_used_as_it_is(postgres_url: str) -> None:
    await query(
        postgres_url,
        "CREATE TABLE telemetry (device_id text, attribute text, time timestamptz, value float8, text text, unit text,"
        " added timestamptz DEFAULT now(), UNIQUE (time, device_id, attribute)) PARTITION BY RANGE (time)",
    )
    await query(postgres_url, "CREATE TABLE telemetry_all PARTITION OF telemetry DEFAULT")
    async with PostgresStore(postgres_url) as store:
        assert await store.write([row(), row()]) == 1


async def test_columns_that_fill_themselves_are_left_to_the_table(postgres_url: str) -> None:
    await query(
        postgres_url,
        "CREATE TABLE telemetry (id bigint GENERATED ALWAYS AS IDENTITY, device_id text, attribute text,"
        " time timestamptz, value float8, text text, unit text, day int GENERATED ALWAYS AS (1) STORED NOT NULL,"
        " UNIQUE (device_id, attribute, time) INCLUDE (value))",
    )
    async with PostgresStore(postgres_url) as store:
        assert await store.write([row(), row()]) == 1
    assert await query(postgres_url, "SELECT id, day FROM telemetry") == [(1, 1)]


COLUMNS = "device_id text, attribute text, time timestamptz, value float8, text text, unit text"


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("CREATE TABLE telemetry (id int)", 'the table "telemetry" has no column device_id'),
        (
            f"CREATE TABLE telemetry ({COLUMNS.replace('timestamptz', 'timestamp')})",
            'column time of the table "telemetry" is timestamp without time zone, it must be timestamp with time zone',
        ),
        (
            f"CREATE TABLE telemetry ({COLUMNS}, plant text NOT NULL, PRIMARY KEY (device_id, attribute, time))",
            'the table "telemetry" needs a value for its column plant',
        ),
        (
            f"CREATE TABLE telemetry ({COLUMNS}, UNIQUE (device_id, attribute, time) DEFERRABLE)",
            'the table "telemetry" has no unique key of device_id, attribute and time',
        ),
        (
            f"CREATE TABLE telemetry ({COLUMNS})",
            'the table "telemetry" has no unique key of device_id, attribute and time',
        ),
        ("CREATE TABLE telemetry_gaps (start timestamptz)", 'the table "telemetry_gaps" has no column device_id'),
        (
            "CREATE TABLE telemetry_devices (device_id text, reached timestamptz)",
            'the table "telemetry_devices" has no unique key of device_id',
        ),
    ],
)
async def test_a_table_of_another_shape_is_refused_in_one_line(postgres_url: str, table: str, problem: str) -> None:
    await query(postgres_url, table)
    with pytest.raises(StorageError) as caught:
        async with PostgresStore(postgres_url):
            pass
    assert str(caught.value) == f"{postgres_url}: {problem}"
    assert not caught.value.temporary


async def test_a_role_without_rights_is_told(postgres_url: str) -> None:
    await query(postgres_url, "DROP ROLE IF EXISTS reader")
    await query(postgres_url, "CREATE ROLE reader LOGIN")
    with pytest.raises(StorageError, match="permission denied for schema public") as caught:
        async with PostgresStore(postgres_url.replace("admin@", "reader@")):
            pass
    assert not caught.value.temporary
    async with PostgresStore(postgres_url):
        pass
    await query(postgres_url, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    async with PostgresStore(postgres_url.replace("admin@", "reader@")) as store:
        with pytest.raises(StorageError, match="permission denied for table telemetry") as caught:
            await store.write([row()])
    assert not caught.value.temporary


async def test_a_role_that_may_only_use_the_tables_needs_no_more(postgres_url: str) -> None:
    async with PostgresStore(postgres_url):
        pass
    await query(postgres_url, "DROP ROLE IF EXISTS writer")
    await query(postgres_url, "CREATE ROLE writer LOGIN")
    await query(postgres_url, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO writer")
    async with PostgresStore(postgres_url.replace("admin@", "writer@")) as store:
        assert await store.write([row()]) == 1
        await store.mark({"d1": NOON})


async def test_a_connection_that_an_administrator_ends_is_made_again(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store:
        await store.write([row()])
        await query(
            postgres_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'enapter-async collect' AND datname = current_database()",
        )
        try:
            await store.write([row(1)])
        except StorageError as error:  # unless the end of the connection was noticed before
            if not error.temporary:
                raise
            await store.write([row(1)])
    assert await query(postgres_url, "SELECT count(*) FROM telemetry") == [(2,)]


@pytest.mark.parametrize("way", ["stop", "kill", "kill a backend"])
async def test_a_server_that_goes_away_loses_nothing(way: str) -> None:
    with running_postgres() as server:
        async with PostgresStore(server.url) as store:
            assert await store.write([row(second) for second in range(10)]) == 10
            if way == "kill a backend":
                ((pid,),) = await query(
                    server.url, "SELECT pid FROM pg_stat_activity WHERE application_name = 'enapter-async collect'"
                )
                os.kill(pid, signal.SIGKILL)
            else:
                await asyncio.to_thread(server.stop if way == "stop" else server.kill)
            with pytest.raises(StorageError) as caught:
                await store.write([row(second) for second in range(20)])
            assert caught.value.temporary
            if way != "kill a backend":
                await asyncio.to_thread(server.start)
            async with asyncio.timeout(20):
                while True:
                    try:
                        written = await store.write([row(second) for second in range(20)])
                        break
                    except StorageError as error:
                        if not error.temporary:
                            raise
                        await asyncio.sleep(0.1)
            assert written == 10
        assert await query(server.url, "SELECT count(*) FROM telemetry") == [(20,)]


class Relay:
    """Between the store and the server: loses the answer to the next COMMIT, which the server has carried out."""

    def __init__(self, port: int) -> None:
        self.armed = False
        self.lost = 0
        self._port = port

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_connection("127.0.0.1", self._port)
        committing = False

        async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, *, requests: bool) -> None:
            nonlocal committing
            while data := await source.read(65_536):
                if requests and self.armed and b"COMMIT;" in data:
                    committing, self.armed = True, False
                elif not requests and committing:
                    self.lost += 1
                    break
                target.write(data)
            for one in (writer, downstream):
                one.transport.abort()

        await asyncio.gather(
            pass_on(reader, downstream, requests=True),
            pass_on(upstream, writer, requests=False),
            return_exceptions=True,
        )


async def test_a_commit_whose_answer_is_lost_is_repeated_without_doubling(
    postgres_url: str, postgres: PostgresServer
) -> None:
    relay = Relay(postgres.port)
    gap = Gap(device_id="d1", start=NOON, before=NOON + 10 * SECOND, reason="")
    async with await asyncio.start_server(relay, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with PostgresStore(postgres_url.replace(str(postgres.port), str(port))) as store:
            await store.commit([], note=[gap])
            (noted,) = await store.read_gaps()
            assert noted.id is not None
            change = {noted.id: noted.without(NOON, NOON + SECOND)}
            new_gap = Gap(device_id=None, start=NOON, before=NOON + SECOND, reason="")
            relay.armed = True
            with pytest.raises(StorageError) as caught:
                await store.commit([row()], note=[new_gap], replace=change)
            assert caught.value.temporary
            assert relay.lost == 1
            assert await query(postgres_url, "SELECT count(*) FROM telemetry") == [(1,)]
            assert await store.commit([row()], note=[new_gap], replace=change) == 0
            assert sorted((one.start, one.before) for one in await store.read_gaps()) == [
                (NOON, NOON + SECOND),
                (NOON + SECOND, NOON + 10 * SECOND),
            ]


async def test_a_commit_that_is_cancelled_leaves_a_store_that_works(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store:
        blocker = await asyncpg.connect(postgres_url)
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE telemetry")
            with anyio.move_on_after(0.1) as scope:
                await store.commit([row()], note=[Gap(device_id=None, start=NOON, before=NOON + 1, reason="")])
            assert scope.cancelled_caught
        await blocker.close()
        assert await store.write([row(1)]) == 1
        assert await store.read_gaps() == []
    assert await query(postgres_url, "SELECT count(*) FROM telemetry") == [(1,)]


async def test_a_table_that_stays_locked_is_named_as_a_reason(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enapter_async.collector.stores.postgres._ANSWER_SECONDS", 0.1)
    async with PostgresStore(postgres_url) as store:
        blocker = await asyncpg.connect(postgres_url)
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE telemetry")
            with pytest.raises(StorageError, match=r"no answer in 0\.1 s; is a table locked\?$") as caught:
                await store.write([row()])
            assert caught.value.temporary
        await blocker.close()
        assert await store.write([row()]) == 1


@pytest.mark.parametrize("state", ["53100", "53300", "57P01", "40P01", "25006", "58030"])
async def test_what_passes_by_itself_is_waited_for(postgres_url: str, state: str) -> None:
    """53100 is a full disk."""
    async with PostgresStore(postgres_url) as store:
        await query(
            postgres_url,
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '{state}'; END$$",
        )
        await query(
            postgres_url, "CREATE TRIGGER fail BEFORE INSERT ON telemetry FOR EACH STATEMENT EXECUTE FUNCTION fail()"
        )
        gap = Gap(device_id=None, start=NOON, before=NOON + SECOND, reason="")
        for _ in range(2):
            with pytest.raises(StorageError, match="could not extend file") as caught:
                await store.commit([row()], note=[gap])
            assert caught.value.temporary
        await query(postgres_url, "DROP FUNCTION fail CASCADE")
        assert await store.commit([row()], note=[gap]) == 1
        assert len(await store.read_gaps()) == 1


async def test_a_column_that_changes_meanwhile_is_followed(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store:
        await store.commit([row()], note=[Gap(device_id="d1", start=NOON, before=NOON + 1, reason="")])
        assert len(await store.read_gaps()) == 1
        await query(postgres_url, "ALTER TABLE telemetry_gaps ALTER COLUMN reason TYPE varchar(99)")
        assert len(await store.read_gaps()) == 1


async def test_nobody_there_passes_and_a_database_that_does_not_exist_does_not(postgres: PostgresServer) -> None:
    with pytest.raises(StorageError) as caught:
        async with PostgresStore("postgresql://admin@127.0.0.1:1/postgres"):
            pass
    assert caught.value.temporary
    with pytest.raises(StorageError, match='database "nowhere" does not exist') as caught:
        async with PostgresStore(postgres.url.removesuffix("postgres") + "nowhere"):
            pass
    assert not caught.value.temporary


async def test_passwords_are_never_shown(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "in-the-environment")
    url = postgres.url.replace("admin@", "nobody:gehe%69m@") + "?sslpassword=hidden&sslmode=disable"
    store = PostgresStore(url)
    with pytest.raises(StorageError) as caught:
        async with store:
            pass
    for text in (store.address, repr(store), str(caught.value), repr(caught.value)):
        for secret in ("gehe", "hidden", "in-the-environment"):
            assert secret not in text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h:5/db", "postgresql://u@h:5/db"),
        ("postgres://u:p%40x@h/db?password=q&sslmode=require", "postgresql://u@h/db?sslmode=require"),
        ("postgresql://u:p@[::1]:5/db", "postgresql://u@[::1]:5/db"),
        ("postgresql:///db?service=plant&passfile=/x", "postgresql:///db?service=plant"),
        ("postgresql://u:p@h1:1,h2:2/db", "postgresql://u@h1:1,h2:2/db"),
    ],
)
async def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert hide_password(url) == shown


@pytest.mark.parametrize("url", ["mysql://h/db", "telemetry.sqlite", "postgresql://h:port/db", ""])
async def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^url: must be an address such as postgresql://"):
        PostgresStore(url)


@pytest.mark.parametrize("name", ["", "x" * 49, "a\0b"])
async def test_names_that_cannot_work_are_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="table: must be a name"):
        PostgresStore("postgresql://", table=name)
    with pytest.raises(InvalidArgumentError, match="schema: must be a name"):
        PostgresStore("postgresql://", schema=name)


@pytest.mark.parametrize("where", ["environment", "address"])
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[other]\nhost=h\n", "has no section [plant]"),
        (None, "cannot be read: No such file or directory"),
        ("[plant]\npassword=ab%cd\n", "cannot be read: a % must be doubled, and each line be NAME=VALUE"),
        ("[plant]\nab%cd\n", "cannot be read: a % must be doubled, and each line be NAME=VALUE"),
    ],
)
async def test_a_service_that_cannot_be_looked_up_is_refused(
    where: str,
    text: str | None,
    problem: str,
    postgres: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """asyncpg would leave it out, and take the default database."""
    file = tmp_path / "services"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    url = postgres.url
    if where == "environment":
        monkeypatch.setenv("PGSERVICE", "plant")
    else:
        monkeypatch.setenv("PGSERVICE", "passed-over")
        url += "?service=plant"
    with pytest.raises(StorageError) as caught:
        async with PostgresStore(url):
            pass
    assert str(caught.value).endswith(f"the service file {file} {problem}")
    assert "ab%cd" not in repr(caught.value)
    assert not caught.value.temporary


async def test_a_service_without_a_home_directory_is_told(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container, the user may have no entry in /etc/passwd."""

    def find_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", find_home)
    monkeypatch.setenv("PGSERVICE", "plant")
    with pytest.raises(StorageError, match=r"set PGSERVICEFILE$") as caught:
        async with PostgresStore(postgres.url):
            pass
    assert not caught.value.temporary


async def test_the_setting_that_is_wrong_is_told_in_one_line(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(StorageError) as caught:
        async with PostgresStore(postgres.url + "?sslmode=verify-full"):
            pass
    assert str(caught.value).endswith('root.crt" does not exist or cannot be accessed')
    assert not caught.value.temporary


@pytest.mark.parametrize("url", ["postgresql://", "postgresql:///", "postgresql:///?user=admin"])
async def test_the_database_comes_from_the_environment(
    url: str, postgres_url: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres.port),
        "PGUSER": "admin",
        "PGDATABASE": postgres_url.rpartition("/")[2],
    }.items():
        monkeypatch.setenv(name, value)
    async with PostgresStore(url) as store:
        assert await store.write([row()]) == 1
    async with PostgresStore(postgres_url) as store:
        assert await store.write([row()]) == 0


@pytest.mark.parametrize("name", ["url", "PGPORT"])
async def test_a_port_that_is_no_number_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "abc")
    url = "postgresql://127.0.0.1/db" + ("?port=abc" if name == "url" else "")
    with pytest.raises(StorageError, match=r"the port must be a number \(.*\), not 'abc'$") as caught:
        async with PostgresStore(url):
            pass
    assert not caught.value.temporary


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("127.0.0.1:1", r"the connection was refused; is the server running\?$"),
        ("nowhere.invalid", "the host name cannot be resolved: "),
    ],
)
async def test_a_server_that_cannot_be_reached_is_told_in_words(
    host: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(asked: str, *_: object, **__: object) -> object:
        assert asked == "nowhere.invalid"
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    if host == "nowhere.invalid":
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(StorageError, match=problem) as caught:
        async with PostgresStore(f"postgresql://admin@{host}/db"):
            pass
    assert caught.value.temporary


@pytest.mark.parametrize("own_file", [True, False])
async def test_a_service_of_the_system(
    own_file: bool, postgres_url: str, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if own_file:
        (tmp_path / ".pg_service.conf").write_text("[another]\nhost=h\n")
    (tmp_path / "pg_service.conf").write_text(
        f"[plant]\nhost=127.0.0.1\nport={postgres.port}\nuser=admin\ndbname={postgres_url.rpartition('/')[2]}\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PGSYSCONFDIR", str(tmp_path))
    async with PostgresStore("postgresql:///?service=plant") as store:
        assert await store.write([row()]) == 1
    with pytest.raises(StorageError, match=r"pg_service.conf has no section \[unknown\]$"):
        async with PostgresStore("postgresql://?service=unknown"):
            pass


async def test_settings_come_from_a_service_file(
    postgres_url: str, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "services"
    file.write_text(
        f"[plant]\nhost=127.0.0.1\nport={postgres.port}\nuser=admin\ndbname={postgres_url.rpartition('/')[2]}\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    monkeypatch.setenv("PGSERVICE", "plant")
    async with PostgresStore("postgresql://") as store:
        assert await store.write([row()]) == 1


# -- a disk that is really full ----------------------------------------------------------------------------


@contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of 16 MB that PostgreSQL may write to; skips the test where none can be mounted."""
    with tempfile.TemporaryDirectory(prefix="enapter-disk-") as folder:
        Path(folder).chmod(0o755)
        disk = Path(folder) / "disk"
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here")
        try:
            shutil.chown(disk, "postgres")
            yield disk
        finally:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)


async def test_rows_wait_while_the_disk_is_full_and_are_there_once_there_is_room() -> None:
    with small_disk() as disk, running_postgres() as server:
        await query(server.url, f"CREATE TABLESPACE small LOCATION '{disk}'")
        await query(server.url, "ALTER ROLE admin SET default_tablespace = small")
        async with PostgresStore(server.url) as store:
            assert await store.write([row()]) == 1
            filler = disk / "filler"
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(1 << 16))
            rows = [row(second, device=f"d{second % 7}") for second in range(1, 20_001)]
            with pytest.raises(StorageError, match="No space left on device") as refused:
                await store.write(rows)
            assert refused.value.temporary
            assert await query(server.url, "SELECT count(*) FROM telemetry") == [(1,)]
            filler.unlink()
            assert await store.write(rows) == len(rows)
        assert await query(server.url, "SELECT count(*), count(DISTINCT time) FROM telemetry") == [(20_001, 20_001)]


# -- tables that change while they are in use --------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE telemetry",
        "ALTER TABLE telemetry RENAME TO archive",
        "DROP TABLE telemetry_gaps",
        "ALTER TABLE telemetry_gaps ALTER COLUMN reason TYPE varchar(99)",
        "DROP SCHEMA plant CASCADE",
    ],
)
async def test_tables_that_are_taken_away_or_changed_are_followed(postgres_url: str, change: str) -> None:
    def make_gap(second: int) -> Gap:
        return Gap(device_id="d1", start=NOON, before=NOON + second * SECOND, reason="")

    schema = "plant" if "SCHEMA" in change else None
    async with PostgresStore(postgres_url, schema=schema) as store:
        assert await store.commit([row()], note=[make_gap(1)]) == 1
        await query(postgres_url, change)
        with pytest.raises(StorageError) as caught:
            await store.commit([row(1)], note=[make_gap(2)])
        assert caught.value.temporary
        assert await store.commit([row(1)], note=[make_gap(2)]) == 1
        assert [gap.before for gap in await store.read_gaps()] == [NOON + 2 * SECOND]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("ALTER TABLE telemetry DROP COLUMN unit", 'the table "telemetry" has no column unit'),
        (
            "ALTER TABLE telemetry DROP CONSTRAINT telemetry_pkey",
            'the table "telemetry" has no unique key of device_id, attribute and time',
        ),
    ],
)
async def test_a_table_that_loses_what_is_needed_is_refused(postgres_url: str, change: str, problem: str) -> None:
    """Without its key, a row would be written twice."""
    async with PostgresStore(postgres_url) as store:
        assert await store.write([row()]) == 1
        await query(postgres_url, change)
        for _ in range(2):
            with pytest.raises(StorageError) as caught:
                await store.write([row()])
        assert str(caught.value).endswith(problem)
        assert not caught.value.temporary
    assert await query(postgres_url, "SELECT count(*) FROM telemetry") == [(1,)]


async def test_a_missing_table_that_does_not_come_back_is_not_waited_for(postgres_url: str) -> None:
    """For example behind a pooler that gives each transaction another connection, without the temporary table."""
    async with PostgresStore(postgres_url) as store:
        await query(postgres_url, "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
                              " $$BEGIN INSERT INTO nowhere VALUES (1); RETURN NEW; END$$")  # fmt: skip
        await query(
            postgres_url, "CREATE TRIGGER fail BEFORE INSERT ON telemetry FOR EACH STATEMENT EXECUTE FUNCTION fail()"
        )
        temporary = []
        for _ in range(2):
            with pytest.raises(StorageError, match='relation "nowhere" does not exist') as caught:
                await store.write([row()])
            temporary.append(caught.value.temporary)
        assert temporary == [True, False]


async def test_a_row_that_another_key_excludes_is_not_lost_in_silence(postgres_url: str) -> None:
    await query(
        postgres_url,
        f"CREATE TABLE telemetry ({COLUMNS}, UNIQUE (device_id, attribute, time), UNIQUE (device_id, time))",
    )
    async with PostgresStore(postgres_url) as store:
        assert await store.write([row()]) == 1
        with pytest.raises(StorageError, match="duplicate key value violates unique constraint"):
            await store.write([row(attribute="voltage")])


# -- rows that the database loses --------------------------------------------------------------------------

END_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'enapter-async collect' AND datname = current_database()"
)


async def repeat_write(store: PostgresStore, rows: list[Row]) -> int:
    """Write rows, which may fail once because the connection was lost."""
    with contextlib.suppress(StorageError):
        return await store.write(rows)
    return await store.write(rows)


async def test_rows_that_a_failover_has_lost_become_gaps(postgres_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A standby that takes over may lack the last transactions."""
    names = ("d1", "d2", "steady")
    async with PostgresStore(postgres_url) as store:
        await store.mark(dict.fromkeys(names, NOON - SECOND))
        await store.write([row(0, device=name) for name in names])
        await store.write([row(second, device=name) for second in (1, 2, 3) for name in ("d1", "d2")])
        await query(postgres_url, "DELETE FROM telemetry WHERE time > to_timestamp($1)", NOON / SECOND + 1)
        await query(postgres_url, END_CONNECTIONS)
        assert await repeat_write(store, [row(9, device=name) for name in names]) == 3
        lost = [(gap.device_id, gap.start, gap.before, gap.reason) for gap in await store.read_gaps()]
        reason = "the database lost rows"
        assert sorted(lost) == [(name, NOON + SECOND, NOON + 4 * SECOND, reason) for name in ("d1", "d2")]
        assert "lost rows of 2 devices; the gaps are recorded" in caplog.text
        await query(postgres_url, "DELETE FROM telemetry_gaps")
        await query(postgres_url, END_CONNECTIONS)
        assert await repeat_write(store, [row(10)]) == 1
        assert await store.read_gaps() == []


async def test_a_table_that_is_created_again_has_a_gap_since_the_last_mark(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store:
        await store.write([row(second) for second in range(10)])
        await store.mark({"d1": NOON + 7 * SECOND})
        await query(postgres_url, "DROP TABLE telemetry")
        assert await repeat_write(store, [row(20)]) == 1
        (gap,) = await store.read_gaps()
    assert (gap.device_id, gap.start, gap.before) == ("d1", NOON + 7 * SECOND, NOON + 10 * SECOND)


# -- several hosts -----------------------------------------------------------------------------------------


async def test_of_several_hosts_the_one_that_can_be_written_is_used(
    postgres_url: str, postgres: PostgresServer
) -> None:
    with running_postgres() as standby:
        await query(standby.url, f"CREATE DATABASE {postgres_url.rpartition('/')[2]}")
        await query(standby.url, "ALTER ROLE admin SET default_transaction_read_only = on")
        hosts = f"127.0.0.1:1,127.0.0.1:{standby.port},127.0.0.1:{postgres.port}"
        async with PostgresStore(postgres_url.replace(f"127.0.0.1:{postgres.port}", hosts)) as store:
            assert await store.write([row()]) == 1
        with pytest.raises(StorageError, match="the server is read-only") as caught:
            async with PostgresStore(standby.url):
                pass
        assert caught.value.temporary
    assert await query(postgres_url, "SELECT count(*) FROM telemetry") == [(1,)]


async def test_parameters_of_libpq_are_accepted(postgres_url: str) -> None:
    url = f"{postgres_url}?keepalives=1&connect_timeout=9&client_encoding=latin1&channel_binding=prefer"
    async with PostgresStore(url) as store:
        assert await store.write([("d1", "state", NOON, None, "läuft", None)]) == 1
    assert await query(postgres_url, "SELECT text FROM telemetry") == [("läuft",)]
    with pytest.raises(StorageError, match="channel_binding=require is not supported") as caught:
        async with PostgresStore(postgres_url + "?channel_binding=require"):
            pass
    assert not caught.value.temporary


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:12/secret@h:5/db",
        "postgresql://u:p@secret@h/db",
        "postgresql://u:p@secret/w@h/db",
        "postgresql://u:12#secret@h/db",
        "postgresql://u:12?secret@h/db",
        "postgresql://u:12?sec=ret@h/db",
        "postgresql://u@h/db?password=a&secret",
        "postgresql:u:secret@h/db",
        "postgresql:/u:secret@h/db",
    ],
)
async def test_an_address_that_would_show_a_part_of_its_password_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"percent-encoding, such as %2F for /") as caught:
        PostgresStore(url)
    assert "sec" not in str(caught.value)
