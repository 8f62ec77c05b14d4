"""The exception that the readers of the converter raise, before it becomes a `SchemaError`."""

from __future__ import annotations

from typing import Final

_LONGEST_STEP: Final = 64

_JSON_NAMES: Final = {
    "NoneType": "null",
    "bool": "a boolean",
    "int": "a number",
    "float": "a number",
    "str": "text",
    "list": "an array",
    "dict": "an object",
}


class Mismatch(Exception):  # noqa: N818 - a signal inside the converter; callers see SchemaError
    """A value that is not what its type says; collects the way to it while it travels up."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self._way: list[str | int] = []

    def within(self, step: str | int) -> Mismatch:
        """Add the field or the index that this happened in."""
        self._way.append(step)
        return self

    def path(self, start: str) -> str:
        """Return the whole way, such as `devices[3].updated_at`."""
        path = start
        for step in reversed(self._way):
            if isinstance(step, int):
                path += f"[{step}]"
            elif step.isidentifier() and len(step) <= _LONGEST_STEP:
                path += f".{step}" if path else step
            else:
                path += f"[{step[:_LONGEST_STEP]!r}]"
        return path


def expected(what: str, value: object) -> Mismatch:
    """Return a mismatch that names the kind of the value and never the value: it may be a secret."""
    kind = type(value).__name__
    return Mismatch(f"expected {what}, got {_JSON_NAMES.get(kind, kind)}")
