"""The Node.js program of the page on the simulator, and its tests, as they stand there."""

from __future__ import annotations

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
NODE = shutil.which("node")


def node_version() -> int:
    if NODE is None:
        return 0
    done = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True)
    return int(done.stdout.lstrip("v").split(".")[0])


@pytest.mark.skipif(sys.platform == "win32", reason="scripts start in another way")
def test_the_node_program_of_the_page_and_its_tests(tmp_path: Path) -> None:
    if node_version() < 20:
        pytest.skip("Node.js 20 is not installed")
    files = {match["name"]: match["text"] for match in _FILE.finditer(PAGE.read_text("utf-8"))}
    assert set(files) == {"plant.mjs", "plant.test.mjs"}
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    command = tmp_path / "bin" / "enapter-async"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m enapter_async.cli "$@"\n', "utf-8")
    command.chmod(0o755)
    done = subprocess.run(
        [str(NODE), "--test"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\W*pass 3$", done.stdout, re.MULTILINE), done.stdout
