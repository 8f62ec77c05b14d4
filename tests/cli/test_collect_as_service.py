"""`collect` run by others: options from the environment, systemd, metrics, and a share of the devices."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from commands import begin, end, rows, run, wait_for_rows

from enapter_async.cli.collect.command import collect
from enapter_async.cli.collect.service import Progress, parse_address
from enapter_async.collector import CollectorStatistics
from tests.ports import find_free_port
from tests.waiting import block_until

SIMULATED = ("collect", "--simulate", "4", "--interval", "500ms")


# -- the environment ---------------------------------------------------------------------------------------

OPTIONS = [one for one in collect.params if isinstance(one, click.Option) and one.name != "help"]
VALUES = {
    "--to": ("t.csv", "t.csv"),
    "--format": ("csv", "csv"),
    "--schema": ("plant", "plant"),
    "--device": ("d1 d2", ("d1", "d2")),
    "--attribute": ("power status", ("power", "status")),
    "--attributes": ("all", "all"),
    "--site": ("s1", "s1"),
    "--interval": ("2s", 2.0),
    "--for": ("1m", 60.0),
    "--repair": ("false", False),
    "--fill-gap": ("1", True),
    "--wait": ("no", False),
    "--requests-per-second": ("2.5", 2.5),
    "--redis": ("redis://r/0", "redis://r/0"),
    "--serve": ("9464", "9464"),
    "--log-format": ("json", "json"),
    "--quiet": ("true", True),
    "--simulate": ("5", 5),
    "--rate-limit": ("7", 7.0),
    "--fault-rate": ("0.5", 0.5),
    "--latency-ms": ("3", 3.0),
    "--seed": ("9", 9),
    "--mode": ("cloud", "cloud"),
}


def long_name(option: click.Option) -> str:
    return next(name for name in option.opts if name.startswith("--"))


@pytest.mark.parametrize("option", OPTIONS, ids=long_name)
def test_every_option_comes_from_the_environment(option: click.Option, monkeypatch: pytest.MonkeyPatch) -> None:
    name = long_name(option)
    variable = "ENAPTER_COLLECT_" + name.removeprefix("--").replace("-", "_").upper()
    if name == "--profile":
        assert run("collect", ENAPTER_COLLECT_PROFILE="nowhere").code == 3
        return
    if name == "--shard":
        monkeypatch.setenv(variable, "2/5")
        assert str(collect.make_context("collect", []).params["shard"]) == "2/5"
        return
    text, value = VALUES[name]
    monkeypatch.setenv(variable, text)
    context = collect.make_context("collect", [])
    assert option.name is not None
    assert context.params[option.name] == value


def test_an_option_of_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENAPTER_COLLECT_INTERVAL", "2s")
    assert collect.make_context("collect", ["--interval", "3s"]).params["interval"] == 3.0


def test_an_invalid_value_of_the_environment_is_refused() -> None:
    ended = run("collect", ENAPTER_COLLECT_SHARD="6/5")
    assert ended.code == 2
    assert "--shard" in ended.error


# -- systemd -----------------------------------------------------------------------------------------------


class Manager:
    """The socket of a service manager, and what it was told."""

    def __init__(self, server: socket.socket, address: str) -> None:
        self._server = server
        self.address = address
        self.told: list[str] = []

    def wait_for(self, start: str, seconds: float = 30.0) -> str:
        """Read messages until one begins with a text."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                message = self._server.recv(4096).decode()
            except TimeoutError:
                continue
            self.told.append(message)
            if message.startswith(start):
                return message
        raise AssertionError(f"no {start} within {seconds} s: {self.told}")


@pytest.fixture
def manager() -> Iterator[Manager]:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        address = str(Path(folder) / "notify")
        server.bind(address)
        server.settimeout(0.2)
        yield Manager(server, address)


