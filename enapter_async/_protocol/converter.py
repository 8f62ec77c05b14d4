"""From JSON to models and back; the only module that knows cattrs.

cattrs finds and keeps the hook of each type; the hooks are ours, because its own coerce (None becomes "None",
"false" becomes True). Each model class gets one generated function when it is first needed. It reads every
field once, checks types in line and fills a writable twin of the frozen class, whose `__class__` is then
exchanged. Measured on 1,000 devices without their JSON, in ms: this 1.0; the same hooks behind cattrs' generated
function 2.2; calling the frozen class 3.2 (benchmarks/bench_decode.py).
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any, Final, TypeAlias, TypeVar, cast

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn, override

from enapter_async._protocol import shapes
from enapter_async._protocol.values import format_duration, parse_duration, parse_time
from enapter_async.errors import SchemaError
from enapter_async.models.common import JSON, OpenEnum
from enapter_async.models.manifest import Manifest
from enapter_async.models.rules import RuleScript
from enapter_async.models.sites import Location

T = TypeVar("T")

_Hook: TypeAlias = Callable[[Any, Any], Any]


def structure(value: JSON, type_: type[T], *, at: str = "") -> T:
    """Return JSON as a value of a type.

    Args:
        value: What `json.loads` gave.
        type_: A model class, or `list[...]`, `dict[str, ...]` and the like of one.
        at: Where the value stands in the answer, such as `devices`; begins the path of an error.

    Raises:
        SchemaError: The value has another shape; its path names the place.
    """
    return structurer(type_, at=at)(value)


@cache
def structurer(type_: type[T], *, at: str = "") -> Callable[[JSON], T]:
    """Return the function that `structure` calls for a type; it is made once."""
    hook = _hook_of(type_, _converter)

    def structure_value(value: JSON) -> T:
        try:
            return cast("T", hook(value, type_))
        except _Mismatch as mismatch:
            message, path = mismatch.message, mismatch.path(at)
        raise SchemaError(message, path=path)

    return structure_value


def unstructure(value: Location | RuleScript) -> dict[str, JSON]:
    """Return a value that the user built as JSON for a request; what is not set is left out."""
    return cast("dict[str, JSON]", _converter.unstructure(value))


class _Mismatch(Exception):  # noqa: N818 - a signal inside this module; callers see SchemaError
    """A value that is not what its type says; collects the way to it while it travels up."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self._way: list[str | int] = []

    def within(self, step: str | int) -> _Mismatch:
        self._way.append(step)
        return self

    def path(self, start: str) -> str:
        path = start
        for step in reversed(self._way):
            if isinstance(step, int):
                path += f"[{step}]"
            elif step.isidentifier() and len(step) <= _LONGEST_STEP:
                path += f".{step}" if path else step
            else:
                path += f"[{step[:_LONGEST_STEP]!r}]"
        return path


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


def _expected(what: str, value: object) -> _Mismatch:
    # The kind of the value and never the value: it may be a secret.
    kind = type(value).__name__
    return _Mismatch(f"expected {what}, got {_JSON_NAMES.get(kind, kind)}")


# Leaves.


def _text(value: object, _: object) -> str:
    if type(value) is str:
        return value
    raise _expected("text", value)


def _boolean(value: object, _: object) -> bool:
    if type(value) is bool:
        return value
    raise _expected("a boolean", value)


def _integer(value: object, _: object) -> int:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():  # JSON has one kind of number: 3.0 is 3
        return int(value)
    raise _expected("an integer", value)


def _number(value: object, _: object) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise _Mismatch("expected a number, got one that is too large") from None
    raise _expected("a number", value)


def _object(value: object, _: object) -> dict[str, Any]:
    if type(value) is dict:
        return cast("dict[str, Any]", value)
    raise _expected("an object", value)


def _anything(value: object, _: object) -> object:
    return value


def _time(value: object, _: object) -> datetime:
    try:
        return parse_time(value)
    except ValueError:
        raise _expected("a time (RFC 3339 with an offset, or Unix seconds)", value) from None


def _duration(value: object, _: object) -> timedelta:
    if type(value) is not str:
        raise _expected("a duration", value)
    try:
        return parse_duration(value)
    except ValueError as error:
        raise _Mismatch(str(error)) from None


def _manifest(value: object, _: object) -> Manifest:
    return Manifest(_object(value, _))


def _by_reader(reader: shapes.Reader) -> _Hook:
    def read(value: JSON, _: object) -> object:
        try:
            return reader(value)
        except TypeError as error:
            raise _expected(str(error), value) from None
        except ValueError as error:
            raise _Mismatch(str(error)) from None

    return read


