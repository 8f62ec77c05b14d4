"""Every Python snippet passes mypy's strict mode and ruff: readers paste it into programs that are checked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pages import PAGES, ROOT, blocks, skip_without_libraries


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("snippets")
    for page in PAGES:
        for number, block in enumerate(blocks(page, "python"), 1):
            if any(mark.args[0] for mark in skip_without_libraries(block)):
                continue
            name = "_".join(page.relative_to(ROOT).with_suffix("").parts).replace("-", "_")
            (folder / f"{name}_{number}.py").write_text(block, "utf-8")
    return folder


def run(*arguments: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *arguments, "."], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_types(folder: Path) -> None:
    run("mypy", "--strict", "--ignore-missing-imports", f"--cache-dir={ROOT / '.mypy_cache'}", folder=folder)


def test_style(folder: Path) -> None:
    run("ruff", "check", "--isolated", "--no-cache", "--line-length=88", "--select=E,F,B,UP", folder=folder)
    run("ruff", "format", "--isolated", "--no-cache", "--line-length=88", "--check", folder=folder)
