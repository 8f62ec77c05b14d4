"""The form in which manifests are served: the platform settles what YAML leaves open."""

from __future__ import annotations

from typing import Any

from ..shapes import as_list, as_mapping

_LISTS = ("implements", "aliases")
_LEVELS = ("access_level", "read_access_level")
_SECTIONS = ("properties", "telemetry", "alerts", "commands", "configuration")
_NESTED = ("arguments", "parameters", "response")


def settle_manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest as the API serves it (reference.md, section 13).

    `implements` and `aliases` are lists, also where the YAML has one string. Access levels are in lower case. Where
    one of these is null, it is left out.
    """
    settled = _settle_entry(manifest)
    for section in _SECTIONS:
        if section in settled:
            settled[section] = _settle_entries(settled[section], nested=True)
    return settled


def _settle_entries(entries: Any, *, nested: bool = False) -> Any:
    named = as_mapping(entries)
    if named is None:
        return entries
    return {name: _settle_declaration(entry, nested=nested) for name, entry in named.items()}


def _settle_declaration(declaration: Any, *, nested: bool) -> Any:
    fields = as_mapping(declaration)
    if fields is None:
        return declaration
    settled = _settle_entry(fields)
    if nested:
        for name in _NESTED:
            if name in settled:
                settled[name] = _settle_entries(settled[name])
    return settled


def _settle_entry(fields: dict[str, Any]) -> dict[str, Any]:
    settled = dict(fields)
    for name in (*_LISTS, *_LEVELS):
        if name in settled and settled[name] is None:
            del settled[name]
    for name in _LISTS:
        if name in settled and as_list(settled[name]) is None:
            settled[name] = [settled[name]]
    for name in _LEVELS:
        if isinstance(settled.get(name), str):
            settled[name] = settled[name].lower()
    return settled
