"""Exit codes by kind of error, and errors as one line."""

from __future__ import annotations

import enum
import sqlite3
from typing import cast

import click

from enapter_async import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    DeadlineExceededError,
    EnapterError,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitedError,
    SelectionError,
    ServerError,
    StorageError,
    TransportError,
)
from enapter_async.cli import interruption


class Exit(enum.IntEnum):
    """Exit codes."""

    OK = 0
    FAILED = 1
    """The API rejected the request, or sent an invalid response."""
    USAGE = 2
    """Wrong options or arguments."""
    CONFIGURATION = 3
    """The token, the address or another setting is missing or invalid."""
    NOT_ALLOWED = 4
    """The token is not accepted, or its role is too low."""
    NOT_FOUND = 5
    """The resource does not exist, or the token cannot see it."""
    UNAVAILABLE = 6
    """The API is unreachable or overloaded. Try again later."""
    STORAGE = 7
    """A file or a database cannot be read or written."""
    UNKNOWN_OUTCOME = 8
    """A change may have been carried out; check before repeating it."""
    DEFECT = 70
    """A bug in this program."""
    INTERRUPTED = interruption.INTERRUPTED
    """Stopped by Ctrl-C."""
    TERMINATED = interruption.TERMINATED
    """Stopped by SIGTERM."""


_CODES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Exit], ...] = (
    (ConfigurationError, Exit.CONFIGURATION),
    (InvalidArgumentError, Exit.USAGE),
    ((AuthenticationError, PermissionDeniedError), Exit.NOT_ALLOWED),
    ((NotFoundError, SelectionError), Exit.NOT_FOUND),
    (OutcomeUnknownError, Exit.UNKNOWN_OUTCOME),
    ((TransportError, DeadlineExceededError, RateLimitedError, ServerError), Exit.UNAVAILABLE),
    ((OSError, StorageError, sqlite3.Error), Exit.STORAGE),
    (EnapterError, Exit.FAILED),
)


class Failure(click.ClickException):
    """The end of a command, as one line on stderr and an exit code.

    Attributes:
        code: The exit code.
    """

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(" ".join(message.split()))
        self.code = code


def failure(error: BaseException) -> Failure:
    """Return the failure for an error. For a group, it is that of the first error in it."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    for kinds, code in _CODES:
        if isinstance(error, kinds):
            return Failure(_advised(error), code)
    return Failure(f"bug in this program: {type(error).__name__}: {error} (--debug shows the traceback)", Exit.DEFECT)


def _advised(error: BaseException) -> str:
    if isinstance(error, AuthenticationError) or (isinstance(error, APIError) and error.code == "invalid_header"):
        return f"{error}; check ENAPTER_HTTP_API_TOKEN with `enapter-async doctor`"
    if isinstance(error, ConfigurationError) and "ENAPTER_HTTP_API_TOKEN" in str(error):
        return f"{error} (to try without a token, run `enapter-async simulate`)"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else f"cannot write the output: {error.strerror}"
    return str(error) or type(error).__name__
