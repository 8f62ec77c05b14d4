"""What is on the pages besides Python: shell lines that parse and name commands that there are, TOML, links."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import anyio
import pytest
import yaml
from click.testing import CliRunner
from pages import PAGES, ROOT, blocks, environment, fences, page_name, without_code

from enapter_async.cli.application import application
from enapter_async.simulator import Simulator

# A diagram in characters is `text`; all else is run, parsed or checked.
LANGUAGES = {"python", "py", "shell", "bash", "console", "toml", "yaml", "dockerfile", "js", "sql", "text"}
"""Of what is tested: `py` is the vendor's SDK, run by tests/peer, `js` is run by test_simulator_page.py, `sql` by
test_database_pages.py; the others here and in test_readme.py."""

WIDEST = 94
"""Columns of code that the site shows without scrolling; of Python, 88."""

_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_TYPED = re.compile(r"^\$ (.*)$", re.MULTILINE)
_COMMAND = re.compile(r"(?:^|&& |\$\()enapter-async ([^&|>)#\n]*)", re.MULTILINE)
_HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)


def typed(page: Path) -> list[str]:
    """What a reader types: shell blocks, and the lines of a console that begin with `$`."""
    shells, consoles = (
        [block.replace("\\\n", " ") for block in blocks(page, *languages)]
        for languages in (("shell", "bash"), ("console",))
    )
    return [*shells, *(line for text in consoles for line in _TYPED.findall(text))]


def commands(page: Path) -> list[str]:
    """The arguments of each `enapter-async` that is typed."""
    return [found.strip() for text in typed(page) for found in _COMMAND.findall(text)]


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_no_block_is_left_untested(page: Path) -> None:
    assert {language for language, _ in fences(page)} <= LANGUAGES


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_code_does_not_scroll(page: Path) -> None:
    """Longer lines are cut off on the site at 1280 px."""
    wide = [line for _, block in fences(page) for line in block.splitlines() if len(line) > WIDEST]
    assert wide == []


@pytest.mark.skipif(sys.platform == "win32", reason="its bash may be that of another system")
@pytest.mark.parametrize("page", [page for page in PAGES if typed(page)], ids=page_name)
def test_shell_parses(page: Path) -> None:
    for text in typed(page):
        done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=page_name)
def test_commands_and_options_exist(page: Path) -> None:
    for command in commands(page):
        result = CliRunner().invoke(application, [*shlex.split(command), "--help"])
        assert result.exit_code == 0, f"{command}: {result.output}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "toml")], ids=page_name)
def test_toml_parses(page: Path) -> None:
    for block in blocks(page, "toml"):
        tomllib.loads(block)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")], ids=page_name)
def test_yaml_parses(page: Path) -> None:
    for block in blocks(page, "yaml"):
        assert yaml.safe_load(block)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "dockerfile")], ids=page_name)
def test_a_dockerfile_installs_extras_and_runs_a_command_that_exist(page: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for block in blocks(page, "dockerfile"):
        instructions = dict(line.split(" ", 1) for line in block.splitlines())
        assert list(instructions) == ["FROM", "COPY", "RUN", "USER", "ENTRYPOINT"]
        assert instructions["COPY"] == ". /src"
        (installed,) = re.findall(r"'/src\[(.*?)\]'", instructions["RUN"])
        assert set(installed.split(",")) <= set(extras)
        _, *command = json.loads(instructions["ENTRYPOINT"])
        assert CliRunner().invoke(application, [*command, "--help"]).exit_code == 0


@pytest.mark.anyio
async def test_the_page_on_export_works_line_by_line(tmp_path: Path) -> None:
    async with Simulator(devices=5) as simulator:
        for number, command in enumerate(commands(ROOT / "docs" / "how-to" / "export.md")):
            folder = tmp_path / str(number)
            folder.mkdir()
            with anyio.fail_after(60):
                done = await anyio.run_process(
                    [sys.executable, "-m", "enapter_async.cli", *shlex.split(command)],
                    cwd=folder,
                    env=environment(simulator),
                    check=False,
                    stderr=subprocess.STDOUT,
                )
            assert done.returncode == 0, f"{command}: {done.stdout.decode()}"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    """Between files; what mkdocstrings generates, and the site's own anchors, are checked by its strict build."""
    for target in _LINK.findall(without_code(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} is not there"
        if anchor and "reference" not in file.parts:
            assert anchor in anchors(file), f"{target} has no such heading"


def anchors(page: Path) -> set[str]:
    headings = (match["text"] for match in _HEADING.finditer(page.read_text("utf-8")))
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower()) for text in headings}
