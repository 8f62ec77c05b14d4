"""What all models share: open enums, the UNSET sentinel, and times."""

from __future__ import annotations

import enum
from datetime import timedelta
from typing import Final, Literal, Self, TypeAlias

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"
Duration: TypeAlias = timedelta | float
"""A length of time: a timedelta, or plain seconds."""


class Unset(enum.Enum):
    """The type of `UNSET`: an argument that was not given and is not sent."""

    UNSET = "UNSET"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""Do not send this field. None means JSON null, where null has a meaning."""


class OpenEnum(enum.StrEnum):
    """A string enum that the server may extend without breaking a caller.

    A known value, in any case, gives its one member. An unknown value keeps its text, compares equal to it
    and has `is_known` False. (reference.md, Known quirks 8 and 9.)
    """

    is_known: bool

    def __new__(cls, value: str) -> Self:
        """Make a member declared in the class body."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.is_known = True
        return member

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        folded = value.casefold()
        for member in cls:
            if member.value.casefold() == folded:
                return member
        return cls._unknown(value)

    @classmethod
    def _unknown(cls, value: str) -> Self:
        # Not registered as a member: a server that invents values must not grow our memory.
        member = str.__new__(cls, value)
        member._name_ = value
        member._value_ = value
        member.is_known = False
        return member

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__}.{self.name}>"
            if self.is_known
            else f"<{type(self).__name__} {self.value!r}>"
        )

    # str's own: two unknown members of one text are equal, and equal to the text.
    __hash__ = str.__hash__
