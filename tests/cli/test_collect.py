"""`enapter-async collect` as users run it: in a process of its own, against a simulator."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import time
from collections import defaultdict
from contextlib import closing
from datetime import datetime
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from commands import COMMAND, begin, check_clean, end, environment, figure, rows, run, wait_for_rows, watch_terminal

from enapter_async.simulator import Simulator
from tests.waiting import block_until, wait_until

pytestmark = pytest.mark.anyio


def check_integrity(path: Path) -> None:
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(
                "INSERT INTO telemetry SELECT device_id, attribute, time, value, text, unit FROM telemetry LIMIT 1"
            )
    finally:
        connection.close()


def simulators_of(process: subprocess.Popen[str]) -> list[int]:
    """Find the simulators that a command started."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False
    )
    return [int(line) for line in listed.stdout.split()]


def is_alive(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def list_gaps(path: Path) -> defaultdict[str, list[tuple[float, float]]]:
    """Read the journal: start and end of the gaps of each device, in Unix seconds."""
    found: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    with closing(sqlite3.connect(path)) as connection:
        for device, *span in connection.execute("SELECT device_id, start, before FROM telemetry_gaps"):
            start, before = (datetime.fromisoformat(moment).timestamp() for moment in span)
            found[device].append((start, before))
    return found


def test_each_datapoint_of_each_second_is_written_once(database: Path) -> None:
    ended = run("collect", "--simulate", "6", "--for", "2s", "--to", str(database))
    assert ended.code == 0
    check_clean(ended)
    check_integrity(database)
    written = rows(database)
    series: dict[tuple[str, str], list[int]] = {}
    for device, attribute, when, *_ in written:
        series.setdefault((device, attribute), []).append(int(datetime.fromisoformat(when).timestamp()))
    assert len({device for device, _ in series}) == 6
    # A machine that stands still misses polls: then the hole is filled from history, or still named in the journal.
    named = list_gaps(database)
    for (device, _), found in series.items():
        holes = sorted(set(range(found[0], found[-1])).difference(found))
        assert len(found) == len(set(found)), "no second twice"
        assert [hole for hole in holes if not any(start <= hole < before for start, before in named[device])] == []
    assert all(isinstance(value, float) for *_, value, _ in written)
    assert {unit for *_, unit in written} >= {"W", "V", "°C"}
    for _, _, when, _, _ in written:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", when)
        assert abs(datetime.fromisoformat(when).timestamp() - time.time()) < 30
    assert figure(ended, "devices") == 6
    assert figure(ended, "datapoints") == len(written)
    assert figure(ended, "attributes") >= len(series)
    for nothing in ("429 responses", "errors"):
        assert figure(ended, nothing) == 0


def test_a_server_that_limits_and_fails_costs_no_duplicate_and_no_traceback(database: Path) -> None:
    ended = run(
        *("collect", "--simulate", "60", "--for", "3s", "--to", str(database)),
        *("--rate-limit", "5", "--fault-rate", "0.2", "--seed", "2"),
    )
    assert ended.code == 0
    check_clean(ended)
    check_integrity(database)
    assert figure(ended, "datapoints") == len(rows(database)) > 0
    assert figure(ended, "errors") > 0


def newest_of(path: Path) -> float:
    """Return the newest time in a database, in Unix seconds."""
    return max(datetime.fromisoformat(when).timestamp() for _, _, when, *_ in rows(path))


def test_a_file_is_continued(database: Path) -> None:
    first = run("collect", "--simulate", "2", "--for", "3s", "--to", str(database))
    before = rows(database)
    second = run("collect", "--simulate", "2", "--for", "3s", "--to", str(database), "--quiet")
    assert (first.code, second.code) == (0, 0)
    check_clean(second)
    assert "datapoints" not in second.stderr  # asyncio's debug mode may say that a step was slow
    assert len(rows(database)) == len(before) + figure(second, "datapoints")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_properly(database: Path, number: signal.Signals) -> None:
    process = begin("collect", "--simulate", "3", "--to", str(database))
    wait_for_rows(database, process)
    (simulator,) = simulators_of(process)
    process.send_signal(number)
    ended = end(process)
    assert ended.code == 0
    check_clean(ended)
    check_integrity(database)
    assert not is_alive(simulator)
    assert figure(ended, "datapoints") == len(rows(database))
    assert not Path(f"{database}-wal").exists()


def test_a_signal_before_it_has_begun_ends_it_at_once(database: Path) -> None:
    process = begin("collect", "--simulate", "3", "--latency-ms", "20000", "--to", str(database))
    assert process.stderr is not None
    while not process.stderr.readline().startswith("simulator: "):  # before it, asyncio may tell of slow steps
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    ended = end(process)
    assert ended.code == 130
    assert ended.error == "enapter-async: stopped at once; everything written so far is kept"
    assert not database.exists()


def test_a_kill_leaves_a_readable_database_and_no_simulator(database: Path) -> None:
    process = begin("collect", "--simulate", "3", "--to", str(database))
    wait_for_rows(database, process)
    (simulator,) = simulators_of(process)
    process.kill()
    end(process)
    check_integrity(database)
    assert len(rows(database)) > 0
    block_until(lambda: not is_alive(simulator))


async def test_an_api_that_restarts_is_survived(database: Path) -> None:
    async with Simulator(devices=3) as sim:
        process = begin(
            *("collect", "--to", str(database)),
            ENAPTER_HTTP_API_TOKEN=sim.token,
            ENAPTER_HTTP_API_BASE_URL=sim.url,
        )
        await anyio.to_thread.run_sync(wait_for_rows, database, process)
        await sim.stop()
        assert process.stderr is not None
        with anyio.fail_after(20):
            while "WARNING" not in await anyio.to_thread.run_sync(process.stderr.readline):
                pass  # the start is told before
        again = time.time()
        await sim.start()
        await wait_until(lambda: newest_of(database) >= int(again))
        process.send_signal(signal.SIGTERM)
        ended = await anyio.to_thread.run_sync(end, process)
    assert ended.code == 0
    check_clean(ended)
    check_integrity(database)
    assert figure(ended, "errors") > 0
    assert newest_of(database) > again - 1  # times are whole seconds


async def test_a_token_that_is_refused_later_ends_it_with_what_there_is(database: Path) -> None:
    async with Simulator(devices=3) as sim:
        process = begin(
            "collect",
            *("--to", str(database)),
            ENAPTER_HTTP_API_TOKEN=sim.token,
            ENAPTER_HTTP_API_BASE_URL=sim.url,
        )
        await anyio.to_thread.run_sync(wait_for_rows, database, process)
        sim.grants[sim.token].expired = True
        ended = await anyio.to_thread.run_sync(end, process)
    assert ended.code == 4
    assert ended.error.startswith("enapter-async: telemetry.latest")
    assert "check ENAPTER_HTTP_API_TOKEN with `enapter-async doctor`" in ended.error
    assert figure(ended, "datapoints") == len(rows(database))
    check_clean(ended)


def test_a_disk_that_is_full_ends_it_with_what_was_written(database: Path) -> None:
    script = (
        "import sys, resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000));"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "sys.argv[0] = 'enapter-async'; from enapter_async.cli import main; main()"
    )
    process = subprocess.Popen(
        [COMMAND[0], "-c", script, "collect", "--simulate", "60", "--to", str(database)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    ended = end(process)
    assert ended.code == 7
    assert "cannot be written" in ended.error
    check_clean(ended)
    check_integrity(database)
    assert figure(ended, "datapoints") == len(rows(database))


def test_progress_on_a_terminal_is_live(database: Path) -> None:
    shown = watch_terminal("collect", "--simulate", "3", "--for", "3s", "--to", str(database))
    lines = shown.replace("\r", "").splitlines()
    for text in ("collecting, 0:00:00", "devices", "datapoints/s", "in flight", "429s", "errors", "missed ticks"):
        assert any(line.startswith(text) for line in lines)
