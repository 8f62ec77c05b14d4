"""Small projects with tests of their own, run by pytest in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent

HEAD = """
import pytest
import anyio
from enapter_async import EnapterClient, NotFoundError, OutcomeUnknownError, RetryPolicy, Timeouts
from enapter_async.simulator import Fault, Simulator

pytestmark = pytest.mark.anyio

@pytest.fixture
def anyio_backend():
    return "asyncio"

def command_of(simulator):
    # A device and a command of it that needs no arguments.
    return next(
        (device.id, name)
        for device in simulator.world.devices.values()
        for name, declared in device.blueprint.section("commands").items()
        if not declared.get("arguments") and "error" not in name
    )
"""


class Project:
    """A folder with tests in it, and what pytest says of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(dedent(text), "utf-8")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        options = ["-p", "no:cacheprovider", "-W", "error", "--strict-markers", "-q"]
        if not any(point.name == "enapter_async" for point in entry_points(group="pytest11")):
            # An editable installation older than the entry point.
            options += ["-p", "enapter_async.integrations.pytest_plugin"]
        if find_spec("pytest_asyncio") is not None and not (self.folder / "pytest.ini").exists():
            options += ["-p", "no:asyncio"]
        return subprocess.run(
            [sys.executable, "-m", "pytest", *options, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": ""},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def passes(self, text: str, count: int, *arguments: str) -> str:
        self.write("test_it.py", HEAD + dedent(text))
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{count} passed" in done.stdout
        return done.stdout
