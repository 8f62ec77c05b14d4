"""`OTEL_*` variables make a command export its spans and metrics."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from answering import Answering, answering

pytest.importorskip("opentelemetry.distro", reason="opentelemetry-distro is not installed")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the OTLP exporter is not installed")

SITES = {"sites": [{"id": "S1", "name": "Plant"}], "total_count": 1}
ANSWERS = {"/v3/sites": SITES, "/v1/traces": b"", "/v1/metrics": b"", "/v1/logs": b""}
ABSENT = "import sys; sys.modules['opentelemetry.distro'] = None; "
MAIN = "import enapter_async.cli; enapter_async.cli.main()"


def begin_listing(server: Answering, *, prelude: str = "", **variables: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ENAPTER_", "OTEL_"))}
    environment |= {"ENAPTER_HTTP_API_TOKEN": "t0ken-nobody-may-see", "ENAPTER_HTTP_API_BASE_URL": server.url}
    return subprocess.Popen(
        [sys.executable, "-c", prelude + MAIN, "sites", "list", "--output", "jsonl"],
        env={**environment, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def list_sites(server: Answering, *, prelude: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    process = begin_listing(server, prelude=prelude, **variables)
    stdout, stderr = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def exported(server: Answering, path: str) -> bytes:
    return b"".join(body for _, target, body in server.requests if target == path)


def test_spans_and_metrics_go_to_the_collector() -> None:
    with answering(ANSWERS) as server:
        ended = list_sites(server, OTEL_EXPORTER_OTLP_ENDPOINT=server.url)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "S1" in ended.stdout
    assert b"sites.list" in exported(server, "/v1/traces")
    assert b"enapter.client.call.duration" in exported(server, "/v1/metrics")
    assert not any(b"t0ken-nobody-may-see" in body for _, _, body in server.requests)


@pytest.mark.parametrize(
    "variables", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}]
)
def test_nothing_is_exported_unasked(variables: dict[str, str]) -> None:
    with answering(ANSWERS) as server:
        ended = list_sites(server, **variables)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert {target.partition("?")[0] for _, target, _ in server.requests} == {"/v3/sites"}


def test_what_is_missing_is_named_and_the_command_goes_on() -> None:
    with answering(ANSWERS) as server:
        ended = list_sites(server, prelude=ABSENT, OTEL_EXPORTER_OTLP_ENDPOINT=server.url)
    assert (ended.returncode, "S1" in ended.stdout) == (0, True)
    assert ended.stderr == (
        "OTEL_EXPORTER_OTLP_ENDPOINT is set, but nothing is exported because packages are missing: "
        "pip install 'enapter-async[otel]' opentelemetry-distro opentelemetry-exporter-otlp\n"
    )
    assert exported(server, "/v1/traces") == b""


def test_exporters_called_none_request_nothing() -> None:
    with answering(ANSWERS) as server:
        ended = list_sites(server, prelude=ABSENT, OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="none")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


# Waiting is as good as endless, and says when it begins.
PATIENT = """
import threading
import enapter_async.cli.otel as otel

class Telling(threading.Event):
    def wait(self, timeout):
        print("waiting", flush=True)
        return super().wait(timeout)

class Threads:
    Event, Thread = Telling, threading.Thread

otel.threading, otel.export_rest.__defaults__ = Threads, (600.0,)
"""


def test_a_silent_endpoint_holds_the_command_for_a_bounded_time(silent: str) -> None:
    prelude = "import enapter_async.cli.otel as o; o.export_rest.__defaults__ = (0.05,); "
    with answering(ANSWERS) as server:
        ended = list_sites(server, prelude=prelude, OTEL_EXPORTER_OTLP_ENDPOINT=silent)
    assert (ended.returncode, "S1" in ended.stdout) == (0, True)
    assert ended.stderr == "enapter-async: some spans and metrics were not exported in time\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_export_and_keeps_the_exit_code(silent: str, number: signal.Signals) -> None:
    with answering(ANSWERS) as server:
        process = begin_listing(server, prelude=PATIENT, OTEL_EXPORTER_OTLP_ENDPOINT=silent)
        assert process.stdout is not None
        assert "waiting\n" in iter(process.stdout.readline, "")
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "some spans and metrics were not exported in time" in stderr
