"""Generates the function that reads a JSON object into a frozen attrs class.

The function is generated once per class. It reads each field of the object once, checks its type inline and stores it
in a writable twin, a class with the same slots whose `__class__` is replaced at the end. So a frozen object costs as
much as a mutable one, and attrs validators, which are for values from users, do not check the fields again. This makes
every list faster: 2.3 µs per device, compared with 4.7 without twins, 6.1 without generated code and 3.9 with cattrs'
own readers (benchmarks/bench_decode.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar, cast

import attrs

from enapter_async._protocol.decoding.mismatch import Mismatch, expected
from enapter_async._protocol.decoding.scalars import Hook, Seen, json_object
from enapter_async.models.common import JSON, NO_EXTRA
from enapter_async.models.manifest import Manifest

T = TypeVar("T")


@attrs.frozen
class ModelField:
    """One field of a model, and how to read it.

    Attributes:
        name: Name in the model and on the wire.
        other_name: Alternative name on the wire.
        default: Default in attrs.
        hook: Reads any value.
        inline: Expression that reads the usual value from `v`; `{read}` in it calls the hook.
        lookup: Object that the expression calls `lookup`.
    """

    name: str
    other_name: str | None
    default: Any
    hook: Hook
    inline: str = "{read}"
    lookup: Callable[[Any], Any] | None = None

    @property
    def is_required(self) -> bool:
        """Whether the field has no default."""
        return self.default is attrs.NOTHING

    def found_as(self, value: dict[str, JSON]) -> str:
        """Return the name under which the field is present. Null counts as absent."""
        return self.other_name if self.other_name and value.get(self.name) is None else self.name


def model_reader(cls: type[Any], fields: list[ModelField], bare_field: str | None = None) -> Hook:
    """Return the hook of a model class.

    Args:
        cls: A slotted class without a weak-reference slot, with a field `extra`.
        fields: Its other fields.
        bare_field: Field to fill if the value is text instead of an object.
    """
    twin = writable_twin(cls)
    scope: dict[str, Any] = {
        "cls": cls,
        "no_extra": NO_EXTRA,
        "twin": twin,
        "wrapped": partial(_wrapped, bare_field),
        # TypeError: an array or an object, which cannot be looked up, instead of an enum's text.
        "failures": (Mismatch, TypeError),
        "locate": partial(_locate, fields),
        "unknown": partial(_unknown, fields),
    }
    lines = [
        "def read(value, seen):",
        "    if type(value) is not dict:",
        "        value = wrapped(value)",
        "    get = value.get",
        "    model = twin()",
        "    absent = 0",
        "    try:",
    ]
    for number, field in enumerate(fields):
        lines += [f"        {line}" for line in _statements(field, number, scope)]
    lines += [
        "    except failures:",
        "        locate(value)",
        "        raise",
        # One comparison detects unknown fields (or a null).
        f"    model.extra = no_extra if len(value) + absent == {len(fields)} else unknown(value)",
        "    model.__class__ = cls",
        "    return model",
    ]
    exec("\n".join(lines), scope)  # noqa: S102 - made of our own classes' names, nothing from outside
    return cast("Hook", scope["read"])


def writable_twin(cls: type[Any]) -> type[Any]:
    """Return a writable class of the same memory layout."""
    return type(cls.__name__, (), {"__slots__": cls.__slots__})


_manifest_twin: Final = writable_twin(Manifest)


def model_maker(cls: type[T], *names: str) -> Callable[..., T]:
    """Return a function that creates a model from values that need no check.

    Calling a frozen class costs twice for each field: for the check, and for bypassing its own write protection.

    Args:
        cls: A slotted class without a weak-reference slot.
        names: All of its fields, in the order of the function's arguments.
    """
    lines = [
        f"def make({', '.join(names)}):",
        "    model = twin()",
        *(f"    model.{name} = {name}" for name in names),
        "    model.__class__ = cls",
        "    return model",
    ]
    scope: dict[str, Any] = {"cls": cls, "twin": writable_twin(cls)}
    exec("\n".join(lines), scope)  # noqa: S102 - made of our own classes' names, nothing from outside
    return cast("Callable[..., T]", scope["make"])


def read_manifest(value: object, _: object) -> Manifest:
    """Read a manifest without decoding its content."""
    raw = json_object(value, None)
    manifest = _manifest_twin()
    manifest.raw = raw
    manifest.__class__ = Manifest
    return cast("Manifest", manifest)


def shared(cls: type[Any], read: Hook, key: str) -> Hook:
    """Return a hook that reads equal objects of a response once, such as the site shared by the devices of a list.

    It costs a comparison, a fifth of the time to read a site. Equality is Python's, so 1 equals true.

    Args:
        cls: The class.
        read: Hook of the class.
        key: Field that distinguishes most of its objects.
    """

    def read_shared(value: JSON, seen: Seen) -> object:
        name = value.get(key) if type(value) is dict else None
        if type(name) is not str:
            return read(value, seen)
        known = seen.get(name)
        try:
            if known is not None and known[0] == value and type(known[1]) is cls:
                return known[1]
        except RecursionError:  # unknown fields may be nested as deeply as the parser allows
            return read(value, seen)
        model = read(value, seen)
        seen[name] = value, model
        return model

    return read_shared


def _statements(field: ModelField, number: int, scope: dict[str, Any]) -> list[str]:
    scope[f"hook_{number}"] = field.hook
    scope[f"lookup_{number}"] = field.lookup
    store = f"model.{field.name} = "
    inline = field.inline.format(read=f"hook_{number}(v, seen)", lookup=f"lookup_{number}")
    lines = [f"v = get({field.name!r})"]
    if field.other_name:
        lines += ["if v is None:", f"    v = get({field.other_name!r})"]
    if field.is_required:
        return [*lines, store + inline]
    default = f"default_{number}"
    if isinstance(field.default, attrs.Factory):  # type: ignore[arg-type]
        scope[default] = field.default.factory
        default += "()"
    else:
        scope[default] = field.default
    return [*lines, "if v is None:", f"    {store}{default}", "    absent += 1", "else:", f"    {store}{inline}"]


def _wrapped(bare_field: str | None, value: JSON) -> dict[str, JSON]:
    if bare_field is not None and isinstance(value, str):
        return {bare_field: value}
    raise expected("an object", value)


def _locate(fields: list[ModelField], value: dict[str, JSON]) -> None:
    """Raise for the first field that cannot be read."""
    for field in fields:
        name = field.found_as(value)
        one = value.get(name)
        if one is None and not field.is_required:
            continue
        if name not in value:
            raise Mismatch("is missing").within(name)
        read_within(name, field.hook, one)


def _unknown(fields: list[ModelField], value: dict[str, JSON]) -> dict[str, JSON]:
    """Return the fields of an object that the model does not have."""
    read = {field.name for field in fields}.union(field.found_as(value) for field in fields)
    return {name: one for name, one in value.items() if name not in read}


def read_within(step: str | int, hook: Hook, value: object) -> None:
    """Read a part of a value, to check whether it is the unreadable part."""
    try:
        hook(value, {})
    except Mismatch as mismatch:
        raise mismatch.within(step) from None
