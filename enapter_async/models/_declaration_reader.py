"""Tolerant parsing of the entries of a manifest. Everything that does not match the documentation is recorded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from enapter_async._duration import parse_duration
from enapter_async.models.common import JSON, AccessRole, OpenEnum
from enapter_async.models.declarations import (
    AlertDeclaration,
    AlertSeverity,
    ArgumentDeclaration,
    CommandDeclaration,
    ConfigurationGroup,
    Confirmation,
    EnumValue,
    ManifestProblem,
    ValueDeclaration,
    ValueType,
)

D = TypeVar("D")
E = TypeVar("E", bound=OpenEnum)


class Entry:
    """Reads the fields of one entry, records problems, and keeps the fields that were not read."""

    __slots__ = ("_path", "_problems", "_rest")

    def __init__(self, path: str, raw: dict[str, JSON], problems: list[ManifestProblem]) -> None:
        self._path = path
        self._rest = dict(raw)
        self._problems = problems

    def rest(self) -> dict[str, JSON]:
        """Return the fields that were not read."""
        return self._rest

    def value(self, name: str) -> JSON:
        """Read a value of any type."""
        return self._rest.pop(name, None)

    def text(self, name: str) -> str | None:
        """Read text."""
        value = self.value(name)
        if value is None or isinstance(value, str):
            return value
        self._wrong(name, "expected text")
        return None

    def texts(self, name: str) -> tuple[str, ...]:
        """Read text or an array of text."""
        value = self.value(name)
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list):
            self._wrong(name, "expected text or an array of text")
            return ()
        texts = tuple(one for one in value if isinstance(one, str))
        if len(texts) < len(value):
            self._wrong(name, "expected an array of text only")
        return texts

    def flag(self, name: str) -> bool:
        """Read a boolean. The default is false."""
        value = self.value(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        self._wrong(name, "expected a boolean")
        return False

    def number(self, name: str) -> float | None:
        """Read a number."""
        value = self.value(name)
        if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
            return value
        self._wrong(name, "expected a number")
        return None

    def object(self, name: str) -> dict[str, JSON] | None:
        """Read an object."""
        value = self.value(name)
        if value is None or isinstance(value, dict):
            return value
        self._wrong(name, "expected an object")
        return None

    def member(self, name: str, enum: type[E], *, required: bool = False) -> E | None:
        """Read text as a member of an open enum."""
        value = self.value(name)
        if isinstance(value, str):
            return enum(value)
        if value is not None:
            self._wrong(name, "expected text")
        elif required:
            self._wrong(name, "is missing")
        return None

    def duration(self, name: str) -> timedelta | None:
        """Read a duration such as `30s`."""
        text = self.text(name)
        if text is None:
            return None
        try:
            return parse_duration(text)
        except ValueError as error:
            self._wrong(name, str(error))
            return None

    def role(self, name: str, default: AccessRole) -> AccessRole:
        """Read an access level. Null and absent mean the default."""
        return self.member(name, AccessRole) or default

    def declarations(self, name: str, read: Callable[[str, Entry], D]) -> dict[str, D]:
        """Read an object of entries. An entry that is not an object is left out."""
        declarations: dict[str, D] = {}
        for key, raw in (self.object(name) or {}).items():
            if isinstance(raw, dict):
                declarations[key] = read(key, Entry(self._within(f"{name}.{key}"), raw, self._problems))
            else:
                self._wrong(f"{name}.{key}", "expected an object; left out")
        return declarations

    def part(self, name: str, read: Callable[[Entry], D]) -> D | None:
        """Read an object inside the entry."""
        raw = self.object(name)
        return None if raw is None else read(Entry(self._within(name), raw, self._problems))

    def enum(self, type_: ValueType | None) -> tuple[EnumValue, ...] | None:
        """Read `enum` in its three forms: list, map, and list with separate metadata (compiled manifests)."""
        declared = self.value("enum")
        described = self.value("enum_with_metainfo")
        if isinstance(described, list) and described:
            return self._enum_of_list("enum_with_metainfo", described)
        if described:
            self._wrong("enum_with_metainfo", "expected an array")
        if declared is None:
            return None
        if isinstance(declared, list):
            return self._enum_of_list("enum", declared)
        if isinstance(declared, dict):
            return tuple(
                self._enum_value(_number_of(key, type_), key, f"enum.{key}", one) for key, one in declared.items()
            )
        self._wrong("enum", "expected an array or an object")
        return None

    def _enum_of_list(self, name: str, items: list[JSON]) -> tuple[EnumValue, ...]:
        """Read an array of values, or of objects that describe one value each."""
        values: list[EnumValue] = []
        for index, one in enumerate(items):
            path = f"{name}[{index}]"
            described: dict[str, JSON] = one if isinstance(one, dict) else {"value": one}
            value = described.get("value")
            if isinstance(value, (str, int, float)):
                values.append(self._enum_value(value, str(value), path, described))
            else:
                self._wrong(path, "expected text or a number; left out")
        return tuple(values)

    def _enum_value(self, value: str | float, text: str, path: str, raw: JSON) -> EnumValue:
        if raw is not None and not isinstance(raw, dict):
            self._wrong(path, "expected an object")
        entry = Entry(self._within(path), raw if isinstance(raw, dict) else {}, self._problems)
        return EnumValue(
            value=value,
            display_name=entry.text("display_name") or text,
            description=entry.text("description"),
            color=entry.text("color"),
        )

    def _within(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def _wrong(self, name: str, message: str) -> None:
        self._problems.append(ManifestProblem(self._within(name), message))


def _number_of(key: str, type_: ValueType | None) -> str | float:
    """Return the number in a key of a map. Keys in JSON are always text."""
    try:
        if type_ is ValueType.INTEGER:
            return int(key)
        if type_ is ValueType.FLOAT:
            return float(key)
    except ValueError:
        pass
    return key


def read_value(name: str, entry: Entry) -> ValueDeclaration:
    """Read a property or a telemetry attribute."""
    type_ = entry.member("type", ValueType, required=True)
    return ValueDeclaration(
        name=name,
        type=type_,
        display_name=entry.text("display_name") or name,
        description=entry.text("description"),
        unit=entry.text("unit"),
        enum=entry.enum(type_),
        implements=entry.texts("implements"),
        aliases=entry.texts("aliases"),
        auto_scale=entry.texts("auto_scale"),
        json_schema=entry.text("json_schema"),
        access_level=entry.role("access_level", AccessRole.READONLY),
        extra=entry.rest(),
    )


def read_alert(name: str, entry: Entry) -> AlertDeclaration:
    """Read an alert."""
    return AlertDeclaration(
        name=name,
        severity=entry.member("severity", AlertSeverity, required=True) or AlertSeverity.ERROR,
        display_name=entry.text("display_name") or name,
        code=entry.text("code"),
        grace_period=entry.duration("grace_period"),
        description=entry.text("description"),
        troubleshooting=entry.texts("troubleshooting"),
        telemetry=entry.texts("telemetry"),
        components=entry.texts("components"),
        conditions=entry.texts("conditions"),
        extra=entry.rest(),
    )


def read_argument(name: str, entry: Entry) -> ArgumentDeclaration:
    """Read an argument of a command or a parameter of a configuration group."""
    type_ = entry.member("type", ValueType, required=True)
    return ArgumentDeclaration(
        name=name,
        type=type_,
        display_name=entry.text("display_name") or name,
        description=entry.text("description"),
        required=entry.flag("required"),
        min=entry.number("min"),
        max=entry.number("max"),
        enum=entry.enum(type_),
        format=entry.text("format"),
        default=entry.value("default"),
        sensitive=entry.flag("sensitive"),
        json_schema=entry.text("json_schema"),
        extra=entry.rest(),
    )


def read_command(name: str, entry: Entry) -> CommandDeclaration:
    """Read a command."""
    return CommandDeclaration(
        name=name,
        display_name=entry.text("display_name") or name,
        group=entry.text("group"),
        description=entry.text("description"),
        arguments=entry.declarations("arguments", read_argument),
        response=entry.object("response"),
        confirmation=entry.part("confirmation", _read_confirmation),
        populate_values_command=entry.text("populate_values_command"),
        implements=entry.texts("implements"),
        aliases=entry.texts("aliases"),
        ui=entry.object("ui"),
        access_level=entry.role("access_level", AccessRole.USER),
        read_access_level=entry.role("read_access_level", AccessRole.USER),
        extra=entry.rest(),
    )


def _read_confirmation(entry: Entry) -> Confirmation:
    return Confirmation(
        severity=entry.member("severity", AlertSeverity),
        title=entry.text("title"),
        description=entry.text("description"),
        extra=entry.rest(),
    )


def read_configuration_group(name: str, entry: Entry) -> ConfigurationGroup:
    """Read a group of configuration parameters."""
    return ConfigurationGroup(
        name=name,
        display_name=entry.text("display_name") or name,
        description=entry.text("description"),
        parameters=entry.declarations("parameters", read_argument),
        ui=entry.object("ui"),
        access_level=entry.role("access_level", AccessRole.USER),
        extra=entry.rest(),
    )
