"""Build `llms.txt` and `llms-full.txt`, describe every page in one sentence, and show the source of examples.

Language models read llms.txt (https://llmstxt.org): a list of all pages, each beside its text as Markdown.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any, Final

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
_SOURCE: Final = re.compile(r"^<!-- source: (?P<name>\w+\.py) -->$", re.MULTILINE)
_FENCE: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_NOT_PROSE: Final = ("#", ":::", "|", "!", "<", "- ", ">")
_LONGEST: Final = 240

_texts: dict[str, str] = {}
"""Markdown of each page, by its path below docs."""
_pages: list[Any] = []
"""Pages in the order of the navigation."""


def describe(markdown: str) -> str:
    """Return the first sentence of a page as plain text."""
    for block in re.split(r"\n\s*\n", _FENCE.sub("", markdown)):
        text = " ".join(block.split())
        if text and not text.startswith(_NOT_PROSE):
            text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("`", "").replace("**", "")
            return re.split(r"(?<=[.!?])\s", text)[0]
    return ""


def show_sources(markdown: str) -> str:
    """Replace the comment `<!-- source: NAME.py -->` with the program of that name, folded."""
    return _SOURCE.sub(lambda found: _show_source(EXAMPLES / found["name"]), markdown)


def _show_source(program: Path) -> str:
    block = f"```python\n{program.read_text('utf-8').rstrip()}\n```"
    return f'??? example "Source of {program.name}"\n\n{textwrap.indent(block, "    ")}'


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Describe a page, for search engines too, and remember its text."""
    sentence = describe(markdown)
    if not sentence.endswith(".") or len(sentence) > _LONGEST:
        raise ValueError(f"{page.file.src_uri}: begin with a sentence that describes the page, not {sentence!r}")
    page.meta["description"] = sentence
    text = show_sources(markdown)
    _texts[page.file.src_uri] = text
    return text


def on_page_content(html: str, *, page: Any, **_: Any) -> None:
    """Remember the text of pages that mkdocstrings fills."""
    from markdownify import markdownify  # so that tests of this file do not need it

    if re.search(r"^:::", _texts[page.file.src_uri], re.MULTILINE):
        text = markdownify(html, heading_style="ATX", strip=["a", "img"])
        _texts[page.file.src_uri] = re.sub(r"\n{3,}", "\n\n", text.replace("¶", "")).strip() + "\n"


def on_nav(nav: Any, **_: Any) -> None:
    """Remember the pages in the order of the navigation."""
    _pages[:] = nav.pages


def on_post_build(*, config: Any, **_: Any) -> None:
    """Write the files, now that every page has its text."""
    site = Path(config.site_dir)
    base = f"{config.site_url.rstrip('/')}/" if config.site_url else ""
    listed = f"# {config.site_name}\n\n> {config.site_description}.\n"
    section = None
    for page in _pages:
        heading = page.parent.title if page.parent else "Overview"
        if heading != section:
            section = heading
            listed += f"\n## {section}\n\n"
        uri = page.file.src_uri
        listed += f"- [{page.title}]({base}{uri}): {page.meta['description']}\n"
        (site / uri).parent.mkdir(parents=True, exist_ok=True)
        (site / uri).write_text(_texts[uri], "utf-8")
    (site / "llms.txt").write_text(listed, "utf-8")
    full = (f"<!-- {page.file.src_uri} -->\n\n{_texts[page.file.src_uri]}" for page in _pages)
    (site / "llms-full.txt").write_text("\n\n".join(full), "utf-8")
