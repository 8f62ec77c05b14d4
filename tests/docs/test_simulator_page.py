"""The page on the simulator: its Node.js program with its tests, as they stand there, and the fields of requests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT

PAGE = ROOT / "docs" / "how-to" / "simulator.md"
_FILE = re.compile(r'^```js title="(?P<name>[\w.]+)"\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)
DESCRIPTION = ROOT / "enapter_async" / "simulator" / "_server" / "control" / "openapi.json"
NODE = shutil.which("node")


def node_version() -> int:
    if NODE is None:
        return 0
    done = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True)
    return int(done.stdout.lstrip("v").split(".")[0])


def run_node_tests(folder: Path, script: str | None) -> subprocess.CompletedProcess[str]:
    """Run the tests of the page with this script as the command `enapter-async`, or without the command."""
    files = {match["name"]: match["text"] for match in _FILE.finditer(PAGE.read_text("utf-8"))}
    assert set(files) == {"plant.mjs", "plant.test.mjs"}
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    command = folder / "bin" / "enapter-async"
    command.parent.mkdir()
    if script is not None:
        command.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        command.chmod(0o755)
    return subprocess.run(
        [str(NODE), "--test"],
        cwd=folder,
        env={**os.environ, "PATH": f"{command.parent}{os.pathsep}/usr/bin{os.pathsep}/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="scripts start in another way")
def test_the_node_program_of_the_page_and_its_tests(tmp_path: Path) -> None:
    if node_version() < 20:
        pytest.skip("Node.js 20 is not installed")
    done = run_node_tests(tmp_path, f'exec "{sys.executable}" -m enapter_async.cli "$@"')
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\W*pass 3$", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="scripts start in another way")
@pytest.mark.parametrize(
    ("script", "reason"),
    [(None, "ENOENT"), ("echo broken >&2; exit 1", "the simulator stopped")],
    ids=["missing", "ends"],
)
def test_a_command_that_does_not_start_is_named(tmp_path: Path, script: str | None, reason: str) -> None:
    if node_version() < 20:
        pytest.skip("Node.js 20 is not installed")
    done = run_node_tests(tmp_path, script)
    assert done.returncode == 1
    assert reason in done.stdout
    assert "Unhandled" not in done.stdout


def test_the_page_names_every_field_of_a_request() -> None:
    rows = dict(re.findall(r"^\| `([A-Z]+ \S+)` \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE))
    described = json.loads(DESCRIPTION.read_text("utf-8"))
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            schema = described["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], schema)
            fields = schema.get("properties", {})
            name = f"{method.upper()} {path.removeprefix('/_simulator').replace('{device_id}', '{id}')}"
            if fields and name != "PUT /state":  # what GET /state has returned
                assert {field for field in fields if f"`{field}`" not in rows[name]} == set(), name
