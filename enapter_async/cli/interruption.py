"""Handling of Ctrl-C and SIGTERM: one line and exit code 130 or 143, whatever the program is doing.

By default Python raises an exception between any two bytecodes: an import turns it into another exception, a destructor
swallows it, the event loop breaks, and during shutdown it prints a traceback. Here a signal does not raise. It asks the
running work to end (`running.run` cancels it). If nothing is running, or on the second signal, the process exits at
once. This is safe, because a killed process leaves everything that the next run needs.

This module is imported before everything else, so it uses only the standard library.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, NoReturn, TypeAlias

Stop: TypeAlias = Callable[[], bool]
"""Asks running work to end, from a signal handler. Returns False if it was asked before."""

INTERRUPTED: Final = 130
TERMINATED: Final = 143
"""Exit codes."""
_SHOW_CURSOR: Final = "\x1b[?25h"

_ECHO_SECONDS: Final = 0.02
"""A signal that follows another within this time is a copy: `timeout` signals its command, and then the whole group."""

_stops: list[Stop] = []
_last_words: list[tuple[str, int]] = [("stopped", INTERRUPTED)]
_ended_by: list[tuple[str, int]] = []
_signalled_at: list[float] = []


def guard() -> None:
    """Exit at once on Ctrl-C and SIGTERM, until `listening` installs a gentler reaction.

    A signal that the parent process ignores stays ignored. Process 1 of a container ignores SIGTERM unless a
    handler is installed.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _on_signal)


def finished() -> None:
    """Ignore both signals from now on, because the interpreter is about to shut down."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def leave(code: object) -> NoReturn:
    """Exit without waiting for what the interpreter would wait for."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def ended_by() -> tuple[str, int] | None:
    """Return the message and exit code if a signal has arrived."""
    return _ended_by[0] if _ended_by else None


@contextmanager
def saying(message: str, code: int = INTERRUPTED) -> Generator[None, None, None]:
    """Use another message and exit code if a signal arrives within the block."""
    _last_words.append((message, code))
    try:
        yield
    finally:
        _last_words.pop()


@contextmanager
def listening(stop: Stop, *numbers: signal.Signals) -> Generator[None, None, None]:
    """Call `stop` on signals within the block. Outside the main thread no handler is installed."""
    before: dict[signal.Signals, Any] = {}
    with contextlib.suppress(ValueError):
        for number in numbers:
            before[number] = signal.signal(number, _on_signal)
    _stops.append(stop)
    try:
        yield
    finally:
        _stops.remove(stop)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def raising() -> Generator[None, None, None]:
    """Let Ctrl-C raise KeyboardInterrupt within a block that has to clean up."""

    def stop() -> NoReturn:
        raise KeyboardInterrupt

    with listening(stop, signal.SIGINT):
        yield


def _on_signal(number: int, _: object) -> None:
    now = time.monotonic()
    if _signalled_at and now - _signalled_at[0] < _ECHO_SECONDS:
        return
    _signalled_at[:] = [now]
    message, code = _last_words[-1]
    _ended_by.append((message, TERMINATED if code == INTERRUPTED and number == signal.SIGTERM else code))
    for stop in reversed(_stops):
        if stop():
            return
    _leave_at_once(*_ended_by[0])


def _leave_at_once(message: str, code: int) -> NoReturn:
    # Avoid buffers and locks: the interrupted code may hold them.
    front = f"{_SHOW_CURSOR}\n" if os.isatty(2) else ""
    with contextlib.suppress(OSError):
        os.write(2, f"{front}enapter-async: {message}\n".encode())
    os._exit(code)
