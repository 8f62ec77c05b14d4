"""One device, attribute or text that cannot be asked for, encoded or printed costs itself only."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from answering import answering

HALF = "\ud800"
ODD = ["half \ud800", "a,b", "", " ", "x" * 9_000, "\x1b[2J", "new\nline", "=cmd"]
UNASKABLE = ["half \\ud800", "'a,b'", "''", "' '"]
DECLARED: dict[str, Any] = {
    name: {"type": "float", "unit": f"k{HALF}W", "display_name": f"D{HALF}\n"} for name in [*ODD[:4], "good", *ODD[4:]]
}
MANIFEST: dict[str, Any] = {
    "telemetry": DECLARED,
    "properties": {name: {"type": "string"} for name in ODD},
    "alerts": {name: {"severity": "warning", "display_name": HALF} for name in ODD},
    "commands": {name: {"display_name": HALF, "arguments": {name: {"type": "string"}}} for name in ODD},
}
DEVICES: list[dict[str, Any]] = [
    {"id": f"d{HALF}", "name": "", "slug": "x,y", "type": "LUA", "site_id": f"s{HALF}", "manifest": MANIFEST},
    {"id": " ", "type": "LUA", "manifest": MANIFEST},
    {
        "id": "d1", "name": f"Me{HALF}ter", "slug": f"s{HALF}", "type": HALF, "site_id": "s1", "manifest": MANIFEST,
        "connectivity": {"status": f"ON{HALF}"}, "raised_alert_names": [HALF, ""], "properties": {HALF: HALF},
    },
]  # fmt: skip
TIME = 1_773_480_413
LOGS = [
    {"timestamp": TIME, "severity": HALF, "message": f"m{HALF}\x1b"},
    {"timestamp": TIME, "severity": "info", "message": "good"},
]
EXECUTION = {
    "id": HALF,
    "state": "SUCCESS",
    "command_name": HALF,
    "arguments": {HALF: 1},
    "request": {"arguments": {HALF: 1}},
}
POINTS = {
    "good": {"value": 5.5, "timestamp": TIME},
    f"unasked{HALF}": {"value": 1.5, "timestamp": TIME},
    "=cmd": {"value": HALF, "timestamp": TIME},
}
HISTORY = (
    b"ts,telemetry=good device=d1\n1773480413,5.5\n1773480473,6.5\n",
    {"Content-Type": "text/csv", "X-Enapter-Timeseries-Data-Types": "float"},
)
ANSWERS: dict[str, Any] = {
    "/v3/devices": {"devices": DEVICES, "total_count": len(DEVICES)},
    "/v3/devices/d1": {"device": DEVICES[-1]},
    "/v3/devices/d1/manifest": {"manifest": MANIFEST},
    "/v3/devices/d1/properties": {"properties": {HALF: HALF, **dict.fromkeys(ODD, 1), "good": 1}},
    "/v3/devices/d1/logs": {"logs": LOGS, "total_count": len(LOGS)},
    "/v3/devices/d1/command_executions": {"executions": [EXECUTION], "total_count": 1},
    "/v3/devices/d1/configuration/g": {"configuration": {HALF: HALF}},
    "/v3/devices/d1/telemetry": {"telemetry": {}},
    "/v3/sites": {"sites": [{"id": HALF, "name": HALF}, {"id": "s1", "name": "good"}], "total_count": 2},
    "/v3/telemetry/latest": {"telemetry": {"d1": POINTS, f"unasked{HALF}": {"good": POINTS["good"]}}},
    "/v3/telemetry/query_timeseries": HISTORY,
}
LINES = [
    "telemetry latest d1",
    "devices list",
    "devices list --expand manifest --expand properties",
    "devices get d1",
    "devices manifest d1",
    "properties get d1",
    "logs list d1",
    "commands list d1",
    "configuration get d1 g",
    "sites list",
]
SPAN = ("--from", "2026-03-14T09:00Z", "--until", "2026-03-14T10:00Z")


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
@pytest.mark.parametrize("line", LINES)
def test_what_is_odd_is_printed_or_left_out(line: str, form: str) -> None:
    with answering(ANSWERS) as server:
        result = server.run(*line.split(), "--output", form)
    assert result.exit_code == 0, result.output
    result.stdout.encode()


@pytest.mark.parametrize("line", ["telemetry latest d1", "telemetry latest d1 --follow --limit 1 --interval 100ms"])
def test_an_attribute_that_cannot_be_asked_for_is_named_once(line: str) -> None:
    with answering(ANSWERS) as server:
        result = server.run(*line.split(), "--output", "jsonl")
    assert result.exit_code == 0, result.output
    assert '"attribute": "good"' in result.stdout
    assert '"value": 5.5' in result.stdout
    named = [one for one in result.stderr.splitlines() if "is left out: its name is invalid" in one]
    assert len(named) == 5
    assert all(any(name in one for one in named) for name in UNASKABLE)
    assert all(len(one) < 150 for one in named)


def test_an_odd_attribute_that_was_named_is_refused() -> None:
    with answering(ANSWERS) as server:
        result = server.run("telemetry", "latest", "d1", "good", "a,b")
    assert result.exit_code == 2, result.output


@pytest.mark.parametrize("attributes", ["numeric", "all"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_export_writes_the_others(tmp_path: Path, suffix: str, attributes: str) -> None:
    target = tmp_path / f"history.{suffix}"
    with answering(ANSWERS) as server:
        result = server.run("export", "--to", str(target), *SPAN, "--attributes", attributes)
    assert result.exit_code == 0, result.output
    assert "2 rows" in result.stdout
    assert target.exists()


@pytest.mark.parametrize("picture", [(), ("--output", "{folder}/chart.svg")])
def test_plot_draws_a_good_attribute(tmp_path: Path, picture: tuple[str, ...]) -> None:
    with answering(ANSWERS) as server:
        result = server.run("plot", "d1", "good", *SPAN, *[one.format(folder=tmp_path) for one in picture])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("attributes", ["numeric", "all"])
@pytest.mark.parametrize("target", ["telemetry.sqlite", "telemetry.csv", "telemetry.jsonl", "telemetry.parquet"])
def test_collect_stores_the_others(tmp_path: Path, target: str, attributes: str) -> None:
    with answering(ANSWERS) as server:
        result = server.run(
            "collect", "--no-wait", "--for", "2s", "--interval", "100ms", "--attributes", attributes,
            "--to", str(tmp_path / target),
        )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "d\\ud800 skipped: no request can contain its ID" in result.stderr
    assert (tmp_path / target).exists()
    if target == "telemetry.sqlite":
        with sqlite3.connect(tmp_path / target) as connection:
            rows = connection.execute("SELECT device_id, attribute, value, text, unit FROM telemetry").fetchall()
        assert len(rows) == 3  # nobody asked for the other device
        assert ("d1", "good", 5.5, None, "k�W") in rows
        assert ("d1", "unasked�", 1.5, None, None) in rows


def test_collect_does_not_end_because_the_first_device_is_deleted_when_the_clocks_are_compared(tmp_path: Path) -> None:
    without = {path: answer for path, answer in ANSWERS.items() if path != "/v3/devices/d1/telemetry"}
    with answering(without) as server:
        result = server.run(
            "collect", "--no-wait", "--for", "2s", "--interval", "100ms", "--to", str(tmp_path / "t.sqlite")
        )
    assert result.exit_code == 0, result.output
