"""What all models share: open enums, the UNSET sentinel, JSON, and lengths of time.

Models of answers are frozen, slotted attrs classes. Only identifiers are required. A field is None, or has its
default, when the server left it out or sent null; fields that this version does not know are kept in `extra`. Objects
that are equal within one answer, such as the site of a list's devices, may be one object.
"""

# They have no weak-reference slot: the converter fills them through a writable twin of the same memory layout, which
# needs that (see `_protocol.model_reader`).

from __future__ import annotations

import enum
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, Self, TypeAlias

if TYPE_CHECKING:
    JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"
else:
    JSON = Any  # at run time a free-form value is opaque: nothing walks into it


class _NoExtra(dict[str, JSON]):
    """An empty dict that stays empty, and is one object however often it is copied or pickled."""

    if not TYPE_CHECKING:

        def _refuse(self, *_: object, **__: object) -> NoReturn:
            raise TypeError("a model is frozen, and so is its extra")

        __setitem__ = __ior__ = setdefault = update = _refuse

        def __reduce__(self) -> str:
            return "NO_EXTRA"


NO_EXTRA: Final[dict[str, JSON]] = _NoExtra()
"""The `extra` of a model without unknown fields; shared, because a dict for each object costs more than the object."""

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
    and has `is_known` False.
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
        return f"<{type(self).__name__}.{self.name}>" if self.is_known else f"<{type(self).__name__} {self.value!r}>"

    # str's own: two unknown members of one text are equal, and equal to the text.
    __hash__ = str.__hash__


class OrderedEnum(OpenEnum):
    """An open enum whose members are ordered as they are declared, lowest first.

    `<`, `<=`, `>` and `>=` take a member or its text. A value that is not known has no place in the order:
    comparing it raises TypeError, because either answer could be the wrong one. Equality always works.
    """

    def __lt__(self, other: str) -> bool:
        return self._rank(self, "<") < self._rank(other, "<")

    def __le__(self, other: str) -> bool:
        return self._rank(self, "<=") <= self._rank(other, "<=")

    def __gt__(self, other: str) -> bool:
        return self._rank(self, ">") > self._rank(other, ">")

    def __ge__(self, other: str) -> bool:
        return self._rank(self, ">=") >= self._rank(other, ">=")

    @classmethod
    def _rank(cls, value: object, operator: str) -> int:
        member = value if isinstance(value, cls) else cls(value) if type(value) is str else None
        if member is None or not member.is_known:
            raise TypeError(f"{operator} is not defined between {cls.__name__} and {value!r}")
        return list(cls).index(member)


class AccessRole(OrderedEnum):
    """What a user may do, lowest first; each role includes those before it.

    Comparable: `device.authorized_role >= AccessRole.OWNER`. See `OrderedEnum` for roles that are not known.
    """

    READONLY = "READONLY"
    USER = "USER"
    OWNER = "OWNER"
    INSTALLER = "INSTALLER"
    VENDOR = "VENDOR"
    SYSTEM = "SYSTEM"

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        # The documentation's prose spells the lowest role READ_ONLY.
        if isinstance(value, str) and value.casefold() == "read_only":
            value = "READONLY"
        return super()._missing_(value)
