"""How the command ends: exit codes by kind of error, and errors as one line."""

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


class Exit(enum.IntEnum):
    """Exit codes."""

    OK = 0
    FAILED = 1
    """The API refused, or answered nonsense."""
    USAGE = 2
    """Wrong options or arguments."""
    CONFIGURATION = 3
    """Token, address or another setting is missing or cannot be."""
    NOT_ALLOWED = 4
    """The token is not accepted, or its role is too low."""
    NOT_FOUND = 5
    """There is no such thing, or the token cannot see it."""
    UNAVAILABLE = 6
    """The API cannot be reached or is overloaded now; trying again later may help."""
    STORAGE = 7
    """A local file cannot be read or written."""
    UNKNOWN_OUTCOME = 8
    """A change may have been carried out; check before repeating it."""
    DEFECT = 70
    """A fault of this program."""
    INTERRUPTED = 130
    """Ctrl-C before there was anything to end properly."""
    TERMINATED = 143
    """SIGTERM before there was anything to end properly."""


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
    """Return how the command ends for an error; that of a group is the first one in it."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    for kinds, code in _CODES:
        if isinstance(error, kinds):
            return Failure(_advised(error), code)
    return Failure(f"defect in this program: {type(error).__name__}: {error} (--debug shows where)", Exit.DEFECT)


def _advised(error: BaseException) -> str:
    if isinstance(error, AuthenticationError) or (isinstance(error, APIError) and error.code == "invalid_header"):
        return f"{error}; is ENAPTER_HTTP_API_TOKEN right for this server? (`enapter-async doctor` looks)"
    if isinstance(error, ConfigurationError) and "ENAPTER_HTTP_API_TOKEN" in str(error):
        return f"{error} (`enapter-async simulate` runs a server to try things with)"
    if isinstance(error, OSError) and error.strerror:
        return (
            f"{error.filename}: {error.strerror}" if error.filename else f"output cannot be written: {error.strerror}"
        )
    return str(error) or type(error).__name__
