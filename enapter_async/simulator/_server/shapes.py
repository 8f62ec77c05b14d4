"""Narrow the types of JSON values for the type checkers."""

from __future__ import annotations

import json
from typing import Any


def as_mapping(value: Any) -> dict[str, Any] | None:
    """Return a JSON object, or None for anything else."""
    entries: dict[str, Any] = value
    return entries if isinstance(value, dict) else None


def as_list(value: Any) -> list[Any] | None:
    """Return a JSON array, or None for anything else."""
    items: list[Any] = value
    return items if isinstance(value, list) else None


def json_text(value: Any) -> str:
    """Return JSON that UTF-8 can encode: lone surrogates, which no UTF-8 has, stay escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))
    return text
