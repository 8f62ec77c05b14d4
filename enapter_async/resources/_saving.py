"""Download to a file that appears only when it is complete."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

import anyio
from anyio import to_thread

from enapter_async._arguments import refuse_argument
from enapter_async._files import sync_file
from enapter_async.errors import InvalidArgumentError

T = TypeVar("T")


class PartialFile:
    """A temporary file next to its target, written outside the event loop.

    Attributes:
        path: Path of the temporary file.
    """

    def __init__(self, target: Path, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self._target = target
        self._file = file

    async def begin(self) -> None:
        """Discard everything written so far."""

        def begin() -> None:
            self._file.seek(0)
            self._file.truncate()

        await _off_loop(self._target, begin)

    async def write(self, data: bytes) -> None:
        """Append bytes."""
        await _off_loop(self._target, self._file.write, data)

    async def flush(self) -> None:
        """Flush the file to disk, so that it has its content even after a power cut."""
        await _off_loop(self._target, sync_file, self._file)


def checked_target(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file to be written.

    Raises:
        InvalidArgumentError: The path is not a path, or has no file name.
    """
    if not isinstance(path, (str, os.PathLike)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refuse_argument("path", "must be the path of a file", path)
    target = Path(os.fsdecode(path))
    if not target.name:
        raise InvalidArgumentError("path", "must name a file")
    return target


@asynccontextmanager
async def appearing_when_complete(target: Path) -> AsyncGenerator[PartialFile]:
    """Open a temporary file next to the target, and rename it to the target if the block succeeds.

    If the block raises or is cancelled, the file is removed.

    Args:
        target: Path of the file. An existing file is replaced.

    Raises:
        InvalidArgumentError: The target is a folder, or writing fails.
    """
    path = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
    file = await _off_loop(target, _create, target, path)
    try:
        try:
            yield PartialFile(target, path, file)
        finally:
            with anyio.CancelScope(shield=True):
                await _off_loop(target, file.close)
        await _off_loop(target, path.replace, target)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(partial(path.unlink, missing_ok=True))
        raise


def _create(target: Path, path: Path) -> IO[bytes]:
    if target.is_dir():
        raise IsADirectoryError("it is a folder")
    return path.open("xb")


async def _off_loop(target: Path, function: Callable[..., T], *arguments: object) -> T:
    try:
        return await to_thread.run_sync(function, *arguments)
    except (OSError, ValueError) as error:
        message = f"cannot write {target}: {getattr(error, 'strerror', None) or error}"
    raise InvalidArgumentError("path", message)
