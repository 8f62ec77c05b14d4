"""`OTEL_*` variables make a command export its spans and metrics."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from answering import Answering, answering

pytest.importorskip("opentelemetry.distro", reason="opentelemetry-distro is not installed")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the OTLP exporter is not installed")

SITES = {"sites": [{"id": "S1", "name": "Plant"}], "total_count": 1}
ANSWERS = {"/v3/sites": SITES, "/v1/traces": b"", "/v1/metrics": b"", "/v1/logs": b""}
ABSENT = "import sys; sys.modules['opentelemetry.distro'] = None; "
MAIN = "import enapter_async.cli; enapter_async.cli.main()"


def list_sites(server: Answering, *, prelude: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ENAPTER_", "OTEL_"))}
    environment |= {"ENAPTER_HTTP_API_TOKEN": "t0ken-nobody-may-see", "ENAPTER_HTTP_API_BASE_URL": server.url}
    return subprocess.run(
        [sys.executable, "-c", prelude + MAIN, "sites", "list", "--output", "jsonl"],
        env={**environment, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


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
        "OTEL_EXPORTER_OTLP_ENDPOINT is set, but nothing is exported. Install what is missing: "
        "pip install 'enapter-async[otel]' opentelemetry-distro opentelemetry-exporter-otlp\n"
    )
    assert exported(server, "/v1/traces") == b""
