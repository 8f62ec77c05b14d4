"""Convert JSON to attrs classes and back by their annotations, for the responses and states of the control API."""

from __future__ import annotations

import base64
import enum
import functools
import math
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any, Literal, TypeVar, cast

import attrs

from ..shapes import as_list, as_mapping

T = TypeVar("T")


class ShapeError(ValueError):
    """A JSON value has the wrong shape.

    Args:
        path: Where it is, such as `world.devices[3].name`.
        message: The expected shape.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message


def unstructure(value: Any, *, leave_out: Collection[str] = ()) -> Any:
    """Convert a value to JSON types.

    Args:
        value: An instance of an attrs class, or anything that its fields can hold.
        leave_out: Fields of the outermost instance to leave out.
    """
    kind = cast("Any", type(value))
    entries: Any = value
    if attrs.has(kind):
        return {name: unstructure(getattr(value, name)) for name in _types_of_fields(kind) if name not in leave_out}
    if isinstance(value, Mapping):
        return {name: unstructure(item) for name, item in entries.items()}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Collection) and not isinstance(value, str):
        return [unstructure(item) for item in entries]
    return value.name if isinstance(value, enum.Enum) else entries


def structure(
    cls: type[T],
    value: object,
    path: str = "",
    *,
    strict: bool = True,
    given: Mapping[str, Any] | None = None,
) -> T:
    """Create an instance of an attrs class from a JSON object.

    Args:
        cls: The class; fields with a default may be absent.
        value: The JSON value.
        path: Its path in the whole document.
        strict: Refuse fields that the class does not have, instead of ignoring them.
        given: Fields that are not in the JSON.

    Raises:
        ShapeError: A field is missing, unknown, invalid, or of another type.
    """
    fields = as_mapping(value)
    if fields is None:
        raise ShapeError(path, "expected an object")
    kinds = _types_of_fields(cast("Any", cls))
    known = dict(given or {})
    for name, item in fields.items():
        place = f"{path}.{name}" if path else name
        if name in kinds and name not in known:
            known[name] = _structure(kinds[name], item, place, strict=strict)
        elif strict:
            raise ShapeError(place, f"unknown field; fields: {', '.join(kinds)}")
    for field in attrs.fields(cast("type[attrs.AttrsInstance]", cls)):
        if field.name in kinds and field.default is attrs.NOTHING and field.name not in known:
            raise ShapeError(f"{path}.{field.name}" if path else field.name, "is required")
    try:
        return cls(**known)
    except ValueError as error:  # from its validators
        raise ShapeError(path, str(error)) from None


@functools.lru_cache(maxsize=64)
def _types_of_fields(cls: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in attrs.fields(cls) if field.init}


def _structure(kind: Any, value: Any, path: str, *, strict: bool) -> Any:
    origin: Any = typing.get_origin(kind)
    arguments: tuple[Any, ...] = typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _one_of(arguments, value, path, strict=strict)
    if origin is Literal:
        if value not in arguments:
            raise ShapeError(path, f"expected one of {', '.join(map(str, arguments))}")
        return value
    if origin is dict:
        entries = as_mapping(value)
        if entries is None:
            raise ShapeError(path, "expected an object")
        return {name: _structure(arguments[1], item, f"{path}.{name}", strict=strict) for name, item in entries.items()}
    if origin is not None:
        return _items(origin, arguments, value, path, strict=strict)
    if attrs.has(kind):
        return structure(kind, value, path, strict=strict)
    return value if kind is Any else _scalar(kind, value, path)


def _one_of(arguments: tuple[Any, ...], value: Any, path: str, *, strict: bool) -> Any:
    if value is None and types.NoneType in arguments:
        return None
    kinds = [kind for kind in arguments if kind is not types.NoneType]
    for kind in kinds[:-1]:
        try:
            return _structure(kind, value, path, strict=strict)
        except ShapeError:
            continue
    return _structure(kinds[-1], value, path, strict=strict)


def _items(origin: Any, arguments: tuple[Any, ...], value: Any, path: str, *, strict: bool) -> Any:
    items = as_list(value)
    if items is None:
        raise ShapeError(path, "expected a list")
    fixed = origin is tuple and arguments[-1] is not Ellipsis
    if fixed and len(items) != len(arguments):
        raise ShapeError(path, f"expected a list of {len(arguments)}")
    kinds = arguments if fixed else (arguments[0],) * len(items)
    built = [
        _structure(kind, item, f"{path}[{number}]", strict=strict)
        for number, (kind, item) in enumerate(zip(kinds, items, strict=True))
    ]
    return tuple(built) if origin is tuple else built


def as_number(value: object) -> float | None:
    """Return a finite JSON number as float, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _scalar(kind: Any, value: Any, path: str) -> Any:
    if kind is float and (number := as_number(value)) is not None:
        return number
    if kind is bytes and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except ValueError:  # binascii.Error is one
            raise ShapeError(path, "expected Base64") from None
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        if isinstance(value, str) and value in kind.__members__:
            return kind[value]
        raise ShapeError(path, f"expected one of {', '.join(kind.__members__)}")
    if kind in (str, int, bool) and type(value) is kind:
        return value
    raise ShapeError(path, f"expected {_NAMES.get(kind, 'another type')}")


_NAMES: dict[Any, str] = {str: "a text", int: "a whole number", float: "a finite number", bool: "true or false"}