def _members(type_: type[OpenEnum]) -> dict[str, OpenEnum]:
    return {member.value: member for member in type_}


@cache
def _enum_hook(type_: type[OpenEnum]) -> _Hook:
    known = _members(type_).get

    def read(value: object, _: object) -> OpenEnum:
        if type(value) is not str:
            raise _expected("text", value)
        return known(value) or type_(value)

    return read


# Containers.


def _item_type(type_: Any, index: int) -> Any:
    arguments = typing.get_args(type_)
    return arguments[index] if arguments else Any


def _list_hook(type_: Any, converter: Converter) -> _Hook:
    item_type = _item_type(type_, 0)
    item = _hook_of(item_type, converter)

    def read(value: Any, _: object) -> list[Any]:
        if type(value) is not list:
            raise _expected("an array", value)
        try:
            return [item(one, item_type) for one in value]
        except _Mismatch:
            for index, one in enumerate(value):
                _read_within(index, item, one)
            raise

    return read


def _tuple_hook(type_: Any, converter: Converter) -> _Hook:
    read_list = _list_hook(type_, converter)
    return lambda value, _: tuple(read_list(value, None))


def _dict_hook(type_: Any, converter: Converter) -> _Hook:
    item_type = _item_type(type_, 1)
    if item_type is Any:
        return _object
    item = _hook_of(item_type, converter)

    def read(value: Any, _: object) -> dict[str, Any]:
        if type(value) is not dict:
            raise _expected("an object", value)
        try:
            return {name: item(one, item_type) for name, one in value.items()}
        except _Mismatch:
            for name, one in value.items():
                _read_within(name, item, one)
            raise

    return read


def _read_within(step: str | int, hook: _Hook, value: object) -> None:
    try:
        hook(value, None)
    except _Mismatch as mismatch:
        raise mismatch.within(step) from None


# Model classes.


@attrs.frozen
class _Field:
    """One field of a model and how it is read."""

    name: str
    former_name: str | None
    default: Any
    hook: _Hook
    inline: str
    """Expression that reads `v`, without a call where that is possible."""
    members: Mapping[str, OpenEnum]

    def take(self, value: dict[str, JSON]) -> JSON:
        """Return what the field is read from; null counts as absent."""
        found = value.get(self.name)
        return value.get(self.former_name) if found is None and self.former_name else found


def _class_hook(cls: type[Any], converter: Converter) -> _Hook:
    read = _generate(cls, [_field(cls, one, converter) for one in attrs.fields(cls) if one.name != "extra"])
    if cls not in shapes.RESHAPES:
        return read
    reshape = _by_reader(shapes.RESHAPES[cls])
    return lambda value, _: read(reshape(value, None), None)


def _field(cls: type[Any], attribute: attrs.Attribute[Any], converter: Converter) -> _Field:
    name = attribute.name
    type_ = _without_none(_hints(cls)[name])
    reader = shapes.READERS.get(cls, {}).get(name)
    hook = _hook_of(type_, converter) if reader is None else _by_reader(reader)
    inline = f"read_{name}(v, None)"
    members: Mapping[str, OpenEnum] = {}
    if reader is not None:
        pass
    elif type_ is Any:
        inline = "v"
    elif type_ in (str, bool, int):
        inline = f"v if v.__class__ is {type_.__name__} else {inline}"
    elif _is_open_enum(type_):
        inline = f"members_{name}(v) or {inline}"
        members = _members(type_)
    former_names = {now: former for former, now in shapes.FORMER_NAMES.get(cls, {}).items()}
    return _Field(name, former_names.get(name), attribute.default, hook, inline, members)


