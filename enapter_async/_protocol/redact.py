"""Keeping the token out of everything that is shown."""

from __future__ import annotations

from typing import Final

from enapter_async.models.common import JSON

MASK: Final = "***"
_SHORTEST: Final = 4
"""What is shorter is no secret, and hiding it would make every text unreadable."""
_BEGINNING: Final = 8
"""So much of a secret counts as the secret, for texts that were cut off in the middle of it."""


def masked(text: str, *secrets: str | None) -> str:
    """Return the text with every secret replaced: servers and proxies echo what they were sent."""
    for secret in secrets:
        if secret and len(secret) >= _SHORTEST:
            text = _without(text, secret)
    return text


def _without(text: str, secret: str) -> str:
    beginning = secret[:_BEGINNING]
    start = text.find(beginning)
    while start >= 0:
        end = start + len(beginning)
        while end - start < len(secret) and text[end : end + 1] == secret[end - start]:
            end += 1
        text = text[:start] + MASK + text[end:]
        start = text.find(beginning, start + len(MASK))
    return text


def masked_json(value: JSON, *secrets: str | None) -> JSON:
    """Return a JSON value with every secret replaced in its texts and keys."""
    if isinstance(value, str):
        return masked(value, *secrets)
    if isinstance(value, list):
        return [masked_json(item, *secrets) for item in value]
    if isinstance(value, dict):
        return {masked(key, *secrets): masked_json(item, *secrets) for key, item in value.items()}
    return value
