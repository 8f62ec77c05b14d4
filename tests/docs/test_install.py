"""How pages tell readers to install: from a clone until the package is on PyPI, and by name afterwards."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest
from pages import PAGES, ROOT, blocks, page_name

RELEASED: Final = re.search(r"^## \d\S* \(\d{4}-", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
INSTALL: Final = ROOT / "docs" / "install.md"
FIRST: Final = [
    ROOT / "README.md",
    INSTALL,
    *(ROOT / "docs" / name for name in ("index.md", "tutorial.md", "how-to/run-as-a-service.md")),
]
"""Pages on which readers start with an empty environment."""
BY_NAME: Final = re.compile(r"(?:install|--from) (?:--\S+ )*'?enapter-async\b")
FROM_CLONE: Final = re.compile(r"(?:install|--from) (?:--\S+ )*'?(?:\.|/src)(?=[\[\s]|$)", re.MULTILINE)


@pytest.mark.parametrize("page", FIRST, ids=page_name)
def test_readers_start_with_an_installation_that_works(page: Path) -> None:
    commands = "\n".join(blocks(page, "shell", "dockerfile"))
    assert not (FROM_CLONE if RELEASED else BY_NAME).search(commands)
    assert (BY_NAME if RELEASED else FROM_CLONE).search(commands)


def test_the_site_says_so_until_then() -> None:
    notice = ROOT / "docs" / ".overrides" / "main.html"
    assert notice.exists() == (RELEASED is None)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.parent.name == "how-to" and BY_NAME.search(page.read_text("utf-8"))],
    ids=page_name,
)
def test_a_page_that_installs_links_to_the_instructions(page: Path) -> None:
    assert "../install.md" in page.read_text("utf-8")


def test_every_extra_is_listed() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    rows = re.findall(r"^\| (`.*?) \|", INSTALL.read_text("utf-8"), re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(extras)
