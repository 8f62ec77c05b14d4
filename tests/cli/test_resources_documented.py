"""The page on the command line: every line of its console blocks works as it stands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Served, served

from enapter_async.cli.exits import Exit

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "command-line.md").read_text(encoding="utf-8")
LINES = re.findall(r"^\$ enapter-async (.*)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def world() -> Iterator[Served]:
    with served(devices=6, log_interval=0.5) as world:
        yield world


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("folder"))
        yield


@pytest.mark.parametrize("line", LINES)
def test_it_works_as_written(world: Served, line: str) -> None:
    more = ["--limit", "1"] if "--follow" in line else []  # it would not end
    result = world.run(*shlex.split(line), *more)
    assert result.exit_code == 0, result.output
    assert result.stdout or result.stderr.startswith(("nothing found\n", "no gaps\n"))


def test_exit_codes_are_all_told() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert told == {code.value for code in Exit}
