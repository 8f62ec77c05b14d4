"""Telling the type checkers what JSON turned out to be."""

from __future__ import annotations

from typing import Any


def as_mapping(value: Any) -> dict[str, Any] | None:
    """Give a JSON object as such, anything else as None."""
    entries: dict[str, Any] = value
    return entries if isinstance(value, dict) else None


def as_list(value: Any) -> list[Any] | None:
    """Give a JSON array as such, anything else as None."""
    items: list[Any] = value
    return items if isinstance(value, list) else None
