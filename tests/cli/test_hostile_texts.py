"""Texts of a server in what commands print: none steers the terminal, none makes a command end in a defect."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import anyio
import pytest
from answering import answering
from served import invoke

from enapter_async.cli.collect.summary import summarize
from enapter_async.cli.traffic import Traffic
from enapter_async.collector import CollectorStatistics, Gap, SqliteStore

ACTING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
HOSTILE = "Meter\x1b[2J\x07\x9b31m\x85\u2028\u202eend"
DEVICE = {"id": "d1", "name": HOSTILE, "slug": HOSTILE, "type": HOSTILE, "site_id": "s1", "blueprint_id": "b1"}
ANSWERS: dict[str, Any] = {
    "/v3/devices": {"devices": [DEVICE], "total_count": 1},
    "/v3/devices/d1": {"device": DEVICE},
    "/v3/sites": {"sites": [{"id": "s1", "name": HOSTILE, "timezone": HOSTILE}], "total_count": 1},
    "/v3/devices/d1/properties": {"properties": {HOSTILE: HOSTILE, "list": [HOSTILE, {HOSTILE: [1]}]}},
    "/v3/devices/d1/manifest": {"manifest": {"telemetry": {HOSTILE: {"type": "float", "unit": HOSTILE}}, HOSTILE: 1}},
}
LOOKING = ["devices list", "devices get d1", "devices manifest d1", "sites list", "properties get d1"]


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
@pytest.mark.parametrize("line", LOOKING)
def test_no_output_steers_the_terminal(line: str, form: str) -> None:
    with answering(ANSWERS) as server:
        result = server.run(*line.split(), "--output", form)
    assert result.exit_code == 0, result.output
    assert "Meter" in result.output
    assert not ACTING.search(result.output)


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_json_keeps_every_character(form: str) -> None:
    with answering(ANSWERS) as server:
        result = server.run("properties", "get", "d1", "--output", form)
    assert json.loads(result.stdout) == ANSWERS["/v3/devices/d1/properties"]["properties"]


@pytest.mark.parametrize(
    ("form", "shown"),
    [("json", '"Infinity"'), ("jsonl", '"-Infinity"'), ("csv", "-Infinity"), ("csv", "1.5"), ("table", "NaN")],
)
def test_a_number_that_json_has_not_is_named(form: str, shown: str) -> None:
    numbers = {"much": math.inf, "little": -math.inf, "none": math.nan, "usual": 1.5, "list": [math.inf]}
    with answering({"/v3/devices/d1/properties": {"properties": numbers}}) as server:
        result = server.run("properties", "get", "d1", "--output", form)
    assert result.exit_code == 0, result.output
    assert shown in result.stdout
    if form.startswith("json"):
        read = json.loads(result.stdout, parse_constant=pytest.fail)
        assert read == {"much": "Infinity", "little": "-Infinity", "none": "NaN", "usual": 1.5, "list": ["Infinity"]}


def test_line_breaks_stay_within_their_cell_of_csv() -> None:
    answers = {"/v3/sites": {"sites": [{"id": "s1", "name": "first\nsecond", "timezone": "UTC"}], "total_count": 1}}
    with answering(answers) as server:
        result = server.run("sites", "list", "--output", "csv")
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert row["name"] == "first\nsecond"


@pytest.mark.parametrize("line", LOOKING)
def test_no_error_steers_the_terminal(line: str) -> None:
    body = {
        "errors": [{"code": HOSTILE, "message": f"{HOSTILE}\nenapter-async: forged", "details": {HOSTILE: HOSTILE}}]
    }
    with answering(dict.fromkeys(ANSWERS, body), status=400) as server:
        result = server.run(*line.split())
    assert result.exit_code == 1, result.output
    assert len(result.stderr.splitlines()) == 1
    assert not ACTING.search(result.output)


def test_what_the_user_typed_is_made_visible_too(tmp_path: Path) -> None:
    with answering({}) as server:
        result = server.run("rules", "list", "--profile", "\x1b[2J", ENAPTER_CONFIG=str(tmp_path / "\x9bconfig"))
    assert result.exit_code == 3
    assert not ACTING.search(result.output)


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
@pytest.mark.parametrize("levels", [700, 950])
def test_a_value_may_be_nested_deeply(levels: int, form: str) -> None:
    body = b'{"properties": {"deep": %s1%s}}' % (b"[" * levels, b"]" * levels)
    with answering({"/v3/devices/d1/properties": body}) as server:
        result = server.run("properties", "get", "d1", "--output", form)
    assert result.exit_code == 0, result.output
    if form in ("json", "jsonl"):
        assert "".join(result.stdout.split()) == '{"deep":' + "[" * levels + "1" + "]" * levels + "}"


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_a_lone_surrogate(form: str) -> None:
    body = rb'{"properties": {"half \ud800": "other \udfff"}}'
    with answering({"/v3/devices/d1/properties": body}) as server:
        result = server.run("properties", "get", "d1", "--output", form)
    assert result.exit_code == 0, result.output
    assert r"half \ud800" in result.stdout
    assert r"other \udfff" in result.stdout


@pytest.mark.parametrize("levels", [990, 100_000])
def test_a_value_on_the_command_line_may_not_be_nested_too_deeply(levels: int) -> None:
    with answering({}) as server:
        result = server.run("configuration", "set", "d1", "bucket", f"x={'[' * levels}{']' * levels}", "--yes")
    assert result.exit_code == 2, result.output
    assert not server.requests


def test_the_summary_of_collect_shows_names_and_nothing_else() -> None:
    done = CollectorStatistics(longest_gap=(5.0, HOSTILE, f"{HOSTILE}\nerrors 0"))
    text = summarize(done, Traffic(), 1.0, target="telemetry.sqlite")
    assert not ACTING.search(text)
    assert len(text.splitlines()) == len(summarize(CollectorStatistics(), Traffic(), 1.0, target="").splitlines())


def test_a_done_message_shows_what_was_named() -> None:
    with answering({"/v3/devices/d%E2%80%AE": {}}) as server:
        result = server.run("devices", "delete", "d\u202e", "--yes")
    assert result.exit_code == 0, result.output
    assert not ACTING.search(result.output)


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_list_of_gaps(tmp_path: Path, form: str) -> None:
    path = tmp_path / "telemetry.sqlite"

    async def write() -> None:
        async with SqliteStore(path) as store:
            await store.commit([], note=[Gap(device_id=HOSTILE, start=0, before=10**9, reason=HOSTILE)])

    anyio.run(write)
    result = invoke("gaps", "list", str(path), "--output", form)
    assert result.exit_code == 0, result.output
    assert "Meter" in result.stdout
    assert not ACTING.search(result.output)
    if form == "json":
        assert json.loads(result.stdout)["reason"] == HOSTILE
