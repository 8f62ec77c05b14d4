"""The pages that people read, and the code blocks in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    *sorted(ROOT.glob("*.md")),
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)
_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def fences(page: Path) -> list[tuple[str, str]]:
    """Return language and text of every code block."""
    return [(match["info"].split(" ")[0], match["text"]) for match in _FENCE.finditer(page.read_text("utf-8"))]


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the code blocks in these languages."""
    return [text for language, text in fences(page) if language in languages]


def without_code(page: Path) -> str:
    """Return the prose, where brackets are links."""
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", page.read_text("utf-8")))
