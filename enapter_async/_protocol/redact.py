"""Keeping the token out of everything that is shown."""

from __future__ import annotations

from typing import Final

MASK: Final = "***"


def masked(text: str, *secrets: str | None) -> str:
    """Return the text with every secret replaced: servers and proxies echo what they were sent."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    return text
