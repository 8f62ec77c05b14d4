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
    """A value that does not match its type. It collects the path to the value while it propagates."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self._way: list[str | int] = []

    def within(self, step: str | int) -> Mismatch:
        """Prepend a field or an index to the path."""
        self._way.append(step)
        return self

    def path(self, start: str) -> str:
        """Return the complete path, such as `devices[3].updated_at`."""
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
    """Return a mismatch that names the type of the value, but never the value, which may be a secret."""
    kind = type(value).__name__
    return Mismatch(f"expected {what}, got {_JSON_NAMES.get(kind, kind)}")
