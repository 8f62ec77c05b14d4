"""Every error that leaves the SDK.

`EnapterError` is the root. `RequestError` and below know which operation failed, how often it was tried and
whether it can have had an effect (`outcome`). No error holds headers, body values that we sent, or the token.
"""

from __future__ import annotations

from datetime import datetime
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, TypeAlias

import attrs

from enapter_async.models.common import JSON
from enapter_async.models.visible import make_visible

if TYPE_CHECKING:
    from enapter_async.models.commands import CommandExecution

Outcome: TypeAlias = Literal["not_sent", "rejected", "final", "unknown"]
"""What became of a call: it never left, the server refused it with 429, the server answered, or nobody knows."""

_OUTCOME_ORDER: tuple[Outcome, ...] = ("not_sent", "rejected", "final", "unknown")


def worst_outcome(first: Outcome, second: Outcome) -> Outcome:
    """Return the outcome that leaves more doubt; a call's outcome is the worst of its attempts'."""
    return first if _OUTCOME_ORDER.index(first) > _OUTCOME_ORDER.index(second) else second


class EnapterError(Exception):
    """The root of all errors of this SDK.

    `str()` is one line of printable text, whatever the server wrote: control characters become their escapes.
    """

    def __str__(self) -> str:
        return make_visible(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions with keyword-only arguments do not pickle by themselves.
        return _restore, (type(self), self.args, self.__dict__.copy())


def _restore(cls: type[EnapterError], args: tuple[object, ...], state: dict[str, object]) -> EnapterError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class InsecureConnectionWarning(UserWarning):
    """Certificates are not verified, because the caller said so."""


class ConfigurationError(EnapterError, ValueError):
    """The client was given settings that cannot work; nothing was sent."""


class MissingExtraError(EnapterError, ImportError):
    """A library that this needs is not installed; the message says what to install.

    Attributes:
        extra (str): Extra of `enapter-async` that brings it.
    """

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed: pip install 'enapter-async[{extra}]'")
        self.extra = extra


class StorageError(EnapterError):
    """A file, a folder or a database cannot be used, or not any more; what was stored before stays.

    Attributes:
        location: The file or folder, or the address of the database without its password.
        reason: Why.
        temporary: Whether it may work later: the database is locked by another program, say, or restarts.
    """

    def __init__(self, location: str | PathLike[str], reason: str, *, temporary: bool = False) -> None:
        super().__init__(f"{fspath(location)}: {reason}")
        self.location: str = fspath(location)
        self.reason: str = reason
        self.temporary: bool = temporary


class SelectionError(EnapterError, LookupError):
    """The token can see no device or attribute of that name, or nothing at all that could be read."""


class InvalidArgumentError(EnapterError, ValueError):
    """A call was given an argument that cannot work; nothing was sent.

    Attributes:
        argument (str): Name of the argument.
    """

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(f"{argument}: {message}")
        self.argument = argument


class ClientClosedError(EnapterError, RuntimeError):
    """The client was closed before the call could end."""

    def __init__(self, message: str = "the client is closed") -> None:
        super().__init__(message)


class WrongEventLoopError(EnapterError, RuntimeError):
    """The client is bound to the event loop that it was first used in, and this is another one."""


class StreamError(EnapterError):
    """A WebSocket stream that could not be opened or kept.

    Attributes:
        gap (bool): Whether frames may have been missed.
        attempts (int): How often a connection was tried.
        status (int | None): HTTP status of a refused handshake, if there was one.
    """

    def __init__(self, message: str, *, gap: bool = False, attempts: int = 0, status: int | None = None) -> None:
        super().__init__(message)
        self.gap = gap
        self.attempts = attempts
        self.status = status


class TelemetryNotFoundError(EnapterError):
    """A device or a telemetry attribute that is watched does not exist; raised with `on_missing="raise"` only.

    Attributes:
        device (str): As it was asked for: ID or slug.
        attribute (str): Name of the attribute.
        warning (str): What the server says about it.
    """

    def __init__(self, message: str, *, device: str, attribute: str, warning: str) -> None:
        super().__init__(message)
        self.device: str = device
        self.attribute: str = attribute
        self.warning: str = make_visible(warning)


class ExecutionPendingError(EnapterError, TimeoutError):
    """Time ran out before a command execution ended; the command itself goes on.

    Attributes:
        execution_id (str): What to pass to `commands.wait` or `commands.get_execution` later.
        state (str | None): The last state seen, None when none was.
    """

    def __init__(self, message: str, *, execution_id: str, state: str | None = None) -> None:
        super().__init__(message)
        self.execution_id = execution_id
        self.state = state


class CommandFailedError(EnapterError):
    """A command ended in another state than SUCCESS; raised by `CommandExecution.raise_for_state()` only.

    Attributes:
        state (str): The final state.
        execution (CommandExecution): The `CommandExecution`.
    """

    def __init__(self, message: str, *, state: str, execution: CommandExecution) -> None:
        super().__init__(message)
        self.state = state
        self.execution = execution


class RequestError(EnapterError):
    """A call that was begun and did not end well.

    Attributes:
        operation (str): Name of the operation, such as `devices.get`.
        method (str): HTTP method.
        path (str): Path and nothing more: the query stays out.
        attempts (int): How many requests were tried.
        elapsed (float): Seconds since the call began.
        outcome (Outcome): `not_sent`, `rejected` (429), `final` or `unknown`: the worst over all attempts.
    """

    default_outcome: ClassVar[Outcome] = "unknown"

    def __init__(self, message: str, *, outcome: Outcome | None = None) -> None:
        super().__init__(message)
        self.operation: str = ""
        self.method: str = ""
        self.path: str = ""
        self._request_path = ""
        self.attempts: int = 0
        self.elapsed: float = 0.0
        self.outcome: Outcome = outcome or self.default_outcome

    def located(self, operation: str, method: str, path: str) -> Self:
        """Fill in which call this error belongs to."""
        self.operation, self.method, self.path = operation, method, path
        self._request_path = path
        return self

    def __str__(self) -> str:
        message = super().__str__()
        if not self.operation:
            return message
        text = f"{self.operation} ({self.method} {self._request_path}): {message}"
        if not self.attempts and not self.elapsed:  # about a frame of a stream, which has no attempts
            return text
        tries = f"{self.attempts} attempt{'' if self.attempts == 1 else 's'}"
        return f"{text} [{tries}, {self.elapsed:.2f} s, {self.outcome}]"


class TokenProviderError(RequestError):
    """The token provider raised; what it raised is the cause.

    For want of a token nothing was sent, or not again. Whether the provider is worth another try, it knows best: the
    next call asks it anew.
    """

    default_outcome: ClassVar[Outcome] = "not_sent"


class TransportError(RequestError):
    """No usable answer came.

    Attributes:
        phase (str): Where it ended: `connect`, `wait` (sent, no answer yet) or `body`.
        permanent (bool): A repeated request would end alike, so none was sent.
    """

    def __init__(self, message: str, *, phase: str, outcome: Outcome | None = None, permanent: bool = False) -> None:
        super().__init__(message, outcome=outcome)
        self.phase: str = phase
        self.permanent: bool = permanent


class ConnectError(TransportError):
    """No connection could be made; nothing was sent."""

    default_outcome: ClassVar[Outcome] = "not_sent"

    def __init__(
        self, message: str, *, phase: str = "connect", outcome: Outcome | None = None, permanent: bool = False
    ) -> None:
        super().__init__(message, phase=phase, outcome=outcome, permanent=permanent)


class NameResolutionError(ConnectError):
    """The host name could not be resolved."""


class TLSError(ConnectError):
    """The TLS handshake failed: certificate, host name or protocol."""


class ConnectionLostError(TransportError):
    """The connection ended before the answer was complete."""


class AttemptTimeoutError(TransportError, TimeoutError):
    """One attempt took longer than `Timeouts.attempt`."""


class DeadlineExceededError(RequestError, TimeoutError):
    """The call's time was used up; the last failure, if there was one, is the cause."""

    default_outcome: ClassVar[Outcome] = "not_sent"


class OutcomeUnknownError(RequestError):
    """A command, or another request that does more when repeated, may have been carried out; nobody knows.

    Do not simply repeat it: look first (for a command, `commands.list_executions` since `started_at`). Catching this
    catches every such failure, `ServerOutcomeUnknownError` included.

    Attributes:
        started_at (datetime): UTC time (aware datetime) at which the call began.
    """

    def __init__(self, message: str, *, started_at: datetime) -> None:
        super().__init__(message, outcome="unknown")
        self.started_at = started_at


def _made_visible(text: str | None) -> str | None:
    return None if text is None else make_visible(text)


@attrs.frozen
class ErrorDetail:
    """One entry of the server's error envelope.

    Attributes:
        code: Reported code, often with a `service/` prefix; open-ended, may be missing.
        message: Text for people, with control characters as escapes.
        details: Additional fields, as they came.
    """

    code: str | None = None
    message: str | None = attrs.field(default=None, converter=_made_visible)
    details: dict[str, JSON] = attrs.field(factory=dict[str, JSON])


class APIError(RequestError):
    """The server answered with an error status.

    Attributes:
        status (int): HTTP status.
        code (str | None): Code of the first reported error, if any.
        message (str): Message of the first reported error, else a short description.
        details (dict[str, JSON]): Additional fields of the first reported error.
        errors (tuple[ErrorDetail, ...]): All reported errors.
        retry_after (float | None): Seconds that the server asked to wait, if it did.
        body_excerpt (str): Beginning of a body that was not the documented envelope.
    """

    default_outcome: ClassVar[Outcome] = "final"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        errors: tuple[ErrorDetail, ...] = (),
        retry_after: float | None = None,
        body_excerpt: str = "",
        outcome: Outcome | None = None,
    ) -> None:
        super().__init__(message, outcome=outcome)
        first = errors[0] if errors else ErrorDetail()
        self.status = status
        self.code: str | None = first.code
        self.message: str = first.message or make_visible(message)
        self.details: dict[str, JSON] = first.details
        self.errors = errors
        self.retry_after = retry_after
        self.body_excerpt: str = make_visible(body_excerpt)


