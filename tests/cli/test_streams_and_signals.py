"""Standard streams that are closed or nobody reads, signals in a container, and colors that were forced."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import COMMAND, Ended, begin, end, environment
from served import Served, served

from enapter_async.simulator import Fault
from tests.waiting import block_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and shells")


@pytest.fixture(scope="module")
def world() -> Iterator[Served]:
    with served(devices=8) as world:
        yield world


@pytest.fixture
def variables(world: Served) -> dict[str, str]:
    return {"ENAPTER_HTTP_API_TOKEN": world.simulator.token, "ENAPTER_HTTP_API_BASE_URL": world.simulator.url}


def shell(script: str, *arguments: str, **variables: str) -> Ended:
    """Run the command in a shell, where `"$@"` stands for it."""
    return end(
        subprocess.Popen(
            ["/bin/bash", "-c", script, "bash", *COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**variables),
        )
    )


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "<&- >&- 2>&-", "2>&-"])
def test_a_command_runs_with_closed_streams(closed: str, world: Served, variables: dict[str, str]) -> None:
    run = ("commands", "run", world.ids["device"], "enable", "--yes")
    assert shell(f'"$@" {closed}', *run, **variables).code == 0


def test_a_question_without_standard_input(world: Served, variables: dict[str, str]) -> None:
    ended = shell('"$@" <&-', "commands", "run", world.ids["device"], "enable", **variables)
    assert ended.code == 2
    assert "Cannot ask for confirmation without a terminal" in ended.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("lost", ["2>/dev/full", "2> >(true)"])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("devices list", 0),
        ("export --device battery-1 --to {file}", 0),
        ("devices get nothing", 5),
        ("devices nothing", 2),
    ],
)
def test_messages_that_cannot_be_written_change_no_exit_code(
    command: str, code: int, lost: str, variables: dict[str, str], tmp_path: Path
) -> None:
    arguments = command.format(file=tmp_path / "rows.csv").split()
    assert shell(f'"$@" {lost}', *arguments, **variables).code == code


def test_a_simulator_goes_on_when_the_reader_of_its_first_line_has_left() -> None:
    script = """
        exec 3< <(exec "$@"); simulator=$!
        read -r _ _ url _ <&3; exec 3<&-
        for _ in 1 2 3; do (exec 4<>"/dev/tcp/127.0.0.1/${url##*:}") || exit 1; sleep 0.1; done
        kill "$simulator"; wait "$simulator"
    """
    ended = shell(script, "simulate", "--port", "0", PYTHONUNBUFFERED="1")
    assert (ended.code, ended.stderr) == (0, "")


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_a_reader_that_has_enough_is_no_failure(form: str, variables: dict[str, str]) -> None:
    arguments = ("api", "GET", "v3/devices", "--paginate") if form == "json" else ("devices", "list", "--output", form)
    ended = shell('set -o pipefail; "$@" | true', *arguments, **variables)
    assert (ended.code, ended.stderr) == (0, "")


def test_a_failed_command_is_one_also_without_a_reader(world: Served, variables: dict[str, str]) -> None:
    run = ("commands", "run", world.ids["device"], "set_power_limit", "limit_kw=-1", "--yes")
    ended = shell('set -o pipefail; "$@" | true', *run, **variables)
    assert ended.code == 1, ended.stderr


@pytest.mark.parametrize(
    "command",
    ["devices list", "export --to {file}", "collect --to {file}", "plot battery-1 soc", "api GET v3/devices"],
)
def test_sigterm_ends_it_like_ctrl_c_before_the_first_answer(
    command: str, world: Served, variables: dict[str, str], tmp_path: Path
) -> None:
    before = len(world.requests)
    world.simulator.faults.on(None, Fault.hang(100), method="GET", nth=None)
    try:
        process = begin(*command.format(file=tmp_path / "rows.csv").split(), **variables)
        block_until(lambda: len(world.requests) > before)
        process.send_signal(signal.SIGTERM)
        ended = end(process)
    finally:
        world.simulator.faults.clear()
    assert ended.code == 143
    assert ended.stderr.startswith("enapter-async: stopped")
    assert len(ended.stderr.splitlines()) == 1


def test_forced_colors_make_no_terminal_of_a_file(variables: dict[str, str]) -> None:
    ended = shell('"$@" | cat', "devices", "list", FORCE_COLOR="1", COLUMNS="40", **variables)
    devices = shell('"$@" | cat', "devices", "list", "--output", "jsonl", **variables)
    assert len(ended.stdout.splitlines()) == 1 + len(devices.stdout.splitlines())


@pytest.mark.parametrize("command", ["collect --for 1s", "export --device battery-1"])
def test_forced_colors_draw_no_moving_panel_into_a_log(command: str, variables: dict[str, str], tmp_path: Path) -> None:
    arguments = [*command.split(), "--to", str(tmp_path / "rows.csv")]
    ended = shell('"$@" 2>&1 | cat', *arguments, FORCE_COLOR="1", COLUMNS="80", **variables)
    assert ended.code == 0, ended.stdout
    assert "\x1b[1A" not in ended.stdout  # up by a line
    assert "\x1b[2K" not in ended.stdout  # clear the line
