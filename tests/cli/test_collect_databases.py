"""`enapter-async collect` into a real PostgreSQL, and onto standard output."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from commands import COMMAND, Ended, begin, end, environment, figure, run

from enapter_async.simulator import Fault, Simulator
from tests import postgres_server
from tests.postgres_server import PostgresServer, needs_postgres, running_postgres
from tests.waiting import block_until

asyncpg = pytest.importorskip("asyncpg", reason="the extra `postgres` is not installed")

posix = pytest.mark.skipif(sys.platform == "win32", reason="descriptors of POSIX")
SECRET = "geh-eim"


def query(url: str, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
    return asyncio.run(postgres_server.query(url, statement, *arguments))


def wait_for_rows(url: str, process: subprocess.Popen[str], seconds: float = 20.0) -> None:
    end_ = time.monotonic() + seconds
    while time.monotonic() < end_ and process.poll() is None:
        try:
            if query(url, "SELECT 1 FROM telemetry LIMIT 1"):
                return
        except asyncpg.UndefinedTableError:
            pass  # not there yet
        time.sleep(0.1)
    raise AssertionError(f"no rows after {seconds} s; {process.poll()=}")


def check_one_line(ended: Ended, problem: str) -> None:
    assert ended.code == 7, ended.stderr
    assert "Traceback" not in ended.stderr
    assert problem in ended.error
    assert SECRET not in ended.stdout + ended.stderr


@needs_postgres
def test_rows_of_the_summary_are_in_the_database(postgres_url: str) -> None:
    ended = run("collect", "--simulate", "6", "--for", "2s", "--to", postgres_url, "--attributes", "all")
    assert ended.code == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    ((count, devices, kinds),) = query(
        postgres_url,
        "SELECT count(*), count(DISTINCT device_id), count(text) FROM telemetry WHERE unit IS NULL OR unit <> ''",
    )
    assert figure(ended, "datapoints") == count > 0
    assert devices == 6
    assert kinds > 0
    assert f"into {postgres_url}" in ended.stdout
    assert query(postgres_url, "SELECT count(*) FROM telemetry_devices") == [(6,)]


@needs_postgres
def test_a_second_run_finds_what_the_first_one_wrote_in_a_schema_of_ones_own(postgres_url: str) -> None:
    arguments = ("collect", "--simulate", "2", "--for", "3s", "--to", postgres_url, "--schema", 'my "plant"')
    first, second = run(*arguments), run(*arguments)
    assert (first.code, second.code) == (0, 0)
    assert query(postgres_url, 'SELECT count(*) FROM "my ""plant""".telemetry') == [
        (figure(first, "datapoints") + figure(second, "datapoints"),)
    ]
    assert query(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


@needs_postgres
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_properly(postgres_url: str, number: signal.Signals) -> None:
    process = begin("collect", "--simulate", "3", "--to", postgres_url)
    wait_for_rows(postgres_url, process)
    process.send_signal(number)
    ended = end(process)
    assert ended.code == 0, ended.stderr
    assert query(postgres_url, "SELECT count(*) FROM telemetry") == [(figure(ended, "datapoints"),)]


@needs_postgres
def test_a_server_that_is_restarted_is_said_once_and_nothing_is_missing() -> None:
    with running_postgres() as server:
        process = begin("collect", "--simulate", "3", "--to", server.url)
        wait_for_rows(server.url, process)
        server.kill()
        time.sleep(0.2)
        server.start()
        before = query(server.url, "SELECT max(time) FROM telemetry")
        block_until(
            lambda: (
                query(server.url, "SELECT max(time) FROM telemetry") != before
                and not query(server.url, "SELECT 1 FROM telemetry_gaps")
            )
        )
        process.send_signal(signal.SIGTERM)
        ended = end(process)
        assert ended.code == 0, ended.stderr
        assert "Traceback" not in ended.stderr
        assert len([line for line in ended.stderr.splitlines() if "WARNING" in line and "postgresql" in line]) <= 1
        holes = query(
            server.url,
            "SELECT * FROM (SELECT device_id, attribute, time, lag(time) OVER"
            " (PARTITION BY device_id, attribute ORDER BY time) AS before FROM telemetry) AS step"
            " WHERE time - before > '1 s' AND NOT EXISTS (SELECT 1 FROM telemetry_gaps AS noted"
            " WHERE noted.start <= step.time AND noted.before > step.before)",
        )
        assert holes == []


@needs_postgres
def test_what_cannot_be_used_ends_with_7_and_one_line(postgres_url: str, postgres: PostgresServer) -> None:
    query(postgres_url, "CREATE TABLE telemetry (id int)")
    collect = ("collect", "--simulate", "1", "--for", "3s", "--to")
    check_one_line(run(*collect, postgres_url), f'{postgres_url}: the table "telemetry" has no column device_id')
    check_one_line(run(*collect, postgres.url + "_none"), 'database "postgres_none" does not exist')
    nobody = postgres.url.replace("admin@", f"nobody:{SECRET}@")
    check_one_line(run(*collect, nobody), 'role "nobody" does not exist')
    closed = f"postgresql://admin:{SECRET}@127.0.0.1:1/postgres"
    check_one_line(run(*collect, closed, "--no-wait"), "postgresql://admin@127.0.0.1:1/postgres: ")


@needs_postgres
@pytest.mark.parametrize("way", ["address", "environment", "variable of the option"])
def test_a_password_is_shown_nowhere(postgres_url: str, way: str) -> None:
    """The server does not ask for it, so that everything works and every line is written."""
    variables = {"PGPASSWORD": SECRET} if way == "environment" else {}
    with_password = postgres_url.replace("admin@", f"admin:{SECRET}@")
    target = ["--to", postgres_url if way == "environment" else with_password]
    if way == "variable of the option":
        variables, target = {"ENAPTER_COLLECT_TO": with_password}, []
    for options in ((), ("--debug",), ("--log-format", "json")):
        first = ("--debug",) if options == ("--debug",) else ()
        rest = () if first else options
        process = begin(*first, "collect", "--simulate", "2", *target, *rest, **variables)
        wait_for_rows(postgres_url, process)
        query(
            postgres_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'enapter-async collect' AND datname = current_database()",
        )
        time.sleep(0.7)
        process.send_signal(signal.SIGTERM)
        ended = end(process)
        assert ended.code == 0, ended.stderr
        assert SECRET not in ended.stdout + ended.stderr
        query(postgres_url, "TRUNCATE telemetry")


@needs_postgres
def test_gaps_are_listed_and_repaired(postgres_url: str) -> None:
    assert run("collect", "--simulate", "2", "--for", "3s", "--to", postgres_url).code == 0
    query(
        postgres_url,
        "INSERT INTO telemetry_gaps (device_id, start, before, reason)"
        " SELECT device_id, date_trunc('minute', now()) - interval '2 min', date_trunc('minute', now()), 'by hand'"
        " FROM telemetry_devices LIMIT 1",
    )
    listed = run("gaps", "list", postgres_url.replace("admin@", f"admin:{SECRET}@"), "--output", "json")
    assert listed.code == 0, listed.stderr
    # On a loaded machine, a tick may have come too late and left a gap of its own.
    reasons = [json.loads(line)["reason"] for line in listed.stdout.splitlines()]
    assert reasons.count("by hand") == 1
    rows = query(postgres_url, "SELECT count(*) FROM telemetry")
    repaired = run("gaps", "repair", postgres_url, "--simulate", "2")
    assert repaired.code == 0, repaired.stderr
    assert query(postgres_url, "SELECT count(*) FROM telemetry_gaps") == [(0,)]
    # Devices of another simulator have other IDs: their history is nowhere, so nothing is filled in but the gap is.
    assert query(postgres_url, "SELECT count(*) FROM telemetry") >= rows
    check_one_line(run("gaps", "list", postgres_url + "_none"), "does not exist")


@needs_postgres
def test_history_is_exported_into_the_same_table(postgres_url: str) -> None:
    with_password = postgres_url.replace("admin@", f"admin:{SECRET}@")
    arguments = ("export", "--simulate", "2", "--from", "10m", "--to", with_password)
    ended = run(*arguments, "--schema", "plant")
    assert ended.code == 0, ended.stderr
    ((count,),) = query(postgres_url, "SELECT count(*) FROM plant.telemetry")
    assert ended.stdout.startswith(f"{postgres_url}: {count:,} rows in ")
    assert count > 100
    assert SECRET not in ended.stdout + ended.stderr
    assert run(*arguments, "--format", "csv").code == 2
    check_one_line(run("export", "--simulate", "1", "--from", "1m", "--to", postgres_url + "_none"), "does not exist")


@needs_postgres
@pytest.mark.anyio
async def test_an_export_that_is_killed_and_cut_off_continues_where_it_was(postgres_url: str) -> None:
    """Killed, interrupted, refused by the API, its connection ended: parts are read once, and every row is there."""
    span = ("--from", "2026-03-14T00:00Z", "--until", "2026-03-14T06:00Z", "--attributes", "all")
    arguments = ("export", *span, "--window", "10m", "--concurrency", "3", "--to")
    parts, finished = 36, "SELECT count(*) FROM telemetry_exports WHERE name LIKE 'part %'"

    async with Simulator(devices=3) as sim:
        variables = {"ENAPTER_HTTP_API_TOKEN": sim.token, "ENAPTER_HTTP_API_BASE_URL": sim.url}

        def count_finished() -> int:
            try:
                return int(query(postgres_url, finished)[0][0])
            except asyncpg.UndefinedTableError:
                return 0

        def stop(number: signal.Signals, parts: int) -> Ended:
            sim.faults.on("queryTimeseries", Fault.hang(100), nth=range(parts + 1, 1_000))
            process = begin(*arguments, postgres_url, **variables)
            deadline, before = time.monotonic() + 30, count_finished()
            while count_finished() < before + parts:
                assert process.poll() is None, end(process)
                assert time.monotonic() < deadline
                time.sleep(0.02)
            query(postgres_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                       " AND datname = current_database()")  # fmt: skip
            process.send_signal(number)
            ended = end(process)
            sim.faults.clear()
            return ended

        async def do(work: Callable[..., Any], *given: Any) -> Any:
            return await anyio.to_thread.run_sync(lambda: work(*given))

        await do(stop, signal.SIGKILL, 5)
        stopped = await do(stop, signal.SIGINT, 7)
        assert stopped.code == 130
        assert "repeat the command to resume" in stopped.stderr
        sim.faults.on("queryTimeseries", Fault.answer(403), nth=6)
        refused = await do(lambda: run(*arguments, postgres_url, **variables))
        sim.faults.clear()
        assert refused.code == 4
        done = await do(count_finished)
        assert 12 <= done < parts

        asked = len(sim.requests_of("queryTimeseries"))
        ended = await do(lambda: run(*arguments, postgres_url, **variables))
        assert ended.code == 0, ended.stderr
        assert "resuming the export from 2026-03-14T00:00:00Z to 2026-03-14T06:00:00Z" in ended.stderr
        assert len(sim.requests_of("queryTimeseries")) - asked == parts - done
        straight = await do(lambda: run(*arguments, postgres_url, "--schema", "whole", **variables))
    assert straight.code == 0, straight.stderr
    ((total,),) = await do(query, postgres_url, "SELECT count(*) FROM telemetry")
    assert f"{postgres_url}: {total:,} rows in " in ended.stdout
    for one, other in (("telemetry", "whole.telemetry"), ("whole.telemetry", "telemetry")):
        assert await do(query, postgres_url, f"SELECT * FROM {one} EXCEPT SELECT * FROM {other}") == []
    assert total > 1_000
    assert await do(query, postgres_url, "SELECT count(*) FROM telemetry_exports") == [(0,)]


@pytest.mark.parametrize(
    "target", [f"mysql://me:{SECRET}@host/db", f"postgres//me:{SECRET}@host/db", f"postgresql://me:{SECRET}@host:x/db"]
)
def test_a_password_in_what_is_no_address_is_not_shown_either(target: str) -> None:
    for command in ("collect", "export"):
        ended = run(command, "--to", target, ENAPTER_HTTP_API_TOKEN="t", ENAPTER_HTTP_API_BASE_URL="http://127.0.0.1:1")
        assert ended.code == 2
        assert SECRET not in ended.stdout + ended.stderr


@posix
def test_standard_output_holds_rows_only() -> None:
    ended = run("collect", "--simulate", "2", "--for", "3s", "--to", "-")
    assert ended.code == 0
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len({line["device_id"] for line in lines}) == 2
    assert "datapoints" in ended.stderr


@posix
def test_a_reader_that_leaves_ends_it_with_7() -> None:
    process = begin("collect", "--simulate", "2", "--to", "-", "--format", "influx")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("telemetry,device_id=")
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        said = process.stderr.read()
    assert process.wait(20) == 7
    assert said.strip().splitlines()[-1].endswith("standard output: the reader closed the pipe")
    assert "Traceback" not in said


@posix
def test_standard_output_that_is_closed_is_told() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, "collect", "--simulate", "1", "--for", "3s", "--to", "-"],
        env=environment(), stderr=subprocess.PIPE, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 7
    assert "enapter-async: standard output: is closed\n" in done.stderr
    assert "Traceback" not in done.stderr


@posix
def test_a_full_disk_below_standard_output_is_told() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "collect", "--simulate", "1", "--for", "9s", "--to", "-"],
            env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=30,
        )  # fmt: skip
    assert done.returncode == 7
    assert "No space left on device" in done.stderr.strip().splitlines()[-1]


@posix
def test_a_reader_that_has_stopped_reading_does_not_keep_it_from_ending() -> None:
    process = begin("collect", "--simulate", "200", "--attributes", "all", "--to", "-")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 7
    with process.stdout, process.stderr:
        assert "did not accept the last" in process.stderr.read().strip().splitlines()[-1]
