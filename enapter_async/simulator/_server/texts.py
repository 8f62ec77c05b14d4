"""Check texts that users pass: hosts, paths and tokens."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import cast


def require_text(name: str, value: object) -> str:
    """Return a text or a path, unless it is empty.

    Args:
        name: Name of the argument.
        value: Its value.

    Raises:
        TypeError: It is not a string or path.
        ValueError: It is empty or blank.
    """
    text: object = os.fspath(cast("os.PathLike[str]", value)) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a string, not {type(text).__name__}")
    if not text.strip():
        raise ValueError(f"{name} must not be empty")
    return text


def require_token(name: str, value: object) -> str:
    """Return a token, if it can be sent in a header.

    Args:
        name: Name of the argument.
        value: Its value.

    Raises:
        TypeError: It is not a string.
        ValueError: It is empty, has white space around it, or characters other than printable ASCII.
    """
    token = require_text(name, value)
    if not token.isascii() or not token.isprintable() or token != token.strip():
        raise ValueError(f"{name} must be printable ASCII, without white space around it")
    return token


def require_names(name: str, values: Collection[str]) -> set[str]:
    """Return several names, unless one is empty.

    Args:
        name: Name of the argument.
        values: Its value.

    Raises:
        TypeError: It is a single string, or an item is not a string.
        ValueError: A name is empty or blank.
    """
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{name} must be a collection of strings")
    if not all(value.strip() for value in values):
        raise ValueError(f"{name} must not contain an empty name")
    return set(values)
