"""`enapter-async api`: any endpoint, through the same pipeline as everything else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answering import answering
from served import Served, served

from enapter_async.simulator import Fault


@pytest.fixture(scope="module")
def world() -> Iterator[Served]:
    with served(devices=60) as world:
        yield world


def read(world: Served, *arguments: str) -> Any:
    result = world.run("api", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_it_prints_the_answer(world: Served) -> None:
    assert read(world, "GET", "/v3/devices/{device}")["device"]["id"] == world.ids["device"]


@pytest.mark.parametrize(
    "arguments", [["v3/devices?limit=3&expand=site"], ["v3/devices", "-F", "limit=3", "-F", "expand=site"]]
)
def test_a_query_is_in_the_path_or_in_fields(world: Served, arguments: list[str]) -> None:
    devices = read(world, "get", *arguments)["devices"]
    assert len(devices) == 3
    assert all("site" in device for device in devices)


def test_all_pages_of_a_list(world: Served) -> None:
    items = read(world, "GET", "v3/devices", "--paginate", "-F", "expand=site")
    assert [item["id"] for item in items] == [item["id"] for item in world.read("devices", "list")]
    assert len(items) > 50
    lines = world.run(
        "api", "GET", "v3/devices", "--paginate", "--output", "jsonl", "--limit", "52"
    ).stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [item["id"] for item in items[:52]]


def test_records_without_an_id_may_be_equal() -> None:
    record = {"message": "started"}
    with answering({"/v3/devices/d1/logs": {"logs": [record, record], "total_count": 2}}) as server:
        result = server.run("api", "GET", "v3/devices/d1/logs", "--paginate")
    assert json.loads(result.stdout) == [record, record]


def test_fields_are_the_body_of_a_change(world: Served) -> None:
    made = read(
        world,
        "POST",
        "v3/sites",
        "-F",
        "name=Pier",
        "-F",
        "timezone=UTC",
        "-F",
        'location={{"latitude": 1.5}}',
        "--yes",
    )
    assert made["site"]["location"]["latitude"] == 1.5
    assert read(world, "PATCH", f"v3/sites/{made['site']['id']}", "-F", "name=Quay", "--yes")["site"]["name"] == "Quay"


@pytest.mark.parametrize("source", ["file", "standard input"])
def test_the_body_comes_from_a_file(world: Served, tmp_path: Path, source: str) -> None:
    body = '{"name": "Dock", "timezone": "UTC"}'
    (tmp_path / "site.json").write_text(body, encoding="utf-8-sig")
    where = str(tmp_path / "site.json") if source == "file" else "-"
    result = world.run("api", "POST", "v3/sites", "--input", where, "--yes", typed=body)
    assert json.loads(result.stdout)["site"]["name"] == "Dock"


def test_a_change_is_sent_once_and_its_outcome_told(world: Served) -> None:
    world.simulator.faults.on("createSite", Fault.reset(), when="after")
    before = len(world.requests)
    result = world.run("api", "POST", "v3/sites", "-F", "name=Pier", "-F", "timezone=UTC", "--yes")
    assert result.exit_code == 8
    assert "it may have been done" in result.stderr
    assert len(world.requests) == before + 1


def test_what_is_safe_to_repeat_is_repeated(world: Served) -> None:
    world.simulator.faults.on("createSite", Fault.reset(), when="after")
    arguments = ["-F", "name=Pier", "-F", "timezone=UTC", "--safety", "read"]
    assert world.run("api", "POST", "v3/sites", *arguments).exit_code == 0


def test_a_change_asks_first(world: Served) -> None:
    before = len(world.requests)
    result = world.run("api", "DELETE", "v3/sites/{empty}")
    assert result.exit_code == 2
    assert "Send DELETE v3/sites/" in result.stderr
    assert len(world.requests) == before


def test_an_empty_answer() -> None:
    with answering({"/v3/sites/s1": b""}) as server:
        result = server.run("api", "DELETE", "v3/sites/s1", "--yes")
    assert (result.exit_code, result.stdout) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["GET", "https://example.com/v3/devices"], 2, "must be relative to the base URL"),
        (["GET", "v3/../secrets"], 2, "segments"),
        (["GET", "v3/devices", "-F", "limit"], 2, "'limit' is not NAME=VALUE"),
        (["POST", "v3/sites", "-F", "a=1", "-F", "a=2", "--yes"], 2, "'a' is given twice"),
        (["POST", "v3/sites", "--paginate", "--yes"], 2, "--paginate works only with GET"),
        (["GET", "v3/devices", "--limit", "3"], 2, "--limit works only with --paginate"),
        (["GET", "v3/devices?limit=3", "--paginate"], 2, "leave them out"),
        (["GET", "v3/devices/d1", "--paginate"], 1, "the response is not a list"),
        (["POST", "v3/sites", "--input", "-", "--yes"], 2, "is not JSON"),
        (["HEAD", "v3/sites"], 2, "HEAD"),
    ],
)
def test_what_cannot_work_is_refused(arguments: list[str], code: int, said: str) -> None:
    with answering({"/v3/devices/d1": {"device": {}}}) as server:
        result = server.run("api", *arguments)
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
