"""The pages on PostgreSQL and on reading data, line by line against a real server."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT, blocks, environment

from enapter_async.collector import Gap
from enapter_async.rows import make_row
from enapter_async.simulator import Simulator
from tests.ports import find_free_port
from tests.postgres_server import find_programs, needs_postgres

asyncpg = pytest.importorskip("asyncpg", reason="the extra `postgres` is not installed")

from enapter_async.collector.stores.postgres import PostgresStore  # noqa: E402 - needs asyncpg

pytestmark = needs_postgres
PAGE = ROOT / "docs" / "how-to" / "postgresql.md"
ADDRESS = "postgresql://collector@db.example.net/plant"
GRAFANA = {
    "$__timeGroupAlias(time, $__interval)": "date_bin('10 s', time, '2000-01-01Z') AS time",
    "$__timeFilter(time)": "time > now() - interval '1 hour'",
}


def execute(url: str, statements: str) -> list[Any]:
    async def ask() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            if statements.startswith("SELECT"):
                return list(await connection.fetch(statements))
            await connection.execute(statements)
            return []
        finally:
            await connection.close()

    return asyncio.run(ask())


async def run(*arguments: str, simulator: Simulator, folder: Path) -> str:
    done = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=folder, env=environment(simulator),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(done.communicate(), 30)
    assert done.returncode == 0, output.decode()
    return output.decode()


def collect(url: str, folder: Path, *then: str) -> str:
    """Collect for a second into a database, then run a program."""

    async def work() -> str:
        async with Simulator(devices=2) as simulator:
            command = ("-m", "enapter_async.cli", "collect", "--for", "2s", "--to", url)
            await run(*command, simulator=simulator, folder=folder)
            return await run(*then, simulator=simulator, folder=folder) if then else ""

    return asyncio.run(work())


def test_statements_run_as_they_stand(postgres_url: str, tmp_path: Path) -> None:
    tables, role, retention, partitions, newest, hourly, grafana = blocks(PAGE, "sql")
    execute(postgres_url, tables)
    collect(postgres_url, tmp_path)  # into the table of the page
    execute(postgres_url, role)
    device = execute(postgres_url, "SELECT device_id FROM telemetry LIMIT 1")[0]["device_id"]
    assert execute(postgres_url, newest.replace("battery-1", device))
    assert execute(postgres_url, hourly)
    for macro, meaning in GRAFANA.items():
        assert macro in grafana
        grafana = grafana.replace(macro, meaning)
    assert execute(postgres_url, grafana)
    execute(postgres_url, retention)
    execute(postgres_url, "DROP TABLE telemetry; DROP ROLE IF EXISTS nobody")
    execute(postgres_url, partitions)
    collect(postgres_url, tmp_path)
    assert execute(postgres_url, "SELECT 1 FROM telemetry_rest LIMIT 1")


def test_the_role_of_the_page_may_do_what_a_collector_does(postgres_url: str) -> None:
    async def work() -> None:
        async with PostgresStore(postgres_url) as store:
            await store.read_export_notes("e")  # creates the table, as the first export does
        role = blocks(PAGE, "sql")[1].replace("collector_only", "limited")  # roles belong to the server
        for statements in (role, "GRANT SELECT, INSERT, DELETE ON telemetry_exports TO limited"):
            await asyncio.to_thread(execute, postgres_url, statements)
        async with PostgresStore(postgres_url.replace("admin@", "limited@")) as store:
            for moment in (1, 2):
                rows = [make_row("d1", "power", moment * 1_000_000, 1.5)] * 2
                assert await store.commit(rows, note=[Gap(device_id="d1", start=0, before=moment)]) == 1
                await store.mark({"d1": moment})
            (gap,) = await store.read_gaps()
            assert gap.id is not None
            await store.commit((), replace={gap.id: []})
            assert await store.read_newest(["d1"], 3_000_000) == {"d1": 2_000_000}
            await store.note_export("e", "record", "{}")
            assert await store.read_export_notes("e") == {"record": "{}"}
            await store.forget_export("e")

    asyncio.run(work())


def test_the_table_of_the_page_is_the_one_that_is_made(postgres_url: str, tmp_path: Path) -> None:
    described = (
        "SELECT attname, format_type(atttypid, NULL), attnotnull FROM pg_attribute"
        " WHERE attrelid = 'telemetry'::regclass AND attnum > 0 ORDER BY attnum"
    )
    indexes = "SELECT indexdef FROM pg_indexes WHERE tablename = 'telemetry' ORDER BY 1"
    execute(postgres_url, blocks(PAGE, "sql")[0])
    expected = execute(postgres_url, described), execute(postgres_url, indexes)
    execute(postgres_url, "DROP TABLE telemetry")
    collect(postgres_url, tmp_path)
    assert (execute(postgres_url, described), execute(postgres_url, indexes)) == expected


def test_a_program_reads_the_table(postgres_url: str, tmp_path: Path) -> None:
    pytest.importorskip("adbc_driver_postgresql")
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    (code,) = (text for text in blocks(ROOT / "docs" / "how-to" / "read-data.md", "python") if ADDRESS in text)
    (tmp_path / "snippet.py").write_text(code.replace(ADDRESS, postgres_url), "utf-8")
    assert "device_id" in collect(postgres_url, tmp_path, "snippet.py")


@pytest.mark.skipif(sys.platform == "win32", reason="lines for a POSIX shell")
@pytest.mark.parametrize("page", [ROOT / "README.md", PAGE], ids=["README", "page"])
def test_the_lines_that_start_a_server_work(page: Path) -> None:
    (lines,) = (text for text in blocks(page, "shell") if "initdb" in text)
    lines = lines.replace("python -m pip install '.[cli,postgres]' && ", "").replace("54320", str(find_free_port()))
    programs = find_programs()
    prelude = ""
    # Not a folder of pytest's: those are closed to the account that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="enapter-postgres-", ignore_cleanup_errors=True) as folder:
        if os.geteuid() == 0:  # which initdb refuses
            shutil.chown(folder, "postgres")
            for name in ("initdb", "pg_ctl"):
                prelude += (
                    f'{name}() {{ setpriv --reuid postgres --regid postgres --clear-groups {programs}/{name} "$@"; }}\n'
                )
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:{programs}"
        variables = {**os.environ, "PATH": path}

        def run_lines(text: str) -> subprocess.CompletedProcess[str]:
            command = ["bash", "-euc", prelude + text]
            return subprocess.run(
                command, cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=120
            )

        try:
            done = run_lines(lines)
        finally:
            run_lines("pg_ctl -D plant -m immediate stop")
    assert done.returncode == 0, done.stderr
    assert "datapoints" in done.stdout
