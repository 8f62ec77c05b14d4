"""What the hook of the site adds to pages: a description of each, and the source of examples."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from pages import ROOT

DOCS: Final = ROOT / "docs"
HOOK: Final[dict[str, Any]] = runpy.run_path(str(DOCS / ".hooks" / "site.py"))
PAGES: Final = sorted(DOCS.rglob("*.md"))


def name(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_begins_with_a_sentence_that_describes_it(page: Path) -> None:
    sentence = HOOK["describe"](page.read_text("utf-8"))
    assert sentence.endswith(".")
    assert 30 <= len(sentence) <= HOOK["_LONGEST"]
    assert not {"`", "[", "]", "**"} & set(sentence)


def test_no_two_pages_have_one_description() -> None:
    sentences = [HOOK["describe"](page.read_text("utf-8")) for page in PAGES]
    assert len(set(sentences)) == len(sentences)


def test_a_description_is_the_first_sentence_without_markup() -> None:
    page = "# Title\n\n```python\ncode. More\n```\n\nSee **how** [the `client`](x.md) works: in v1.2 too. And more.\n"
    assert HOOK["describe"](page) == "See how the client works: in v1.2 too."


def test_the_source_of_an_example_is_shown_folded() -> None:
    shown = HOOK["show_sources"]("before\n\n<!-- source: deploy_rule.py -->\n\nafter\n")
    assert shown.startswith('before\n\n??? example "Source of deploy_rule.py"\n\n    ```python\n')
    assert "    async def deploy(file: Path" in shown
    assert shown.endswith("    ```\n\nafter\n")


def test_every_page_is_in_the_navigation_once() -> None:
    text = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    assert sorted(find_pages(yaml.safe_load(text))) == [name(page) for page in PAGES]


def find_pages(entry: object) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    inner = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ()
    return [page for one in inner for page in find_pages(one)]
