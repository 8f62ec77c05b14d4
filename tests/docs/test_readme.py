"""Every Python snippet of the README and of the docs runs against the simulator, as it stands."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import anyio
import pytest
from pages import PAGES, ROOT, blocks, environment, skip_without_libraries

from enapter_async.simulator import Fault, Simulator

pytestmark = pytest.mark.anyio

GATEWAY = "192.168.10.22"
MADE = {
    "telemetry.sqlite": ("collect", "--quiet", "--for", "3s", "--to", "telemetry.sqlite"),
    "history.parquet": ("export", "--from", "1h", "--to", "history.parquet"),
}
"""Files that snippets read, and the command of the same page that makes them."""


def snippets() -> Iterator[object]:
    for page in PAGES:
        for number, block in enumerate(blocks(page, "python"), 1):
            # Tests are run by tests/plugin and tests/web, what needs PostgreSQL by test_database_pages.py.
            if "def test_" not in block and "db.example.net" not in block:
                yield pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}", marks=skip_without_libraries(block))


async def run(*arguments: str, folder: Path, simulator: Simulator) -> str:
    with anyio.fail_after(30):
        done = await anyio.run_process(
            [sys.executable, *arguments], cwd=folder, env=environment(simulator), check=False, stderr=subprocess.STDOUT
        )
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout.decode()


def reach_gateway(code: str, simulator: Simulator) -> str:
    """Let a program that names the address of a Gateway use the simulator."""
    if GATEWAY not in code:
        return code
    host = simulator.url.removeprefix("http://").removesuffix("/api")
    return re.sub(r'token="[^"]*"', f'token="{simulator.token}"', code.replace(GATEWAY, host))


@pytest.mark.parametrize("code", list(snippets()))
async def test_snippet_runs_as_it_stands(code: str, tmp_path: Path) -> None:
    async with Simulator(devices=5, mode="gateway" if GATEWAY in code else "any") as simulator:
        (tmp_path / "snippet.py").write_text(reach_gateway(code, simulator), "utf-8")
        for name, command in MADE.items():
            if name in code:
                await run("-m", "enapter_async.cli", *command, folder=tmp_path, simulator=simulator)
        await run("snippet.py", folder=tmp_path, simulator=simulator)


MANIFEST = """
blueprint_spec: device/3.0
display_name: Cellar meter
runtime:
  type: standalone
"""
AMBIGUOUS = {
    "reset": Fault.reset(),
    "closed": Fault.close(),
    "body cut off": Fault.truncate(5),
    "silence": Fault.hang(5),
    **{str(status): Fault.answer(status) for status in (500, 502, 504, 520, 524)},
    "503 of a proxy": Fault.html(503),
    "503 with Retry-After": Fault.answer(503, headers={"Retry-After": "1"}),
}


def run_here(code: str) -> str:
    """Run a program in this process, in a thread with an event loop of its own; return what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "snippet.py", "exec"), {"__name__": "__main__"})
    return printed.getvalue()


@pytest.mark.parametrize(("page", "started"), [("README.md", "SUCCESS"), ("docs/how-to/commands.md", "started: ")])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fault", AMBIGUOUS)
async def test_the_recipes_find_out_what_became_of_a_command(
    page: str, started: str, when: Literal["before", "after"], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "body cut off" and when == "before":
        pytest.skip("without an answer there is no body")
    (recipe,) = (block for block in blocks(ROOT / page, "python") if "except OutcomeUnknownError" in block)
    patient = "EnapterClient.from_env()"
    assert patient in recipe
    if fault == "silence":
        recipe = "import enapter_async\n" + recipe.replace(
            patient, "EnapterClient.from_env(timeouts=enapter_async.Timeouts(attempt=0.3))"
        )
    async with Simulator(devices=5) as simulator:
        simulator.faults.on("createExecution", AMBIGUOUS[fault], when=when)
        for name, value in environment(simulator).items():
            monkeypatch.setenv(name, value)
        printed = await anyio.to_thread.run_sync(run_here, recipe)
        assert len(simulator.requests_of("createExecution")) == 1
        assert len(simulator.requests_of("listExecutions")) == 1
    assert (started in printed) == (when == "after")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fault", [name for name in AMBIGUOUS if name != "silence"])
async def test_the_example_that_provisions_looks_for_the_device(
    when: Literal["before", "after"], fault: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if fault == "body cut off" and when == "before":
        pytest.skip("without an answer there is no body")
    blueprint = tmp_path / "blueprint"
    blueprint.mkdir()
    (blueprint / "manifest.yml").write_text(MANIFEST)
    provision = runpy.run_path(str(ROOT / "examples" / "provision_standalone.py"))["provision"]
    async with Simulator(devices=5) as simulator:
        simulator.faults.on("provisionStandalone", AMBIGUOUS[fault], when=when)
        for name, value in environment(simulator).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit, match="no response arrived; devices of that name: ") as caught:
            await provision(blueprint, "Cellar meter", None, tmp_path / "config.json")
        assert len(simulator.requests_of("provisionStandalone")) == 1
    assert str(caught.value).endswith("none") == (when == "before")
