"""Ctrl-C and SIGTERM at any moment: one line and exit code 130 or 143, whatever the program is doing.

Python would raise an exception between any two steps: an import turns it into another one, a destructor loses it, the
event loop breaks, and at the interpreter's end there is a traceback. Here a signal raises nothing. It asks the running
work to end (`running.run` cancels it). If nothing runs, or at the second signal, the process ends at once. This is
safe, because a kill leaves everything that the next run needs.

Imported before everything else, so it stands on the standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, NoReturn, TypeAlias

Stop: TypeAlias = Callable[[], bool]
"""Asks something to end, from within a signal handler; returns False where it was asked before."""

_CODE: Final = 130
_TERMINATED: Final = 143
_SHOW_CURSOR: Final = "\x1b[?25h"

_stops: list[Stop] = []
_last_words: list[tuple[str, int]] = [("stopped", _CODE)]
_ended_by: list[tuple[str, int]] = []


def guard() -> None:
    """End the process at once on Ctrl-C and SIGTERM, until something asks for better.

    A signal that the parent process has switched off stays off. Process 1 of a container ignores SIGTERM unless a
    handler is installed.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _on_signal)


def finished() -> None:
    """Ignore both from now on: all is said, and the interpreter's end is no place to be interrupted in."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def ended_by() -> tuple[str, int] | None:
    """Return what is to be said, and the exit code, if a signal has come."""
    return _ended_by[0] if _ended_by else None


@contextmanager
def saying(message: str, code: int = _CODE) -> Generator[None, None, None]:
    """Have a signal within a block end the command with other words, and another exit code."""
    _last_words.append((message, code))
    try:
        yield
    finally:
        _last_words.pop()


@contextmanager
def listening(stop: Stop, *numbers: signal.Signals) -> Generator[None, None, None]:
    """Have signals call something within a block; outside of the main thread, signals are somebody else's."""
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
    """Have Ctrl-C raise KeyboardInterrupt within a block that has something to put in order."""

    def stop() -> NoReturn:
        raise KeyboardInterrupt

    with listening(stop, signal.SIGINT):
        yield


def _on_signal(number: int, _: object) -> None:
    message, code = _last_words[-1]
    _ended_by.append((message, _TERMINATED if code == _CODE and number == signal.SIGTERM else code))
    for stop in reversed(_stops):
        if stop():
            return
    _leave_at_once(*_ended_by[0])


def _leave_at_once(message: str, code: int) -> NoReturn:
    # Neither buffers nor locks: whatever was interrupted may hold them.
    front = f"{_SHOW_CURSOR}\n" if os.isatty(2) else ""
    with contextlib.suppress(OSError):
        os.write(2, f"{front}enapter-async: {message}\n".encode())
    os._exit(code)
