"""Plain English on every page and in every docstring: the rules of docs/.vale, read without vale.

`EXCEPTIONS` is the short list of sentences that a rule finds wrongly.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
RULES: Final = sorted((ROOT / "docs" / ".vale" / "Plain").glob("*.yml"))
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md"),
                       *(ROOT / "benchmarks").glob("*.md")])  # fmt: skip
SOURCES: Final = sorted([*(ROOT / "enapter_async").rglob("*.py"), *(ROOT / "examples").rglob("*.py")])
EXCEPTIONS: Final[frozenset[str]] = frozenset()

_FENCE: Final = re.compile(r"^( *)(```|~~~).*?^\1\2\s*$", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"`[^`\n]*`|<code>.*?</code>|<[^>\n]*>|\]\([^)\n]*\)|https?://\S+")


def load_rule(path: Path) -> tuple[str, list[re.Pattern[str]]]:
    """Return message and patterns of a rule of vale."""
    rule = yaml.safe_load(path.read_text("utf-8"))
    flags = re.MULTILINE | (re.IGNORECASE if rule.get("ignorecase") else 0)
    return rule["message"], [re.compile(pattern, flags) for pattern in rule["raw"]]


def read_paragraphs(text: str) -> Iterator[str]:
    """Yield paragraphs, list items and table cells of Markdown, each on one line, without code."""
    text = _FENCE.sub("", text)
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*#>]|\d+\.)\s)|\n(?=\s+[\w*]+: )|\n(?=\s*\|)|\|", text):
        line = _CODE.sub("x", " ".join(block.split()))
        line = re.sub(r"^(?:[-*#>]+|\d+\.)\s+", "", line)
        if line:
            yield line


def read_docstrings(path: Path) -> Iterator[str]:
    """Yield the paragraphs of every docstring of a module."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from read_paragraphs(ast.get_docstring(node) or "")


def find_alerts(paragraphs: Iterator[str]) -> list[str]:
    """Return what the rules find."""
    rules = [load_rule(path) for path in RULES]
    return [
        f"{message % match[0].strip()!r}\n    {paragraph}"
        for paragraph in paragraphs
        for message, patterns in rules
        for pattern in patterns
        for match in [pattern.search(paragraph)]
        if match and not any(exception in paragraph for exception in EXCEPTIONS)
    ]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages_are_plain_english(page: Path) -> None:
    assert not (found := find_alerts(read_paragraphs(page.read_text("utf-8")))), "\n".join(found)


@pytest.mark.parametrize("source", SOURCES, ids=name)
def test_docstrings_are_plain_english(source: Path) -> None:
    assert not (found := find_alerts(read_docstrings(source))), "\n".join(found)


@pytest.mark.parametrize(
    "habit",
    [
        "An argument cannot be.",
        "What changes something and may have been sent by then ends with 8, not with 130.",
        "It is noted; it is filled; it goes away.",
        "A port that is none.",
        "Profiles stand in a folder.",
        "A 429 is no news.",
        "At most as many requests as he used.",
    ],
)
def test_each_habit_is_found(habit: str) -> None:
    assert find_alerts(iter([habit]))


@pytest.mark.parametrize(
    "plain", ["What do I do next?", "It can be read. It is a number, not text.", "See [it](x.md)."]
)
def test_plain_sentences_pass(plain: str) -> None:
    assert not find_alerts(iter([plain]))
