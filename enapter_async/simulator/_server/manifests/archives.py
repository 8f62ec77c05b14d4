"""Read uploaded blueprint archives and write downloaded ones."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import attrs

from ..shapes import as_list, as_mapping
from ..world.entities import Blueprint
from .manifest_file import read_manifest
from .validation import validate_manifest

MANIFESTS = ("manifest.yml", "manifest.yaml", "manifest.json")
_MOST_FILES = 2_000
_MOST_BYTES = 64 * 1024 * 1024
_EPOCH = (2026, 1, 1, 0, 0, 0)
_LUA = b"-- This blueprint comes with the simulator and has no code of its own.\nenapter.main()\n"


@attrs.frozen
class Archive:
    """A blueprint archive that was read.

    Attributes:
        manifest: The manifest as JSON; empty when it could not be read.
        errors: The defects, one per line.
    """

    manifest: dict[str, Any]
    errors: list[str]


def read_archive(data: bytes) -> Archive:
    """Read and validate a blueprint archive. Never raises."""
    try:
        files = read_files(data)
    except ValueError as error:
        return Archive({}, [str(error)])
    name = next((name for name in MANIFESTS if name in files), None)
    if name is None:
        return Archive({}, [f"missed file {MANIFESTS[0]}"])
    try:
        text = files[name].decode("utf-8-sig")
        manifest: Any = read_manifest(text, is_yaml=not name.endswith(".json"))
        # YAML has dates, keys that are not texts and lone surrogates, but responses are JSON in UTF-8.
        manifest = json.loads(json.dumps(manifest, default=str, allow_nan=False, ensure_ascii=False).encode())
    except (ValueError, RecursionError, TypeError) as error:
        return Archive({}, [f"{name}: {error}"[:500]])
    errors = validate_manifest(manifest)
    return Archive({} if errors else manifest, errors)


def read_files(data: bytes) -> dict[str, bytes]:
    """Read every file of a zip archive.

    Raises:
        ValueError: The data is not a zip archive, or the archive is damaged or too large.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > _MOST_FILES or sum(entry.file_size for entry in entries) > _MOST_BYTES:
                raise ValueError("the archive is too large")
            for entry in entries:
                if entry.filename.startswith("/") or ".." in entry.filename.split("/"):
                    raise ValueError(f"{entry.filename}: the path leaves the archive")
            return {entry.filename.removeprefix("./"): archive.read(entry) for entry in entries}
    except ValueError:
        raise
    except Exception as error:  # noqa: BLE001 a damaged archive makes zipfile and its codecs raise almost anything
        raise ValueError(f"not a zip archive: {error}") from None


def write_archive(files: dict[str, bytes]) -> bytes:
    """Write a zip archive, the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def original(blueprint: Blueprint) -> bytes:
    """Return the archive as it was uploaded. The archive of a stock blueprint is made here. JSON is YAML, too."""
    if blueprint.archive is not None:
        return blueprint.archive
    text = json.dumps(blueprint.manifest, indent=2, ensure_ascii=False)
    return write_archive({"manifest.yml": text.encode(), "src/main.lua": _LUA})


def compiled(blueprint: Blueprint) -> bytes:
    """Return the archive as the platform compiles it: a compiled manifest and the other files."""
    files = {name: data for name, data in read_files(original(blueprint)).items() if name not in MANIFESTS}
    manifest = json.dumps(compile_manifest(blueprint.manifest), indent=2, ensure_ascii=False)
    return write_archive(files | {"manifest.json": manifest.encode()})


def compile_manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    """Turn enums in map form into a list next to `enum_with_metainfo` (reference.md, section 13)."""
    compiled: dict[str, Any] = _compile(manifest)
    return compiled | {"blueprint_spec": "device_compiled/1.0"}


def _compile(node: Any) -> Any:
    items, entries = as_list(node), as_mapping(node)
    if items is not None:
        return [_compile(item) for item in items]
    if entries is None:
        return node
    result = {name: _compile(value) for name, value in entries.items()}
    enum = as_mapping(entries.get("enum"))
    if enum is not None and "type" in entries:
        result["enum"] = list(enum)
        result["enum_with_metainfo"] = [{"value": name, **entry} for name, entry in enum.items()]
    return result