def test_systemd_hears_of_the_start_of_life_of_a_reload_and_of_the_end(tmp_path: Path, manager: Manager) -> None:
    output = tmp_path / "telemetry.csv"
    process = begin(*SIMULATED, "--to", str(output), NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="400000")
    try:
        manager.wait_for("READY=1")
        manager.wait_for("STATUS=4 devices")
        for _ in range(3):
            manager.wait_for("WATCHDOG=1")
        block_until(lambda: output.exists() and output.read_text().count("\n") >= 2)
        output.rename(tmp_path / "telemetry.csv.1")
        process.send_signal(1)
        assert "MONOTONIC_USEC=" in manager.wait_for("RELOADING=1")
        manager.wait_for("READY=1")
        assert output.exists(), "a service that has reloaded has opened its output again"
        process.terminate()
        manager.wait_for("STOPPING=1")
        ended = end(process)
    finally:
        process.kill()
    assert ended.code == 0, ended.stderr
    assert sum(one == "STOPPING=1" for one in manager.told) == 1


def test_a_manager_that_was_busy_hears_of_the_start(tmp_path: Path, manager: Manager) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as others:
        others.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                others.sendto(b"STATUS=busy", manager.address)
    output = tmp_path / "t.csv"
    process = begin(*SIMULATED, "--to", str(output), NOTIFY_SOCKET=manager.address)
    try:
        block_until(lambda: output.exists() and output.read_text().count("\n") >= 2)
        manager.wait_for("READY=1")
    finally:
        process.kill()
        process.communicate()


def test_a_collector_that_waits_for_its_api_says_so_and_lives(tmp_path: Path, manager: Manager) -> None:
    process = begin(
        "collect", "--wait", "--to", str(tmp_path / "t.csv"), NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="400000",
        ENAPTER_HTTP_API_TOKEN="t", ENAPTER_HTTP_API_BASE_URL="http://127.0.0.1:9",
    )  # fmt: skip
    try:
        manager.wait_for("STATUS=waiting for the API and the store")
        for _ in range(3):
            manager.wait_for("WATCHDOG=1")
        process.send_signal(1)  # nothing is open yet, and nothing ends
        manager.wait_for("RELOADING=1")
        manager.wait_for("READY=1")
        process.terminate()
        manager.wait_for("STOPPING=1")
        assert end(process).code == 143
    finally:
        process.kill()


def statistics(ticks: int, waiting: int = 0) -> CollectorStatistics:
    found = CollectorStatistics(waiting=waiting)
    found.polls.ticks = ticks
    return found


def test_the_watchdog_hears_nothing_from_a_collector_that_has_stopped_polling() -> None:
    now = 0.0
    progress = Progress(1.0, lambda: now)
    now = 3_600.0
    assert progress.is_made(statistics(0)), "waiting for the API"
    assert progress.is_made(statistics(5))
    now += 9
    assert progress.is_made(statistics(5))
    now += 2
    assert not progress.is_made(statistics(5))
    assert progress.is_made(statistics(5, waiting=200_000)), "waiting for the store"
    now += 3_600
    assert progress.is_made(statistics(6))


def test_a_long_interval_is_no_lack_of_progress() -> None:
    now = 0.0
    progress = Progress(60.0, lambda: now)
    assert progress.is_made(statistics(1))
    now = 179.0
    assert progress.is_made(statistics(1))


# -- metrics -----------------------------------------------------------------------------------------------


def test_a_port_in_use_costs_the_metrics_only_and_is_tried_again(database: Path) -> None:
    pytest.importorskip("prometheus_client", reason="the extra `prometheus` is not installed")
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        port = occupied.getsockname()[1]
        process = begin(*SIMULATED, "--to", str(database), "--serve", f":{port}")
        try:
            wait_for_rows(database, process)
        except BaseException:
            process.kill()
            raise
    try:
        text = ""
        deadline = time.monotonic() + 30
        while not text and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                    text = answer.read().decode()
            except OSError:
                time.sleep(0.1)
        process.terminate()
        ended = end(process)
    finally:
        process.kill()
    assert "enapter_telemetry{" in text
    assert ended.code == 0
    assert ended.stderr.count(f"cannot serve metrics at 127.0.0.1:{port}: Address already in use; trying again") == 1


