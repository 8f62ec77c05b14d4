"""Check command arguments and configuration parameters against the manifest."""

from __future__ import annotations

import math
from typing import Any

from ..errors import Refusal, unprocessable

MASK = "***"


def check(declarations: dict[str, dict[str, Any]], values: dict[str, Any], what: str) -> None:
    """Check that values are declared and fit their declarations.

    Args:
        declarations: Entries of the manifest by name.
        values: Values by name; None counts as absent.
        what: `argument` or `parameter`, for the message.

    Raises:
        Refusal: A value does not fit (422).
    """
    for name, value in values.items():
        if name not in declarations:
            raise _refuse(what, name, "is not declared in the manifest")
        if value is not None:
            _check_one(declarations[name], value, what, name)


def check_required(declarations: dict[str, dict[str, Any]], values: dict[str, Any], what: str) -> None:
    """Check that all required values are present.

    Raises:
        Refusal: A required value is missing (422).
    """
    for name, declaration in declarations.items():
        if declaration.get("required") and values.get(name) is None:
            raise _refuse(what, name, "is required")


def with_defaults(declarations: dict[str, dict[str, Any]], values: dict[str, Any]) -> dict[str, Any]:
    """Add the declared defaults of missing values."""
    defaults = {name: entry["default"] for name, entry in declarations.items() if "default" in entry}
    return defaults | {name: value for name, value in values.items() if value is not None}


def masked(declarations: dict[str, dict[str, Any]], values: dict[str, Any]) -> dict[str, Any]:
    """Hide the values of sensitive arguments."""
    return {name: MASK if declarations.get(name, {}).get("sensitive") else value for name, value in values.items()}


def _refuse(what: str, name: str, message: str) -> Refusal:
    return unprocessable(f"{what} {name[:200]!r} {message}", code=f"invalid_{what}", details={what: name[:200]})


def _check_one(declaration: dict[str, Any], value: Any, what: str, name: str) -> None:
    kind = str(declaration.get("type", "string"))
    if not _fits(kind, value):
        raise _refuse(what, name, f"must be of type {kind}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = declaration.get("min", -math.inf), declaration.get("max", math.inf)
        if not low <= value <= high:
            raise _refuse(what, name, f"must be from {low} to {high}")
    enum = declaration.get("enum")
    if enum and kind != "json":
        allowed: list[Any] = list(enum)
        # The keys of an enum in map form are always texts.
        if value not in allowed and str(value) not in map(str, allowed):
            raise _refuse(what, name, f"must be one of {', '.join(map(str, allowed))}")


def _fits(kind: str, value: Any) -> bool:
    match kind:
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array_of_strings":
            return isinstance(value, list) and all(isinstance(item, str) for item in _items(value))
        case _:
            return True


def _items(value: Any) -> list[Any]:
    return list(value)
