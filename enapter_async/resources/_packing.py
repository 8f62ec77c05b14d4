"""Pack blueprints for upload. The same files always give the same zip archive."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, TypeAlias

from enapter_async._arguments import refuse_argument
from enapter_async.errors import InvalidArgumentError

BlueprintSource: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str]
"""A blueprint: the bytes of a zip archive, the path of one, or the path of a folder."""

MAX_BYTES: Final = 64 * 1024 * 1024

# Files that tools leave behind in a folder, and that no blueprint needs.
_LITTER: Final = (
    *(".git", ".gitattributes", ".gitignore", ".gitmodules", ".hg", ".svn", ".idea", ".vscode"),
    *("__pycache__", "*.pyc", "node_modules", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache"),
    *(".DS_Store", "._*", "Thumbs.db", "desktop.ini", "*.swp", "*.swo", "*~", ".#*", "#*#"),
)

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip archive can hold
_MODE: Final = (stat.S_IFREG | 0o644) << 16
_UNIX: Final = 3


def read(source: BlueprintSource) -> bytes:
    """Return the zip archive of a source. It reads files, so call it outside the event loop.

    Raises:
        InvalidArgumentError: The source is empty, neither a zip file nor a folder, larger than 64 MiB or unreadable,
            or the folder contains a link that points outside it.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        if not data:
            raise _refused("must not be empty")
        return _bounded(data)
    if not isinstance(source, (str, os.PathLike)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refuse_argument("source", "must be bytes, or the path of a zip file or a folder", source)
    path = Path(os.fsdecode(source))
    try:
        if path.is_dir():
            return zip_folder(path)
        data = _content(path, MAX_BYTES)
    except InvalidArgumentError:
        raise
    except OSError as error:
        message = f"cannot read {path}: {error.strerror or error}"
    except ValueError:  # a null character
        message = "is not a path"
    else:
        if not zipfile.is_zipfile(io.BytesIO(data)):
            raise _refused(f"{path} is neither a folder nor a zip file")
        return data
    raise _refused(message)


def zip_folder(folder: Path) -> bytes:
    """Return a folder as a zip archive.

    Entries are sorted, have the same time and mode, and are stored uncompressed, since compressors differ between
    machines. Folders of version control, caches and temporary files of editors are left out. A link to a file in the
    folder is replaced by that file. Any other link is rejected.

    Raises:
        InvalidArgumentError: The folder is empty or too large, or contains a rejected link or a special file.
        OSError: Reading it failed.
    """
    root = folder.resolve(strict=True)
    buffer = io.BytesIO()
    room = MAX_BYTES
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, path in sorted((_entry_name(path, root), path) for path in _files(root)):
            data = _content(path, room)
            room -= len(data)
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = _UNIX
            info.external_attr = _MODE
            archive.writestr(info, data)
        if not archive.infolist():
            raise _refused(f"{folder} contains no files")
    return _bounded(buffer.getvalue())


def _files(root: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(root, onerror=fail):
        folders[:] = [name for name in folders if not _is_litter(name)]
        for name in (*folders, *names):
            path = Path(parent, name)
            if path.is_symlink() and not _is_litter(name):
                _check_link(path, root)
        for name in names:
            if not _is_litter(name):
                yield Path(parent, name)


def _check_link(path: Path, root: Path) -> None:
    target = Path(os.path.realpath(path))  # a loop of links is not a file; Path.resolve() raises
    if not target.is_relative_to(root):
        raise _refused(f"{path} is a link that points outside the folder")
    if not target.is_file():
        raise _refused(f"{path} is a link to something that is not a file")


def _is_litter(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in _LITTER)


def _entry_name(path: Path, root: Path) -> str:
    name = path.relative_to(root).as_posix()
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise _refused(f"{name!r} is not text that UTF-8 can encode") from None
    return name


def _content(path: Path, room: int) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):
        raise _refused(f"{path} is not a regular file")
    with path.open("rb") as file:
        data = file.read(room + 1)
    if len(data) > room:
        raise _too_large()
    return data


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_BYTES:
        raise _too_large()
    return data


def _too_large() -> InvalidArgumentError:
    return _refused(f"is larger than {MAX_BYTES // 1024 // 1024} MiB")


def _refused(message: str) -> InvalidArgumentError:
    return InvalidArgumentError("source", message)
