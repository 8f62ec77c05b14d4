"""Conversion of JSON to models and back. The only module of the client that uses cattrs, which the project prescribes.

cattrs finds, creates and caches the hook of each type when it is first needed. The hooks come from `scalars` and
`model_reader`, because those of cattrs coerce values: None becomes "None", "false" becomes True. After a failure they
read the value again to locate the mismatch, so a second, slower converter is not needed.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar, cast

import attrs
from cattrs import Converter

from enapter_async._protocol.decoding import quirks, scalars
from enapter_async._protocol.decoding.latest_points import points_reader
from enapter_async._protocol.decoding.mismatch import Mismatch
from enapter_async._protocol.decoding.model_reader import ModelField, model_reader, read_manifest, read_within, shared
from enapter_async._protocol.decoding.scalars import Hook, Seen
from enapter_async._protocol.values import format_duration
from enapter_async.errors import SchemaError
from enapter_async.models.common import JSON, OpenEnum
from enapter_async.models.manifest import Manifest
from enapter_async.models.rules import RuleScript
from enapter_async.models.sites import Location
from enapter_async.models.telemetry import LatestPoint

T = TypeVar("T")


def structure(value: JSON, type_: type[T], *, at: str = "") -> T:
    """Convert JSON to a value of a type.

    Args:
        value: Result of `json.loads`.
        type_: A model class, or `list[...]`, `dict[str, ...]` and the like of one.
        at: Position of the value in the response, such as `devices`. It begins the path of an error.

    Raises:
        SchemaError: The value has another structure. `path` is the position.
    """
    return structurer(type_, at=at)(value)


def structurer(type_: type[T], *, at: str = "") -> Callable[[JSON], T]:
    """Return the function that `structure` calls for a type. It is created once."""
    known = _structurers.get((type_, at))
    if known is None:
        known = _structurers[type_, at] = _make_structurer(type_, at)
    return known


_structurers: Final[dict[tuple[object, str], Callable[[JSON], Any]]] = {}


def _make_structurer(type_: object, at: str) -> Callable[[JSON], Any]:
    hook = _hook_of(type_, _converter)

    def structure_value(value: JSON) -> Any:
        try:
            return hook(value, {})
        except Mismatch as mismatch:
            message, path = mismatch.message, mismatch.path(at)
        raise SchemaError(message, path=path)

    return structure_value


def unstructure(value: Location | RuleScript) -> dict[str, JSON]:
    """Convert a model to JSON for a request. Unset fields are left out."""
    return cast("dict[str, JSON]", _converter.unstructure(value))


# Model classes.


def _class_hook(cls: type[Any], converter: Converter) -> Hook:
    hints = typing.get_type_hints(cls)
    fields = [
        _field(cls, attribute, _without_none(hints[attribute.name]), converter)
        for attribute in attrs.fields(cls)
        if attribute.name != "extra"
    ]
    read = model_reader(cls, fields, quirks.BARE_FIELDS.get(cls))
    if cls in quirks.RESHAPES:
        reshape = scalars.by_shape(quirks.RESHAPES[cls])
        return lambda value, seen: read(reshape(value, None), seen)
    return shared(cls, read, quirks.REPEATED[cls]) if cls in quirks.REPEATED else read


def _field(cls: type[Any], attribute: attrs.Attribute[Any], type_: Any, converter: Converter) -> ModelField:
    name = attribute.name
    other_name = quirks.OTHER_NAMES.get(cls, {}).get(name)
    read = quirks.READERS.get(cls, {}).get(name)
    if read is not None:
        hook, inline, lookup = scalars.by_shape(read), scalars.INLINE.get(read, "{read}"), None
    elif _is_open_enum(type_):
        hook, inline, lookup = scalars.member_of(type_), "{lookup}(v) or {read}", scalars.members(type_).get
    else:
        hook, lookup = _hook_of(type_, converter), None
        inline = scalars.INLINE.get(hook, "{read}")
    return ModelField(name, other_name, attribute.default, hook, inline, lookup)


# Containers.


def _list_hook(type_: Any, converter: Converter) -> Hook:
    item = _hook_of(_item_type(type_, 0), converter)

    def read(value: object, seen: Seen) -> list[Any]:
        items = scalars.json_array(value)
        try:
            return [item(one, seen) for one in items]
        except Mismatch:
            for index, one in enumerate(items):
                read_within(index, item, one)
            raise

    return read


def _tuple_hook(type_: Any, converter: Converter) -> Hook:
    if _item_type(type_, 0) is str:
        return scalars.texts
    read_list = _list_hook(type_, converter)
    return lambda value, seen: tuple(read_list(value, seen))


def _dict_hook(type_: Any, converter: Converter) -> Hook:
    item_type = _item_type(type_, 1)
    if item_type is Any:
        return scalars.json_object
    item = _hook_of(item_type, converter)
    if item_type is LatestPoint:
        return points_reader(item)

    def read(value: object, seen: Seen) -> dict[str, Any]:
        entries = scalars.json_object(value, seen)
        try:
            return {name: item(one, seen) for name, one in entries.items() if one is not None}  # null counts as absent
        except Mismatch:
            for name, one in entries.items():
                if one is not None:
                    read_within(name, item, one)
            raise

    return read


def _optional_hook(type_: Any, converter: Converter) -> Hook:
    inner = _hook_of(_without_none(type_), converter)
    return lambda value, seen: None if value is None else inner(value, seen)


# Hooks by type.


def _hook_of(type_: Any, converter: Converter) -> Hook:
    # An enum of strings is a str, so cattrs would choose the hook of str.
    return scalars.member_of(type_) if _is_open_enum(type_) else converter.get_structure_hook(type_)


def _item_type(type_: Any, index: int) -> Any:
    arguments = typing.get_args(type_)
    return arguments[index] if arguments else Any


def _is_open_enum(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, OpenEnum)


def _is_optional(type_: Any) -> bool:
    return typing.get_origin(type_) in (types.UnionType, typing.Union)


def _without_none(type_: Any) -> Any:
    """Return T for `T | None`, and any other type unchanged."""
    if not _is_optional(type_):
        return type_
    first, *others = (one for one in typing.get_args(type_) if one is not types.NoneType)
    if others:
        raise TypeError(f"no rule distinguishes the members of {type_}")
    return first


def _origin_is(origin: type) -> Callable[[Any], bool]:
    return lambda type_: type_ is origin or typing.get_origin(type_) is origin


def _no_hook(type_: Any) -> Hook:
    raise TypeError(f"no hook reads {type_}")


def _make_converter() -> Converter:
    converter = Converter()
    # The last match is used; the first entry rejects all types that cattrs would coerce.
    converter.register_structure_hook_factory(lambda _: True, _no_hook)
    converter.register_structure_hook_factory(attrs.has, _class_hook)
    converter.register_structure_hook_factory(_is_optional, _optional_hook)
    converter.register_structure_hook_factory(_origin_is(list), _list_hook)
    converter.register_structure_hook_factory(_origin_is(tuple), _tuple_hook)
    converter.register_structure_hook_factory(_origin_is(dict), _dict_hook)
    converter.register_structure_hook_func(lambda type_: type_ is Any, scalars.anything)
    hooks: dict[type, Hook] = {
        str: scalars.text,
        bool: scalars.boolean,
        int: scalars.integer,
        float: scalars.number,
        datetime: scalars.time,
        timedelta: scalars.duration,
        Manifest: read_manifest,
    }
    for type_, hook in hooks.items():
        converter.register_structure_hook(type_, hook)
    converter.register_unstructure_hook(Location, _location_body)
    converter.register_unstructure_hook(RuleScript, _script_body)
    return converter


def _location_body(location: Location) -> dict[str, JSON]:
    body: dict[str, JSON] = {
        "name": location.name,
        "latitude": location.latitude,
        "longitude": location.longitude,
    }
    return {name: value for name, value in body.items() if value is not None}


def _script_body(script: RuleScript) -> dict[str, JSON]:
    body: dict[str, JSON] = {
        "code": quirks.to_base64(script.code),
        "runtime_version": script.runtime_version.value,
    }
    # Left out for V3, where zero means none.
    if script.exec_interval:
        body["exec_interval"] = format_duration(script.exec_interval, "exec_interval")
    return body


_converter: Final = _make_converter()
