"""Plain English on every page and in docstrings, comments and messages: the rules of docs/.vale, read without vale.

`EXCEPTIONS` is the short list of sentences that a rule finds wrongly.
"""

from __future__ import annotations

import ast
import inspect
import re
import tokenize
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
EXCEPTIONS: Final = frozenset({'he said "later"'})

_FENCE: Final = re.compile(r"^( *)(```|~~~).*?^\1\2\s*$", re.MULTILINE | re.DOTALL)
_NO_PROSE: Final = re.compile(r"\n|-src '")
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
    """Yield the paragraphs of every docstring of a module, those of constants included."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from read_paragraphs(inspect.cleandoc(node.value.value))


def read_comments(path: Path) -> Iterator[str]:
    """Yield the comments of a module; those on consecutive lines are one."""
    lines: list[str] = []
    expected = 0
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type == tokenize.COMMENT:
                if lines and token.start[0] != expected:
                    yield " ".join(lines)
                    lines = []
                lines.append(_CODE.sub("x", token.string.strip("# ")))
                expected = token.start[0] + 1
    yield " ".join(lines)


def read_messages(path: Path) -> Iterator[str]:
    """Yield the texts of a module on one line, with `x` for the values in them. Docstrings and code are left out."""
    tree = ast.parse(path.read_text("utf-8"))
    others = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    others |= {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in others:
            yield node.value if not _NO_PROSE.search(node.value) else ""


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


@pytest.mark.parametrize("source", SOURCES, ids=name)
def test_comments_and_messages_are_plain_english(source: Path) -> None:
    assert not (found := find_alerts(read_comments(source)) + find_alerts(read_messages(source))), "\n".join(found)


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
        "No ID comes twice, even if the store is away.",
        "Look whether the page «Operations» names it, whatever comes.",
        "Look before you repeat it.",
        "The client finds the limit by itself.",
        "It runs as a user of its own.",
        "Late data cannot be told from a response.",
        "Find out what became of a call.",
        "A 429 is safe to repeat: this holds for commands as well.",
        "A folder beside the file.",
        "The collector counts 429 answers.",
        "The server's answer is cut off.",
        "No answer came.",
    ],
)
def test_each_habit_is_found(habit: str) -> None:
    assert find_alerts(iter([habit]))


@pytest.mark.parametrize(
    "plain",
    ["What do I do next?", "The API answers 429.", "It can be read. It is a number, not text.", "See [it](x.md)."],
)
def test_plain_sentences_pass(plain: str) -> None:
    assert not find_alerts(iter([plain]))
