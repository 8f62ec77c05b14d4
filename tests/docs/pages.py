"""The pages that people read, and the code blocks in them."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from enapter_async.simulator import Simulator

ROOT = Path(__file__).parents[2]
PAGES = (
    *sorted(ROOT.glob("*.md")),
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)
_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def page_name(page: Path) -> str:
    """Return the path of a page below the root of the repository."""
    return page.relative_to(ROOT).as_posix()


def fences(page: Path) -> list[tuple[str, str]]:
    """Return language and text of every code block."""
    return [(match["info"].split(" ")[0], match["text"]) for match in _FENCE.finditer(page.read_text("utf-8"))]


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the code blocks in these languages."""
    return [text for language, text in fences(page) if language in languages]


def skip_without_libraries(block: str) -> list[pytest.MarkDecorator]:
    """Return the marks of a test that runs a block, which may need libraries of the group `test`."""
    missing = [name for name in ("fastapi", "aiogram") if f"from {name}" in block and find_spec(name) is None]
    return [pytest.mark.skipif(bool(missing), reason=f"not installed: {missing}")]


def without_code(page: Path) -> str:
    """Return the prose, where brackets are links."""
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", page.read_text("utf-8")))


def environment(simulator: Simulator) -> dict[str, str]:
    """The environment of a program that uses the simulator, with nothing of ours in it."""
    needed = {name: value for name, value in os.environ.items() if name == "SYSTEMROOT"}  # sockets of Windows do
    return {
        **needed,
        "ENAPTER_HTTP_API_TOKEN": simulator.token,
        "ENAPTER_HTTP_API_BASE_URL": simulator.url,
        "REDIS_URL": "redis://127.0.0.1:1/0",  # nobody listens: a client goes on without it
        "PYTHONWARNINGS": "error",
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "PATH": "",
    }
