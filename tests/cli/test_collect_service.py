"""`enapter-async collect` as a service: rotated outputs, a log that nobody reads, JSON lines, waiting at the start."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from commands import COMMAND, begin, end, environment, rows, wait_for_rows

from tests.waiting import block_until


def count(path: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            found: int = connection.execute("SELECT count(*) FROM telemetry").fetchone()[0]
            return found
    except sqlite3.Error:
        return 0


@pytest.mark.parametrize("how", ["remove", "rename", "truncate"])
def test_a_database_that_is_taken_away_is_opened_again(database: Path, how: str) -> None:
    process = begin("collect", "--simulate", "2", "--to", str(database))
    try:
        wait_for_rows(database, process)
        if how == "remove":
            for path in database.parent.glob(database.name + "*"):
                path.unlink()
        elif how == "rename":
            database.rename(database.with_suffix(".old"))
        else:
            database.write_bytes(b"")
        block_until(lambda: count(database) > 0)
        process.send_signal(signal.SIGTERM)
        assert end(process).code == 0
    finally:
        process.kill()
        process.communicate()


def test_sighup_opens_lines_again(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    process = begin("collect", "--simulate", "2", "--to", str(path))
    try:
        block_until(lambda: path.exists() and path.stat().st_size > 0)
        path.rename(tmp_path / "t.jsonl.1")
        process.send_signal(signal.SIGHUP)
        block_until(lambda: path.exists() and path.stat().st_size > 0)
        process.send_signal(signal.SIGTERM)
        assert end(process).code == 0
    finally:
        process.kill()
        process.communicate()


def test_a_reader_of_the_log_that_leaves_ends_nothing(database: Path) -> None:
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [*COMMAND, "collect", "--simulate", "2", "--fault-rate", "0.5", "--for", "4s", "--to", str(database)],
        stdout=writer,
        stderr=writer,
        stdin=subprocess.DEVNULL,
        env=environment(),
    )
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)
    assert process.wait(40) == 0
    assert rows(database)


def test_a_log_in_json(database: Path) -> None:
    process = begin("collect", "--log-format", "json", "--no-repair", "--simulate", "2", "--to", str(database))
    wait_for_rows(database, process)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(0.2)
        other.execute("COMMIT")
    process.send_signal(signal.SIGTERM)
    ended = end(process)
    assert ended.code == 0
    for line in ended.stderr.splitlines():
        assert {"time", "level", "message"} <= json.loads(line).keys()


def test_an_api_that_is_not_there_is_waited_for(database: Path) -> None:
    process = begin(
        "collect",
        "--to",
        str(database),
        ENAPTER_HTTP_API_TOKEN="secret",
        ENAPTER_HTTP_API_BASE_URL="http://127.0.0.1:1",
    )
    assert process.stderr is not None
    while (line := process.stderr.readline()).startswith("Executing <"):  # asyncio tells of slow steps
        pass
    assert "devices: devices.list" in line
    assert "trying again" in line
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert end(process).code in (-signal.SIGTERM, 143)
    assert not database.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "t.csv", "--format", "influx"], "--format: influx works only with standard output"),
        (["--to", "-", "--format", "csv"], "--format: must be one of influx, jsonl"),
        (["--to", "postgresql://db", "--format", "csv"], "--format: csv does not work with postgresql://db"),
        (["--to", "t.sqlite", "--schema", "plant"], "--schema: works only with PostgreSQL"),
    ],
)
def test_options_that_do_not_fit_together_are_named_before_anything_starts(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    command = [*COMMAND, "collect", "--simulate", "2", *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert "simulator" not in done.stderr
    assert list(tmp_path.iterdir()) == []