def _generate(cls: type[Any], fields: list[_Field]) -> _Hook:
    """Return the function that reads a JSON object into a frozen class."""
    twin = type(cls.__name__, (), {"__slots__": cls.__slots__})
    scope: dict[str, Any] = {
        "cls": cls,
        "twin": twin,
        "new": twin.__new__,
        "expected": _expected,
        # TypeError: an array or an object, which cannot be looked up, where an enum's text should be.
        "failures": (_Mismatch, TypeError),
        "locate": partial(_locate, fields),
        "unknown": partial(_unknown, fields),
    }
    lines = [
        "def read(value, _):",
        "    if value.__class__ is not dict:",
        "        raise expected('an object', value)",
        "    get = value.get",
        "    model = new(twin)",
        "    absent = 0",
        "    try:",
    ]
    for field in fields:
        name = field.name
        scope[f"read_{name}"] = field.hook
        scope[f"members_{name}"] = field.members.get
        lines.append(f"        v = get({name!r})")
        if field.former_name:
            lines += ["        if v is None:", f"            v = get({field.former_name!r})"]
        if field.default is attrs.NOTHING:
            lines.append(f"        model.{name} = {field.inline}")
            continue
        made = isinstance(field.default, attrs.Factory)  # type: ignore[arg-type]
        scope[f"default_{name}"] = field.default.factory if made else field.default
        lines += [
            "        if v is None:",
            f"            model.{name} = default_{name}{'()' if made else ''}",
            "            absent += 1",
            "        else:",
            f"            model.{name} = {field.inline}",
        ]
    lines += [
        "    except failures:",
        "        locate(value)",
        "        raise",
        # One comparison tells whether there is anything that we do not know (or a null).
        f"    model.extra = {{}} if len(value) + absent == {len(fields)} else unknown(value)",
        "    model.__class__ = cls",
        "    return model",
    ]
    exec("\n".join(lines), scope)  # noqa: S102 - made of our own classes' names, nothing from outside
    return cast("_Hook", scope["read"])


def _locate(fields: list[_Field], value: dict[str, JSON]) -> None:
    """Raise for the first field that cannot be read."""
    for field in fields:
        one = field.take(value)
        if one is None and field.default is not attrs.NOTHING:
            continue
        if field.name not in value and one is None:
            raise _Mismatch("is missing").within(field.name)
        _read_within(field.name, field.hook, one)


def _unknown(fields: list[_Field], value: dict[str, JSON]) -> dict[str, JSON]:
    """Return the fields of an object that no field of the model was read from."""
    read = {field.name for field in fields}
    read.update(field.former_name for field in fields if field.former_name and value.get(field.name) is None)
    return {name: one for name, one in value.items() if name not in read}


@cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(cls)


# Which type has which hook.


def _is_open_enum(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, OpenEnum)


def _is_optional(type_: Any) -> bool:
    return typing.get_origin(type_) in (types.UnionType, typing.Union)


def _without_none(type_: Any) -> Any:
    """Return T for `T | None`, and any other type as it is."""
    if _is_optional(type_):
        first, *others = (one for one in typing.get_args(type_) if one is not types.NoneType)
        if others:
            raise TypeError(f"no rule tells the members of {type_} apart")
        return first
    return type_


def _hook_of(type_: Any, converter: Converter) -> _Hook:
    # An enum of strings is a str, and cattrs would find the hook of str for it.
    return _enum_hook(type_) if _is_open_enum(type_) else converter.get_structure_hook(type_)


def _optional_hook(type_: Any, converter: Converter) -> _Hook:
    inner = _hook_of(_without_none(type_), converter)
    return lambda value, _: None if value is None else inner(value, None)


def _no_hook(type_: Any) -> _Hook:
    raise TypeError(f"no hook reads {type_}")


def _origin_is(origin: type) -> Callable[[Any], bool]:
    return lambda type_: type_ is origin or typing.get_origin(type_) is origin


def _make_converter() -> Converter:
    converter = Converter()
    converter.register_structure_hook_factory(lambda _: True, _no_hook)
    converter.register_structure_hook_factory(attrs.has, _class_hook)
    converter.register_structure_hook_factory(_is_optional, _optional_hook)
    converter.register_structure_hook_factory(_origin_is(list), _list_hook)
    converter.register_structure_hook_factory(_origin_is(tuple), _tuple_hook)
    converter.register_structure_hook_factory(_origin_is(dict), _dict_hook)
    converter.register_structure_hook_func(lambda type_: type_ is Any, _anything)
    leaves: dict[type, _Hook] = {
        str: _text,
        bool: _boolean,
        int: _integer,
        float: _number,
        datetime: _time,
        timedelta: _duration,
        Manifest: _manifest,
    }
    for type_, hook in leaves.items():
        converter.register_structure_hook(type_, hook)
    converter.register_unstructure_hook_factory(
        lambda type_: type_ is Location,
        lambda type_: make_dict_unstructure_fn(
            type_, converter, _cattrs_omit_if_default=True, extra=override(omit=True)
        ),
    )
    converter.register_unstructure_hook(RuleScript, _unstructure_script)
    return converter


def _unstructure_script(script: RuleScript) -> dict[str, JSON]:
    body: dict[str, JSON] = {
        "code": shapes.to_base64(script.code),
        "runtime_version": script.runtime_version.value,
    }
    # Left out for V3, where zero stands for none.
    if script.exec_interval:
        body["exec_interval"] = format_duration(script.exec_interval, "exec_interval")
    return body


_converter: Final = _make_converter()
