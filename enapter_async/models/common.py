"""Types shared by all models: open enums, the UNSET sentinel, JSON and durations.

Models of responses are frozen, slotted attrs classes. Only identifiers are required. A field is None, or has its
default, if the server omitted it or sent null. Fields that this version does not know are kept in `extra`. Equal
objects within one response, such as the site of several devices, may be the same object.
"""

# They have no weak-reference slot: the converter fills them through a writable twin, which must have the same memory
# layout (see `_protocol.model_reader`).

from __future__ import annotations

import enum
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, Self, TypeAlias

if TYPE_CHECKING:
    JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"
else:
    JSON = Any  # at run time a free-form value is opaque


class _NoExtra(dict[str, JSON]):
    """An empty dict that stays empty. Copying or unpickling it returns the same object."""

    if not TYPE_CHECKING:

        def _refuse(self, *_: object, **__: object) -> NoReturn:
            raise TypeError("a model is frozen: its extra cannot be changed")

        __setitem__ = __ior__ = setdefault = update = _refuse

        def __reduce__(self) -> str:
            return "NO_EXTRA"


NO_EXTRA: Final[dict[str, JSON]] = _NoExtra()
"""The `extra` of models without unknown fields. It is shared, since one dict per object would cost too much."""

Duration: TypeAlias = timedelta | float
"""A duration: a timedelta or a number of seconds."""


class Unset(enum.Enum):
    """The type of `UNSET`, which marks arguments that are not sent."""

    UNSET = "UNSET"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""Do not send this field. Unlike None, which sends null where null has a meaning."""


class OpenEnum(enum.StrEnum):
    """A string enum that accepts new values of the server.

    A known value, in upper or lower case, gives its member. An unknown value keeps its text, compares equal to it,
    and has `is_known` False.
    """

    is_known: bool

    def __new__(cls, value: str) -> Self:
        """Create a member that is declared in the class body."""
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
        # Not registered as a member, so that new values from a server do not use up memory.
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
    """An open enum whose members are ordered as declared, lowest first.

    `<`, `<=`, `>` and `>=` accept a member or its text. Comparing an unknown value raises TypeError, since its
    position in the order is unknown. Equality always works.
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
    """Access roles, lowest first. Each role includes the ones before it.

    You can compare roles: `device.authorized_role >= AccessRole.OWNER`. See `OrderedEnum` for unknown roles.
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
