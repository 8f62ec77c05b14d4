"""`enapter-async simulate`, and the simulator that other commands start: what they print leads to a page that works."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import click
import pytest
from commands import begin, end, run
from served import invoke

from enapter_async.cli.simulate import simulate
from enapter_async.simulator import SimulatorControl
from enapter_async.simulator.__main__ import main

LISTENING = re.compile(r"listening on (http://127\.0\.0\.1:\d+) token=(\S+)\n")
CONTROL = re.compile(r"control at (http://127\.0\.0\.1:\d+/_simulator/#token=[\w-]+)\n")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_simulate_prints_its_addresses(tmp_path: Path) -> None:
    process = begin("simulate", "--port", "0", "--devices", "3", "--control-token", "chosen")
    assert process.stdout is not None
    listening = LISTENING.fullmatch(process.stdout.readline())
    control = CONTROL.fullmatch(process.stdout.readline())
    assert listening is not None
    assert control is not None
    assert control[1].endswith("#token=chosen")
    simulator = SimulatorControl(control[1])
    assert (simulator.url, simulator.token) == listening.groups()
    assert simulator.status().devices == 3
    process.send_signal(signal.SIGTERM)
    ended = end(process)
    assert (ended.code, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_simulate_without_control_has_one_line_and_no_page() -> None:
    process = begin("simulate", "--port", "0", "--no-control")
    assert process.stdout is not None
    listening = LISTENING.fullmatch(process.stdout.readline())
    assert listening is not None
    with pytest.raises(urllib.error.HTTPError, match="404") as refused:
        urllib.request.urlopen(f"{listening[1]}/_simulator/", timeout=10)
    refused.value.close()
    process.send_signal(signal.SIGTERM)
    ended = end(process)
    assert (ended.code, ended.stdout) == (0, "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_collect_prints_the_address_of_the_page(tmp_path: Path) -> None:
    process = begin("collect", "--simulate", "20", "--to", str(tmp_path / "t.sqlite"))
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("control page: "):
            break
    simulator = SimulatorControl(line.removeprefix("control page: ").strip())
    assert simulator.status().devices == 20
    assert simulator.wait_for_request("getLatestTelemetry", timeout=20).status == 200
    process.send_signal(signal.SIGINT)
    assert end(process).code in (0, 130)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--host", "host must not be empty"),
        ("--token", "token must not be empty"),
        ("--cert", "cert must not be empty"),
        ("--key", "key must not be empty"),
        ("--control-token", "control_token must not be empty"),
        ("--control-host", "control_hosts must not contain an empty name"),
    ],
)
@pytest.mark.parametrize("empty", ["", "  "])
def test_simulate_refuses_empty_options(
    option: str, message: str, empty: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = invoke("simulate", "--port", "0", option, empty)
    assert (result.exit_code, result.stderr) == (3, f"enapter-async: {message}\n")
    with pytest.raises(SystemExit) as ended:
        main(["--port", "0", option, empty])
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"python -m enapter_async.simulator: {message}\n"


@pytest.mark.parametrize("module", ["command", "module"])
def test_a_port_in_use_is_named_with_the_way_out(module: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        if module == "command":
            error = run("simulate", "--port", str(port)).stderr
        else:
            command = [sys.executable, "-m", "enapter_async.simulator", "--port", str(port)]
            error = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stderr
    assert f"port {port} on 127.0.0.1 is in use; choose another with --port" in error
    assert "Errno" not in error


def test_an_address_of_another_machine_is_named_with_the_way_out() -> None:
    ended = run("simulate", "--host", "192.0.2.1", "--port", "0")
    assert "cannot listen on 192.0.2.1, port 0: " in ended.error
    assert ended.error.endswith("; choose another address with --host")


def test_every_option_of_simulate_has_a_help_text() -> None:
    options = [parameter for parameter in simulate.params if isinstance(parameter, click.Option)]
    assert [option.name for option in options if option.hidden or not option.help] == []
