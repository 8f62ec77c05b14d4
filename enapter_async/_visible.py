"""Makes text from other systems safe to show in error messages, log lines and terminals."""

from __future__ import annotations

import re
from typing import Final

# Characters that are not visible: C0 and C1 controls, line and paragraph separators, direction and other invisible
# format characters, and surrogates, which no output can encode. Joiners stay: emoji and several scripts need them.
_ACTING: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e007f\ud800-\udfff]"
)


def make_visible(text: str, *, lines: bool = False) -> str:
    r"""Return text with invisible characters escaped, such as `\x1b`.

    Text from a server can then not control a terminal, start a new line in a log, or change the text direction.

    Args:
        text: Text to escape.
        lines: Keep line feeds, for text that may span several lines.
    """
    if text.isprintable() and text.isascii():
        return text
    return _ACTING.sub(_escape_line_feed_kept if lines else _escape, text)


def _escape(match: re.Match[str]) -> str:
    return repr(match.group())[1:-1]


def _escape_line_feed_kept(match: re.Match[str]) -> str:
    return "\n" if match.group() == "\n" else _escape(match)
