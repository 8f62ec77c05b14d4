"""Every Python snippet of the README and of the docs runs against the simulator, as it stands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import anyio
import pytest
from pages import PAGES, ROOT, blocks, environment

from enapter_async.simulator import Fault, Simulator

pytestmark = pytest.mark.anyio

MADE = {
    "telemetry.sqlite": ("collect", "--quiet", "--for", "1s", "--to", "telemetry.sqlite"),
    "history.parquet": ("export", "--from", "1h", "--to", "history.parquet"),
}
"""Files that snippets read, and the command of the same page that makes them."""


def snippets() -> Iterator[object]:
    for page in PAGES:
        for number, block in enumerate(blocks(page, "python"), 1):
            if "def test_" not in block:  # those are run by tests/plugin
                yield pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")


async def run(*arguments: str, folder: Path, simulator: Simulator) -> str:
    with anyio.fail_after(30):
        done = await anyio.run_process(
            [sys.executable, *arguments], cwd=folder, env=environment(simulator), check=False, stderr=subprocess.STDOUT
        )
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout.decode()


@pytest.mark.parametrize("code", list(snippets()))
async def test_snippet_runs_as_it_stands(code: str, tmp_path: Path) -> None:
    (tmp_path / "snippet.py").write_text(code, "utf-8")
    async with Simulator(devices=5) as simulator:
        for name, command in MADE.items():
            if name in code:
                await run("-m", "enapter_async.cli", *command, folder=tmp_path, simulator=simulator)
        await run("snippet.py", folder=tmp_path, simulator=simulator)


@pytest.mark.parametrize(("page", "started"), [("README.md", "SUCCESS"), ("docs/how-to/commands.md", "started: ")])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_the_recipes_find_out_what_became_of_a_command(
    page: str, started: str, when: Literal["before", "after"], tmp_path: Path
) -> None:
    (recipe,) = (block for block in blocks(ROOT / page, "python") if "except OutcomeUnknownError" in block)
    async with Simulator(devices=5) as simulator:
        simulator.faults.on("createExecution", Fault.reset(), when=when)
        printed = await run("-c", recipe, folder=tmp_path, simulator=simulator)
        assert len(simulator.requests_of("createExecution")) == 1
    assert (started in printed) == (when == "after")
