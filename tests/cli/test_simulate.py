"""`enapter-async simulate`, and the simulator that other commands start: what they print leads to a page that works."""

from __future__ import annotations

import re
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from commands import begin, end

from enapter_async.simulator import SimulatorControl

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
        if line.startswith("watch and change it: "):
            break
    simulator = SimulatorControl(line.removeprefix("watch and change it: ").strip())
    assert simulator.status().devices == 20
    assert simulator.wait_for_request("getLatestTelemetry", timeout=20).status == 200
    process.send_signal(signal.SIGINT)
    assert end(process).code in (0, 130)
