"""Bad input and bad luck: one line on stderr, an exit code by kind, nothing left behind."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import anyio.to_thread
import pytest
from click.testing import CliRunner, Result
from commands import environment

from enapter_async.cli.application import application
from enapter_async.simulator import Simulator

pytestmark = pytest.mark.anyio


def invoke(*arguments: str, **variables: str | None) -> Result:
    nothing = dict.fromkeys(("ENAPTER_HTTP_API_TOKEN", "ENAPTER_HTTP_API_BASE_URL", "ENAPTER_HTTP_API_USER"))
    return CliRunner().invoke(application, list(arguments), prog_name="enapter-async", env={**nothing, **variables})


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["bogus"], 2, "No such command 'bogus'"),
        (["device", "list"], 2, "No such command 'device'. Did you mean 'devices'? (see enapter-async --help)"),
        (["Exprt"], 2, "Did you mean 'export'?"),
        (["devices", "lst"], 2, "No such command 'lst'. Did you mean 'list'? (see enapter-async devices --help)"),
        (["collect", "--bogus"], 2, "No such option"),
        (["collect", "--for", "3 fortnights"], 2, "'3 fortnights' is not a duration"),
        (["collect", "--interval", "1ms"], 2, "'1ms' is too short; the minimum is 0.1 s"),
        (["collect", "--simulate", "0"], 2, "--simulate"),
        (["collect", "--simulate", "1", "--fault-rate", "2"], 2, "--fault-rate"),
        (["collect", "--simulate", "1", "--rate-limit", "0"], 2, "--rate-limit"),
        (["collect", "--fault-rate", "0.5"], 2, "--fault-rate is for the simulator: add --simulate N"),
        (["collect", "--to", "telemetry.txt"], 2, "telemetry.txt must end in .db, .sqlite, .sqlite3"),
        (["collect"], 3, "ENAPTER_HTTP_API_TOKEN is not set"),
        (["simulate", "--port", "70000"], 2, "--port"),
        (["simulate", "--mode", "moon"], 2, "--mode"),
    ],
)
def test_wrong_usage(arguments: list[str], code: int, text: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == code
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("enapter-async: ")
    assert text in result.stderr


@pytest.mark.parametrize(
    ("token", "url", "code", "text"),
    [
        ("secret\nword", "http://127.0.0.1:1", 3, "token must be printable"),
        ("secret", "127.0.0.1", 3, "base_url must start with http"),
        ("secret", "http://127.0.0.1:1/?secret", 3, "base_url must not have a query"),
        ("secret", "http://127.0.0.1:1", 6, "devices.list (GET v3/devices): no connection to 127.0.0.1:1"),
    ],
)
def test_settings_that_cannot_work(tmp_path: Path, token: str, url: str, code: int, text: str) -> None:
    database = tmp_path / "telemetry.sqlite"
    result = invoke(
        "collect", "--no-wait", "--to", str(database), ENAPTER_HTTP_API_TOKEN=token, ENAPTER_HTTP_API_BASE_URL=url
    )
    assert result.exit_code == code
    assert text in result.stderr
    assert "secret" not in result.output
    assert len(result.stderr.splitlines()) == 1
    assert not database.exists()


@pytest.mark.parametrize(
    ("devices", "token", "code", "text"),
    [
        (3, "wrong", 4, "check ENAPTER_HTTP_API_TOKEN with `enapter-async doctor`"),
        (0, None, 5, "nothing to collect: the token cannot see any device"),
    ],
)
async def test_a_server_that_gives_nothing(
    tmp_path: Path, devices: int, token: str | None, code: int, text: str
) -> None:
    def command(sim: Simulator) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "enapter_async.cli", "collect", "--to", str(tmp_path / "t.sqlite")],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            env=environment(ENAPTER_HTTP_API_TOKEN=token or sim.token, ENAPTER_HTTP_API_BASE_URL=sim.url),
        )

    async with Simulator(devices=devices) as sim:
        ended = await anyio.to_thread.run_sync(command, sim)
    assert ended.returncode == code
    assert text in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("content", ["text", "table"])
def test_a_file_that_is_something_else_is_left_alone(tmp_path: Path, content: str) -> None:
    database = tmp_path / "telemetry.sqlite"
    if content == "text":
        database.write_text("dear diary, " * 100)
    else:
        connection = sqlite3.connect(database)
        connection.execute("CREATE TABLE telemetry (x)")
        connection.close()
    before = database.read_bytes() if content == "text" else None
    result = invoke("collect", "--simulate", "1", "--for", "3s", "--to", str(database))
    assert result.exit_code == 7
    assert str(database) in result.stderr
    assert before is None or database.read_bytes() == before


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    result = invoke("collect", "--simulate", "1", "--for", "3s", "--to", str(tmp_path / "no" / "t.sqlite"))
    assert result.exit_code == 7
    assert "cannot be opened" in result.stderr


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = invoke("simulate", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 3
    assert "is in use; choose another with --port" in result.stderr


def test_without_the_extra_it_says_what_to_install() -> None:
    script = "import sys; sys.modules['rich_click'] = None; from enapter_async.cli import main; main()"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=20)
    assert ended.returncode == 1
    assert ended.stderr == "enapter-async needs its extra 'cli': python -m pip install 'enapter-async[cli]'\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["-h"],
        ["collect", "-h"],
        ["devices", "list", "-h"],
        ["collect", "--help"],
        ["simulate", "--help"],
        ["--version"],
    ],
)
def test_help(arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 0
    assert "enapter-async" in result.output
