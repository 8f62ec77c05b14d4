"""Masking of the token in everything that is shown."""

from __future__ import annotations

import re
from functools import lru_cache
from html import unescape
from typing import Final
from urllib.parse import unquote

from enapter_async.models.common import JSON

MASK: Final = "***"
_SHORTEST: Final = 4
"""Minimum length of a secret. Masking shorter texts would make everything unreadable."""
_BEGINNING: Final = 8
"""Minimum length of a masked beginning of a secret, for texts that were truncated inside it."""
_ESCAPES: Final = ("\\", "%", "&", "+")
"""Beginnings of escaped characters: in a repr or JSON, in a URL, in HTML, in a form."""
# Each level of a URL or of HTML escapes these two again.
_PERCENT: Final = "%(?:25){0,4}"
_AMPERSAND: Final = "&(?:amp;){0,4}"
_LEVELS: Final = 8
"""Maximum number of times that a text is decoded to look for a secret."""
_CODES: Final = re.compile(
    r"\\+(?:u\{0*([0-9a-f]{1,6})\}|(?-i:U)([0-9a-f]{8})|u([0-9a-f]{4})|x([0-9a-f]{2})|([0-7]{3})|(.))|%u([0-9a-f]{4})",
    re.IGNORECASE | re.DOTALL,
)
_NAMES: Final = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}


def masked(text: str, *secrets: str | None) -> str:
    """Return the text with every secret masked, since servers and proxies echo requests.

    A secret is found in any notation: as it is, or with characters escaped as in a repr, in JSON, in a URL
    or in HTML, also one within the other.
    """
    for secret in secrets:
        if secret and len(secret) >= _SHORTEST:
            text = _without(text, secret)
            if _contains_escaped(text, secret):
                words = re.split(r'(["\s]+)', text)
                text = "".join(MASK if _contains_escaped(word, secret) else word for word in words)
                text = MASK if _contains_escaped(text, secret) else text
    return text


def _contains_escaped(text: str, secret: str) -> bool:
    """Whether a text contains a secret, or the beginning of one, after it is decoded repeatedly."""
    beginning = secret[:_BEGINNING]
    for _ in range(_LEVELS):
        decoded = unescape(unquote(_CODES.sub(_decode, text))) if "\\" in text or "%" in text else unescape(text)
        if decoded == text:
            return False
        text = decoded
        if beginning in text:
            return True
    return False


def _decode(match: re.Match[str]) -> str:
    *codes, octal, character, percent = match.groups()
    if character is not None:
        return str(character)
    code = int(octal, 8) if octal else int(percent or next(filter(None, codes)), 16)
    return chr(code) if code < 0x110000 else ""


def _without(text: str, secret: str) -> str:
    escaped = any(one in text for one in _ESCAPES)
    beginning, rest = _patterns(secret, escaped=escaped)
    shown: list[str] = []
    end = 0
    while (found := beginning.search(text, end)) is not None:
        shown += (text[end : found.start()], MASK)
        end = found.end()
        for pattern in rest:
            if (more := pattern.match(text, end)) is None:
                break
            end = more.end()
    shown.append(text[end:])
    return "".join(shown)


@lru_cache(maxsize=8)
def _patterns(secret: str, *, escaped: bool) -> tuple[re.Pattern[str], tuple[re.Pattern[str], ...]]:
    """Return a pattern for the beginning of a secret, and patterns for each next piece."""
    pieces = re.findall(r"\\+|[^\\]", secret)
    count, length = 0, 0
    while length < _BEGINNING and count < len(pieces):
        length += len(pieces[count])
        count += 1
    forms = [_any_form(piece) if escaped else re.escape(piece) for piece in pieces]
    return re.compile("".join(forms[:count])), tuple(map(re.compile, forms[count:]))


def _any_form(piece: str) -> str:
    """Return a pattern for every notation of a character, or of several backslashes, which each level doubles."""
    code = ord(piece[0])
    escaped = rf"(?i:{_PERCENT}{code:02x}|{_AMPERSAND}#(?:0*{code}|x0*{code:x});"
    escaped += rf"|\\{{1,8}}(?:u{code:04x}|u\{{0*{code:x}\}}|x{code:02x}|{code:03o}))"
    if piece[0] == "\\":
        count = len(piece)
        return rf"(?:{escaped}{{{count}}}|\\{{{count},{8 * count}}})"
    forms = [escaped, r"\\{0,8}" + re.escape(piece)]
    if piece in _NAMES:
        forms.insert(0, f"{_AMPERSAND}{_NAMES[piece]};")
    if piece == " ":
        forms.append(r"\+")  # as in a form
    return f"(?:{'|'.join(forms)})"


def masked_json(value: JSON, *secrets: str | None) -> JSON:
    """Return a JSON value with every secret masked in its strings and keys."""
    if isinstance(value, str):
        return masked(value, *secrets)
    if isinstance(value, list):
        return [masked_json(item, *secrets) for item in value]
    if isinstance(value, dict):
        return {masked(key, *secrets): masked_json(item, *secrets) for key, item in value.items()}
    return value
