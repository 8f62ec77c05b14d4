"""docs/reliability.md names tests: each of them exists, and each promise has one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`([a-z_]+/test_\w+\.py)::(\w+)`", PAGE)))
HEADINGS = ("What users are promised", "Retry safety", "Cancellation and structured concurrency", "Streams", "Safety")


@cache
def names_in(file: str) -> frozenset[str]:
    """Return the functions, classes and variables at the top of a test file."""
    found: set[str] = set()
    for node in ast.parse((ROOT / "tests" / file).read_text("utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(found)


def rows(heading: str) -> list[str]:
    """Return the promises under a heading."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return [line for line in section.splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_the_test_that_is_named_exists(file: str, name: str) -> None:
    assert name in names_in(file)


@pytest.mark.parametrize("heading", HEADINGS)
def test_every_promise_has_a_test(heading: str) -> None:
    promises = rows(heading)
    assert len(promises) >= 7
    assert [row for row in promises if "::test_" not in row and "::Test" not in row] == []
