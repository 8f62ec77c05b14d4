"""The pages on errors follow the code: messages that readers search for, and the tree of exceptions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

import pytest
from pages import ROOT, blocks

from enapter_async.errors import EnapterError

TROUBLESHOOT: Final = ROOT / "docs" / "how-to" / "troubleshoot.md"
ERRORS: Final = ROOT / "docs" / "explanation" / "errors.md"
FOREIGN: Final = {
    "enapter-async: command not found",
    "asyncio.run() cannot be called from a running event loop",
    "'NoneType' object has no attribute ...",
    "'coroutine' object has no attribute ...",
    "'Pager' object is not iterable",
    "Unclosed client session",
}
"""Messages of shells, of Python and of aiohttp."""

_HEADING: Final = re.compile(r"^### (.+)$", re.MULTILINE)
_CLASS: Final = re.compile(r"^([│├└─ ]*)(\w+)", re.MULTILINE)


def read_literals() -> str:
    """Return every text literal of the package, with `{}` for the values in it."""
    found: list[str] = []
    for path in (ROOT / "enapter_async").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def read_messages() -> Iterator[str]:
    """Yield the messages in the headings, and not the names of classes."""
    for heading in _HEADING.findall(TROUBLESHOOT.read_text("utf-8")):
        for quoted in re.findall(r"`([^`]+)`", heading):
            if not re.fullmatch(r"\w+", quoted) and quoted not in FOREIGN:
                yield quoted


@pytest.fixture(scope="module")
def literals() -> str:
    return read_literals()


@pytest.mark.parametrize("message", list(read_messages()))
def test_messages_are_those_of_the_code(message: str, literals: str) -> None:
    for part in filter(None, (part.strip() for part in message.split("..."))):
        assert part in literals


def test_the_tree_of_exceptions_is_that_of_the_code() -> None:
    (tree,) = blocks(ERRORS, "text")
    shown: dict[str, str | None] = {}
    above: list[str] = []
    for indent, name in _CLASS.findall(tree):
        depth = len(indent) // 4
        above[depth:] = [name]
        shown[name] = above[depth - 1] if depth else None
    assert set(shown) == {error.__name__ for error in walk(EnapterError)}
    for error in walk(EnapterError):
        if error is not EnapterError:
            assert shown[error.__name__] in {base.__name__ for base in error.__bases__}


def walk(error: type[EnapterError]) -> Iterator[type[EnapterError]]:
    """Yield a class and all classes below it."""
    yield error
    for below in error.__subclasses__():
        if below.__module__ == EnapterError.__module__:  # not those that other modules keep for themselves
            yield from walk(below)