class UnexpectedRedirectError(APIError):
    """3xx but 304: redirects are not followed, because the token would go along."""


class BadRequestError(APIError):
    """400: the server could not parse or validate the request."""


class AuthenticationError(APIError):
    """401, or 403 whose code is `invalid_header` for the token's header: the token is missing, invalid or expired."""


class PermissionDeniedError(APIError):
    """403: the role of the token is too low."""


class NotFoundError(APIError):
    """404: no such resource (or no such path)."""


class ConflictError(APIError):
    """409: it exists already."""


class UnprocessableError(APIError):
    """422: the server cannot carry out the instructions."""


class RateLimitedError(APIError):
    """429: too many requests, and no more time to wait."""

    default_outcome: ClassVar[Outcome] = "rejected"


class ServerError(APIError):
    """5xx: for a request that changes something the outcome is unknown, but with 501 and 505."""

    default_outcome: ClassVar[Outcome] = "unknown"


class ServerOutcomeUnknownError(OutcomeUnknownError, ServerError):
    """5xx to a command or a creation: it may have been carried out, since a proxy may have passed it on."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        started_at: datetime,
        errors: tuple[ErrorDetail, ...] = (),
        retry_after: float | None = None,
        body_excerpt: str = "",
    ) -> None:
        ServerError.__init__(
            self,
            message,
            status=status,
            errors=errors,
            retry_after=retry_after,
            body_excerpt=body_excerpt,
            outcome="unknown",
        )
        self.started_at = started_at


class DecodeError(RequestError):
    """The server answered, and the answer makes no sense."""

    default_outcome: ClassVar[Outcome] = "final"


class InvalidBodyError(DecodeError):
    """The body is not what its kind promises: not JSON, not complete, not decompressible."""


class SchemaError(DecodeError):
    """The body is JSON of another shape.

    Attributes:
        path (str): Where in the body, such as `devices[3].updated_at`; the path of the request stands in the message.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path

    def located(self, operation: str, method: str, path: str) -> Self:
        """Fill in which call this error belongs to; `path` goes on telling where in the body."""
        where = self.path
        super().located(operation, method, path)
        self.path: str = where
        return self


class TimeseriesFormatError(DecodeError):
    """A time series that is malformed or incomplete.

    Attributes:
        row (int | None): Number of the data row, counted from 1; 0 is the header; None when it is about the whole.
        column (int | None): Number of the column, counted from 0 (`ts`); None when it is about the row.
    """

    def __init__(self, message: str, *, row: int | None = None, column: int | None = None) -> None:
        place = "" if row is None else f"row {row}" + ("" if column is None else f", column {column}") + ": "
        super().__init__(place + message)
        self.row = row
        self.column = column


class ResponseTooLargeError(DecodeError):
    """The decoded body is larger than `max_response_bytes`, or its JSON holds too many values to decode."""


class PaginationError(RequestError):
    """A list that does not advance although the server says that there is more."""

    default_outcome: ClassVar[Outcome] = "final"


NOT_MODIFIED: Final = 304

_BY_STATUS: dict[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableError,
    429: RateLimitedError,
}


def error_class(status: int) -> type[APIError]:
    """Return the class for an HTTP status outside 2xx."""
    if status >= 500:
        return ServerError
    if 300 <= status < 400 and status != NOT_MODIFIED:
        return UnexpectedRedirectError
    return _BY_STATUS.get(status, APIError)
