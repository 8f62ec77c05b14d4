"""Telemetry as lines on standard output, for Telegraf, Vector and other programs that read a pipe."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from anyio import CancelScope, to_thread

from enapter_async._arguments import require_whole_number
from enapter_async._protocol.query import one_of
from enapter_async.errors import StorageError
from enapter_async.rows import Row
from enapter_async.rows.line_protocol import LINE_PROTOCOL
from enapter_async.rows.lines import JSON_LINES, LineFormat

FORMATS: Final[dict[str, LineFormat]] = {"jsonl": JSON_LINES, "influx": LINE_PROTOCOL}
"""Format of a line."""

_NAME: Final = "standard output"
_CHUNK: Final = 4096
"""Number of bytes that a ready pipe accepts atomically, without blocking (PIPE_BUF on Linux)."""
_LOOK_SECONDS: Final = 0.2


class PipeStore:
    """Writes rows as lines to standard output, or to another file descriptor.

    A slow reader delays `write`, and with it the collector. Nothing is dropped. If the reader closes the pipe, `write`
    raises `StorageError`. Lines of up to 4096 bytes are written to a pipe completely or not at all, even after a kill.
    A pipe cannot be searched, so repeated rows are written again.

        async with PipeStore("influx") as store:
            await Collector(client, store).run()
    """

    def __init__(self, form: str = "jsonl", *, descriptor: int | None = None) -> None:
        """Choose the format.

        Args:
            form: `jsonl` for JSON lines, `influx` for InfluxDB's line protocol with times in nanoseconds.
            descriptor: File descriptor to write to. The default is standard output.

        Raises:
            InvalidArgumentError: An argument is invalid.
        """
        self._format = FORMATS[one_of(form, frozenset(FORMATS), "form")]
        self._descriptor = None if descriptor is None else require_whole_number(descriptor, "descriptor", 0)
        self._ending = threading.Event()
        self._one_at_a_time = threading.Lock()

    async def __aenter__(self) -> Self:
        if self._descriptor is None:
            try:
                if sys.__stdout__ is None:  # closed from the start; the command replaces it with the null device
                    raise ValueError
                self._descriptor = sys.stdout.fileno()
            except (AttributeError, OSError, ValueError):
                raise StorageError(_NAME, "is closed") from None
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        # The thread of a cancelled write may still run. The descriptor may be closed, and its number used again, only
        # after that thread has ended.
        with CancelScope(shield=True):
            await to_thread.run_sync(self._wait_for_thread)

    async def write(self, rows: Sequence[Row]) -> int:
        """Write rows and return their number. This waits for a slow reader."""
        data = self._format.encode(rows)
        try:
            await to_thread.run_sync(self._write, data, abandon_on_cancel=True)
        except OSError as error:
            gone = isinstance(error, BrokenPipeError)
            problem = "the reader closed the pipe" if gone else f"cannot be written: {error.strerror}"
        else:
            return len(rows)
        raise StorageError(_NAME, problem)

    def _write(self, data: bytes) -> None:
        descriptor = self._descriptor
        if descriptor is None:
            raise StorageError(_NAME, "is not open: use `async with`")
        with self._one_at_a_time:
            position = 0
            while position < len(data):
                between_lines = data[position - 1 : position] in (b"", b"\n")
                if between_lines and self._ending.is_set():
                    return
                end = _end_of_piece(data, position)
                if sys.platform == "win32":  # there, select() works only with sockets
                    position += os.write(descriptor, data[position:end])
                # In small pieces, so that a thread whose task was cancelled is not blocked in a write forever.
                elif select.select([], [descriptor], [], _LOOK_SECONDS)[1]:
                    with suppress(BlockingIOError):  # the other process may have made it non-blocking
                        position += os.write(descriptor, data[position:end])
                elif self._ending.is_set():
                    return

    def _wait_for_thread(self) -> None:
        with self._one_at_a_time:
            pass


def _end_of_piece(data: bytes, start: int) -> int:
    """Return where to split: after as many whole lines as a pipe accepts at once, or inside a longer line."""
    most = start + _CHUNK
    return len(data) if most >= len(data) else data.rfind(b"\n", start, most) + 1 or most