def test_health_is_served_while_the_api_is_away(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client", reason="the extra `prometheus` is not installed")
    port = find_free_port()
    process = begin(
        "collect", "--wait", "--to", str(tmp_path / "t.csv"), "--serve", str(port),
        ENAPTER_HTTP_API_TOKEN="t", ENAPTER_HTTP_API_BASE_URL="http://127.0.0.1:9",
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                    assert answer.read() == b"ok\n"
                    break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        process.terminate()
        end(process)
    finally:
        process.kill()


# -- a share of the devices --------------------------------------------------------------------------------


def test_a_shard_without_devices_waits_for_some(tmp_path: Path) -> None:
    process = begin("collect", "--simulate", "1", "--to", str(tmp_path / "t.csv"), "--shard", "2/9", "--wait")
    try:
        deadline = time.monotonic() + 20
        assert process.stderr is not None
        line = ""
        while "none of the 1 devices belongs to shard 2/9; trying again" not in line:
            assert time.monotonic() < deadline
            line = process.stderr.readline()
        assert process.poll() is None
        process.terminate()
        assert end(process).code == 143
    finally:
        process.kill()


def test_without_waiting_a_shard_without_devices_ends(tmp_path: Path) -> None:
    ended = run("collect", "--simulate", "1", "--to", str(tmp_path / "t.csv"), "--shard", "2/9", "--no-wait")
    assert ended.code == 5
    assert "none of the 1 devices belongs to shard 2/9" in ended.stderr


def test_shards_share_the_devices(tmp_path: Path) -> None:
    found: list[set[str]] = []
    for shard in ("1/2", "2/2"):
        path = tmp_path / f"{shard[0]}.sqlite"
        ended = run(*SIMULATED, "--for", "3s", "--to", str(path), "--shard", shard)
        assert ended.code == 0, ended.stderr
        found.append({row[0] for row in rows(path)})
    assert all(found)
    assert not found[0] & found[1]
    assert len(found[0] | found[1]) == 4


# -- the files of docs/how-to/run-as-a-service.md ----------------------------------------------------------

EXAMPLES = Path(__file__).parents[2] / "examples"
UNIT = EXAMPLES / "enapter-collect.service"


def test_the_command_of_the_unit_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in read_unit_environment().items():
        monkeypatch.setenv(name, value)
    (line,) = [one for one in UNIT.read_text().splitlines() if one.startswith("ExecStart=")]
    _, command, *arguments = line.removeprefix("ExecStart=").split()
    assert command == "collect"
    options = collect.make_context("collect", list(arguments)).params
    assert (options["to"], options["serve"]) == ("telemetry.sqlite", "127.0.0.1:9464")
    # The environment file comes later and wins: it can name a database, which an argument would overrule.
    monkeypatch.setenv("ENAPTER_COLLECT_TO", "postgresql://collector@db/plant")
    assert collect.make_context("collect", list(arguments)).params["to"] == "postgresql://collector@db/plant"


def read_unit_environment() -> dict[str, str]:
    lines = [line for line in UNIT.read_text().splitlines() if line.startswith("Environment")]
    assert lines[-1].startswith("EnvironmentFile=")
    return dict(line.removeprefix("Environment=").split("=", 1) for line in lines[:-1])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/enapter-async/bin/enapter-async", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    told = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert not told


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian's prometheus)")
def test_prometheus_understands_the_alert_rules() -> None:
    done = subprocess.run(
        ["promtool", "check", "rules", str(EXAMPLES / "enapter-alerts.yml")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "SUCCESS: 6 rules found" in done.stdout


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian's prometheus)")
@pytest.mark.parametrize(
    ("committed", "fires"),
    [("NaN " * 31, True), ("0x30", True), ("0+60x30", False)],
    ids=["never", "at the start only", "all the time"],
)
def test_an_alert_tells_of_a_collector_that_commits_nothing(tmp_path: Path, committed: str, fires: bool) -> None:
    summary = "a has committed nothing for five minutes"
    alert = {"exp_labels": {"severity": "critical", "instance": "a"}, "exp_annotations": {"summary": summary}}
    test = {
        "rule_files": [str((EXAMPLES / "enapter-alerts.yml").resolve())],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": 'enapter_collector_devices{instance="a"}', "values": "4x30"},
                    {
                        "series": 'enapter_collector_last_commit_timestamp_seconds{instance="a"}',
                        "values": committed,
                    },
                ],
                "alert_rule_test": [
                    {"eval_time": "25m", "alertname": "EnapterNothingCommitted", "exp_alerts": [alert] * fires},
                ],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(json.dumps(test))
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian's prometheus)")
def test_prometheus_understands_the_configuration_of_the_page(tmp_path: Path) -> None:
    page = (EXAMPLES.parent / "docs" / "how-to" / "run-as-a-service.md").read_text()
    (configuration,) = [block.partition("```")[0] for block in page.split("```yaml\n") if "scrape_configs" in block]
    (tmp_path / "prometheus.yml").write_text(configuration)
    shutil.copy(EXAMPLES / "enapter-alerts.yml", tmp_path)
    done = subprocess.run(
        ["promtool", "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "SUCCESS: 1 rule files found" in done.stdout


def test_the_number_of_a_pod_becomes_its_shard() -> None:
    page = (EXAMPLES.parent / "docs" / "how-to" / "run-as-a-service.md").read_text()
    (line,) = [one for one in page.splitlines() if "exec enapter-async collect --shard" in one]
    script = line.strip().removeprefix("- exec enapter-async collect ")
    done = subprocess.run(
        ["sh", "-c", f"echo {script}"],
        capture_output=True, text=True, timeout=10, check=True, env={"HOSTNAME": "my-collector-3", "SHARDS": "5"},
    )  # fmt: skip
    assert done.stdout == "--shard 4/5\n"


def test_the_page_names_every_metric() -> None:
    pytest.importorskip("prometheus_client", reason="the extra `prometheus` is not installed")
    from enapter_async import Load
    from enapter_async.integrations.prometheus import render_metrics

    page = (EXAMPLES.parent / "docs" / "how-to" / "run-as-a-service.md").read_text()
    lines = render_metrics(CollectorStatistics(), Load(0, 0, None, 0.0), []).decode().splitlines()
    prefix = "enapter_collector_"
    names = [line.split()[0].removeprefix(prefix) for line in lines if line.startswith(prefix)]
    assert len(names) > 20
    assert [name for name in names if f"`{name}`" not in page] == []


# -- addresses and log lines -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9464", ("127.0.0.1", 9464)),
        (":9464", ("127.0.0.1", 9464)),
        (" 0.0.0.0:9464\n", ("0.0.0.0", 9464)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:9464", ("::1", 9464)),
        ("::1:9464", ("::1", 9464)),
        ("[fe80::1%eth0]:1", ("fe80::1%eth0", 1)),
    ],
)
def test_an_address_to_serve_at(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "::1",
        "[::1]",
        "[::1:9464",
        "::1]:9464",
        "[]:9464",
        "[localhost]:9464",
        "h:1:9464",
        "http://h:9464",
        "h:9464/metrics",
        "h:65536",
        "٣",
        "9" * 5_000,
    ],
)
def test_an_invalid_address_to_serve_at_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is not an address such as 127\.0\.0\.1:9464"):
        parse_address(text)


def test_warnings_of_the_package_are_lines_of_the_log(tmp_path: Path) -> None:
    pytest.importorskip("throttled", reason="the extra `redis` is not installed")
    ended = run(
        "collect", "--simulate", "1", "--for", "3s", "--log-format", "json", "--to", str(tmp_path / "t.sqlite"),
        "--redis", f"redis://:secret@127.0.0.1:{find_free_port()}/0", "--requests-per-second", "50",
    )  # fmt: skip
    assert ended.code == 0
    told = [json.loads(line) for line in ended.stderr.splitlines()]
    (line,) = [line for line in told if "the shared rate limit" in line["message"]]
    assert line["level"] == "warning"
    assert "secret" not in ended.stderr
