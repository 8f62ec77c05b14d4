"""Validate manifests (reference.md, section 13) and report each defect in one readable line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from ..shapes import as_list, as_mapping

Check = Callable[[Any], bool]

SPECS = ("device/3.0", "device_compiled/1.0")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_ALERT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*", re.ASCII)
_ROLES = ("readonly", "user", "owner", "installer", "vendor", "system")
_VALUE_TYPES = ("boolean", "string", "integer", "float", "array_of_strings", "json", "object")


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _text_or_null(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _mapping_or_null(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _texts(value: Any) -> bool:
    items = as_list(value)
    return items is not None and all(map(_text, items))


def _text_or_texts(value: Any) -> bool:
    return _text(value) or _texts(value)


def _text_or_texts_or_null(value: Any) -> bool:
    return value is None or _text_or_texts(value)


def _one_of(*words: str) -> Check:
    return lambda value: isinstance(value, str) and value in words


def _enum(value: Any) -> bool:
    items, entries = as_list(value), as_mapping(value)
    if items is not None:
        return all(_text(item) or _number(item) for item in items)
    if entries is None:
        return value is None
    details = [as_mapping(entry) for entry in entries.values()]
    return all(entry is not None and all(map(_text, entry.values())) for entry in details)


def _role(value: Any) -> bool:
    """Levels are compared in any case, and null is the section's default."""
    return value is None or (isinstance(value, str) and value.lower() in _ROLES)


_COMMON: dict[str, Check] = {
    "display_name": _text,
    "description": _text_or_null,
    "enum": _enum,
    "json_schema": _text,
    "access_level": _role,
}
_VALUE: dict[str, Check] = _COMMON | {
    "unit": _text_or_null,
    "auto_scale": _texts,
    "implements": _text_or_texts_or_null,
    "aliases": _text_or_texts,
}
_ARGUMENT: dict[str, Check] = _COMMON | {
    "type": _one_of(*_VALUE_TYPES),
    "required": _flag,
    "sensitive": _flag,
    "min": _number,
    "max": _number,
    "format": _text,
}
_COMMAND: dict[str, Check] = {
    "display_name": _text,
    "group": _text,
    "description": _text_or_null,
    "arguments": _mapping_or_null,
    "response": _mapping_or_null,
    "confirmation": _mapping_or_null,
    "ui": _mapping,
    "aliases": _text_or_texts,
    "implements": _text_or_texts_or_null,
    "populate_values_command": _text,
    "access_level": _role,
    "read_access_level": _role,
}
_SECTIONS: dict[str, dict[str, Check]] = {
    "properties": _VALUE | {"type": _one_of(*_VALUE_TYPES)},
    "telemetry": _VALUE | {"type": _one_of(*_VALUE_TYPES, "alerts")},
    "alerts": {
        "severity": _one_of("info", "warning", "error"),
        "display_name": _text,
        "code": _text,
        "grace_period": _text,
        "description": _text_or_null,
        "troubleshooting": _texts,
        "telemetry": _texts,
        "components": _texts,
        "conditions": _texts,
    },
    "commands": _COMMAND,
    "configuration": {
        "display_name": _text,
        "description": _text,
        "access_level": _role,
        "parameters": _mapping,
        "ui": _mapping,
    },
}
_REQUIRED = {
    "properties": ("type",),
    "telemetry": ("type",),
    "alerts": ("severity",),
    "commands": (),
    "configuration": ("parameters",),
}
_TOP: dict[str, Check] = {
    "blueprint_spec": _one_of(*SPECS),
    "display_name": _text,
    "description": _text_or_null,
    "icon": _text,
    "vendor": _text_or_null,
    "category": _text,
    "implements": _text_or_texts_or_null,
    "runtime": _mapping,
    "units": _mapping_or_null,
    "command_groups": _mapping_or_null,
}


def validate_manifest(manifest: Any) -> list[str]:
    """List the defects of a manifest. The list of a valid one is empty.

    `runtime` is not required, although section 13 marks it as required, because standalone devices do not have one.
    """
    fields = as_mapping(manifest)
    return ["manifest: expected a mapping"] if fields is None else list(_defects(fields))


def require_shape(manifest: Any) -> None:
    """Refuse a manifest with the wrong shape. Unknown names and types are accepted, since a server may have them.

    Raises:
        ValueError: A section or an entry is not a mapping.
    """
    fields = as_mapping(manifest)
    if fields is None:
        raise ValueError(f"manifest: expected a mapping, got {manifest!r:.60}")
    for section in _SECTIONS:
        declared = fields.get(section)
        entries = as_mapping({} if declared is None else declared)
        if entries is None:
            raise ValueError(f"manifest: {section}: expected a mapping, got {declared!r:.60}")
        for name, entry in entries.items():
            if not _text(name):
                raise ValueError(f"manifest: {section}.{name}: expected a string as the name, got {name!r:.60}")
            if as_mapping(entry) is None:
                raise ValueError(f"manifest: {section}.{name}: expected a mapping, got {entry!r:.60}")


def _defects(manifest: dict[str, Any]) -> Iterator[str]:
    yield from _entry("", manifest, _TOP, ("blueprint_spec", "display_name"))
    for section, checks in _SECTIONS.items():
        entries = as_mapping(manifest.get(section))
        if entries is None:
            if manifest.get(section) is not None:
                yield f"{section}: expected a mapping"
            continue
        names = _ALERT_NAME if section == "alerts" else _NAME
        for name, entry in entries.items():
            path = f"{section}.{name}"
            if not _text(name) or not names.fullmatch(name):
                yield f"{path}: not a valid name"
            yield from _entry(path, entry, checks, _REQUIRED[section])
            if section in ("commands", "configuration"):
                yield from _nested(path, as_mapping(entry) or {})


def _nested(path: str, entry: dict[str, Any]) -> Iterator[str]:
    """Check arguments, parameters and the like of a command or a configuration group."""
    for key in ("arguments", "parameters"):
        for name, declaration in (as_mapping(entry.get(key)) or {}).items():
            if not _text(name) or not _NAME.fullmatch(name):
                yield f"{path}.{key}.{name}: not a valid name"
            yield from _entry(f"{path}.{key}.{name}", declaration, _ARGUMENT, ())
    confirmation = entry.get("confirmation")
    if confirmation is not None:
        checks = {"severity": _one_of("info", "warning"), "title": _text, "description": _text}
        yield from _entry(f"{path}.confirmation", confirmation, checks, ())


def _entry(path: str, entry: Any, checks: dict[str, Check], required: tuple[str, ...]) -> Iterator[str]:
    fields = as_mapping(entry)
    if fields is None:
        yield f"{path}: expected a mapping"
        return
    prefix = f"{path}." if path else ""
    for name in required:
        if fields.get(name) is None:
            yield f"{prefix}{name}: is required"
    for name, check in checks.items():
        value = fields.get(name)
        missing = value is None and name in required  # was named already
        if name in fields and not missing and not check(value):
            yield f"{prefix}{name}: {str(value)[:60]!r} is not valid here"
