"""All errors that the SDK raises.

`EnapterError` is the base class. A `RequestError` also knows which operation failed, how many attempts were made, and
whether the request may have had an effect (`outcome`). Errors never contain headers, values that you sent in a body,
or the token.
"""

from __future__ import annotations

from datetime import datetime
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, TypeAlias

import attrs

from enapter_async._visible import make_visible
from enapter_async.models.common import JSON

if TYPE_CHECKING:
    from enapter_async.models.commands import CommandExecution

Outcome: TypeAlias = Literal["not_sent", "rejected", "final", "unknown"]
"""Outcome of a call: never sent, rejected with 429, answered by the server, or unknown."""

_OUTCOME_ORDER: tuple[Outcome, ...] = ("not_sent", "rejected", "final", "unknown")


def worst_outcome(first: Outcome, second: Outcome) -> Outcome:
    """Return the less certain of two outcomes. A call has the worst outcome of its attempts."""
    return first if _OUTCOME_ORDER.index(first) > _OUTCOME_ORDER.index(second) else second


class EnapterError(Exception):
    """Base class of all errors of this SDK.

    `str()` returns one line of printable text. Control characters in text from the server are escaped.
    """

    def __str__(self) -> str:
        return make_visible(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions with keyword-only arguments cannot be pickled without help.
        return _restore, (type(self), self.args, self.__dict__.copy())


def _restore(cls: type[EnapterError], args: tuple[object, ...], state: dict[str, object]) -> EnapterError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class InsecureConnectionWarning(UserWarning):
    """Warns that certificates are not verified, as requested with `verify=False`."""


class ConfigurationError(EnapterError, ValueError):
    """Raised for invalid settings of a client. Nothing was sent."""


class MissingExtraError(EnapterError, ImportError):
    """Raised if an optional library is missing. The message says what to install.

    Attributes:
        extra (str): Extra of `enapter-async` that installs the library.
    """

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed: pip install 'enapter-async[{extra}]'")
        self.extra = extra


class StorageError(EnapterError):
    """Raised if a file, a folder or a database is unusable. Data stored earlier is kept.

    Attributes:
        location: File or folder, or address of the database without its password.
        reason: Reason of the failure.
        temporary: Whether a later attempt may succeed, for example if another program locks the database.
    """

    def __init__(self, location: str | PathLike[str], reason: str, *, temporary: bool = False) -> None:
        super().__init__(f"{fspath(location)}: {reason}")
        self.location: str = fspath(location)
        self.reason: str = reason
        self.temporary: bool = temporary


class SelectionError(EnapterError, LookupError):
    """Raised if the token cannot see a device or attribute with this name, or anything to read at all."""


class InvalidArgumentError(EnapterError, ValueError):
    """Raised for an invalid argument of a call. Nothing was sent.

    Attributes:
        argument (str): Name of the argument.
    """

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(f"{argument}: {message}")
        self.argument = argument


class ClientClosedError(EnapterError, RuntimeError):
    """Raised if the client was closed before the call ended."""

    def __init__(self, message: str = "the client is closed") -> None:
        super().__init__(message)


class WrongEventLoopError(EnapterError, RuntimeError):
    """Raised if a client is used in another event loop than the one it was first used in."""


class StreamError(EnapterError):
    """Raised if a WebSocket stream could not be opened or kept open.

    Attributes:
        gap (bool): Whether frames may have been missed.
        attempts (int): Number of connection attempts.
        status (int | None): HTTP status of a rejected handshake, if any.
    """

    def __init__(self, message: str, *, gap: bool = False, attempts: int = 0, status: int | None = None) -> None:
        super().__init__(message)
        self.gap = gap
        self.attempts = attempts
        self.status = status


class TelemetryNotFoundError(EnapterError):
    """Raised by a watch with `on_missing="raise"` if a device or a telemetry attribute does not exist.

    Attributes:
        device (str): ID or slug of the device, as requested.
        attribute (str): Name of the attribute.
        warning (str): Warning of the server.
    """

    def __init__(self, message: str, *, device: str, attribute: str, warning: str) -> None:
        super().__init__(message)
        self.device: str = device
        self.attribute: str = attribute
        self.warning: str = make_visible(warning)


class ExecutionPendingError(EnapterError, TimeoutError):
    """Raised if the timeout expires before a command execution has ended. The command itself continues.

    Attributes:
        execution_id (str): ID of the execution. Pass it to `commands.wait` or `commands.get_execution` later.
        state (str | None): Last known state, if any.
    """

    def __init__(self, message: str, *, execution_id: str, state: str | None = None) -> None:
        super().__init__(message)
        self.execution_id = execution_id
        self.state = state


class CommandFailedError(EnapterError):
    """Raised by `CommandExecution.raise_for_state()` if a command ended in any state except SUCCESS.

    Attributes:
        state (str): Final state.
        execution (CommandExecution): The failed execution.
    """

    def __init__(self, message: str, *, state: str, execution: CommandExecution) -> None:
        super().__init__(message)
        self.state = state
        self.execution = execution


class RequestError(EnapterError):
    """Base class of the errors of a call that has started.

    Attributes:
        operation (str): Name of the operation, such as `devices.get`.
        method (str): HTTP method.
        path (str): Path of the request, without the query.
        attempts (int): Number of attempts made.
        elapsed (float): Seconds since the call began.
        outcome (Outcome): `not_sent`, `rejected` (429), `final` or `unknown`: the worst of all attempts.
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
        """Set the call that this error belongs to."""
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
    """Raised if the token provider raises. The original exception is the cause.

    Without a token nothing was sent, or not sent again. The SDK does not retry the provider, but the next call asks
    it again.
    """

    default_outcome: ClassVar[Outcome] = "not_sent"


class TransportError(RequestError):
    """Raised if no usable response was received.

    Attributes:
        phase (str): Phase of the failure: `connect`, `wait` (sent, no response yet) or `body`.
        permanent (bool): Whether a retry would fail in the same way. If so, the request was not retried.
    """

    def __init__(self, message: str, *, phase: str, outcome: Outcome | None = None, permanent: bool = False) -> None:
        super().__init__(message, outcome=outcome)
        self.phase: str = phase
        self.permanent: bool = permanent


class ConnectError(TransportError):
    """Raised if connecting failed. Nothing was sent."""

    default_outcome: ClassVar[Outcome] = "not_sent"

    def __init__(
        self, message: str, *, phase: str = "connect", outcome: Outcome | None = None, permanent: bool = False
    ) -> None:
        super().__init__(message, phase=phase, outcome=outcome, permanent=permanent)


class NameResolutionError(ConnectError):
    """Raised if the host name could not be resolved."""


class TLSError(ConnectError):
    """Raised if the TLS handshake failed because of the certificate, the host name or the protocol."""


class ConnectionLostError(TransportError):
    """Raised if the connection was lost before the response was complete."""


class AttemptTimeoutError(TransportError, TimeoutError):
    """Raised if one attempt took longer than `Timeouts.attempt`."""


class DeadlineExceededError(RequestError, TimeoutError):
    """Raised if the timeout of the call expired. The last failure, if any, is the cause."""

    default_outcome: ClassVar[Outcome] = "not_sent"


class OutcomeUnknownError(RequestError):
    """Raised if a command, or another request that must not be repeated, may have been carried out.

    Do not simply repeat the call. First check whether it took effect: for a command, use `commands.list_executions`
    with `created_at_gte=error.started_at`. This class includes `ServerOutcomeUnknownError`.

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
    """One error that the server reports in a response.

    Attributes:
        code: Error code, often with a `service/` prefix. New codes may appear, and it may be missing.
        message: Human-readable text, with control characters escaped.
        details: Additional fields, unchanged.
    """

    code: str | None = None
    message: str | None = attrs.field(default=None, converter=_made_visible)
    details: dict[str, JSON] = attrs.field(factory=dict[str, JSON])


class APIError(RequestError):
    """Raised if the server responds with an error status.

    Attributes:
        status (int): HTTP status.
        code (str | None): Code of the first reported error, if any.
        message (str): Message of the first reported error, or a short description.
        details (dict[str, JSON]): Additional fields of the first reported error.
        errors (tuple[ErrorDetail, ...]): All reported errors.
        retry_after (float | None): Seconds to wait, if the server sent `Retry-After`.
        body_excerpt (str): Beginning of the body, if it is not in the documented format.
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
    """3xx except 304: redirects are not followed, since the token would be sent along."""


class BadRequestError(APIError):
    """400: the server could not parse or validate the request."""


class AuthenticationError(APIError):
    """401, or 403 with code `invalid_header` for the token's header: the token is missing, invalid or expired."""


class PermissionDeniedError(APIError):
    """403: the role of the token is too low."""


class NotFoundError(APIError):
    """404: the resource or the path does not exist."""


class ConflictError(APIError):
    """409: the resource already exists."""


class UnprocessableError(APIError):
    """422: the server cannot carry out the instructions."""


class RateLimitedError(APIError):
    """429: too many requests, and the timeout leaves no time to wait."""

    default_outcome: ClassVar[Outcome] = "rejected"


class ServerError(APIError):
    """5xx: the outcome of a request that changes something is unknown, except with 501 and 505."""

    default_outcome: ClassVar[Outcome] = "unknown"


class ServerOutcomeUnknownError(OutcomeUnknownError, ServerError):
    """5xx to a command or a creation, which may have been carried out: a proxy may have forwarded it."""

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
    """Raised if the response of the server could not be decoded."""

    default_outcome: ClassVar[Outcome] = "final"


class InvalidBodyError(DecodeError):
    """Raised if the body is not valid JSON, is incomplete, or could not be decompressed."""


class SchemaError(DecodeError):
    """Raised if the body is JSON, but not of the expected structure.

    Attributes:
        path (str): Position in the body, such as `devices[3].updated_at`. The message contains the path of the request.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path

    def located(self, operation: str, method: str, path: str) -> Self:
        """Set the call that this error belongs to. `path` remains the position in the body."""
        where = self.path
        super().located(operation, method, path)
        self.path: str = where
        return self


class TimeseriesFormatError(DecodeError):
    """Raised if a time series is malformed or incomplete.

    Attributes:
        row (int | None): Number of the data row, from 1. 0 is the header. None means the whole response.
        column (int | None): Number of the column, from 0 (`ts`). None means the whole row.
    """

    def __init__(self, message: str, *, row: int | None = None, column: int | None = None) -> None:
        place = "" if row is None else f"row {row}" + ("" if column is None else f", column {column}") + ": "
        super().__init__(place + message)
        self.row = row
        self.column = column


class ResponseTooLargeError(DecodeError):
    """Raised if the decoded body is larger than `max_response_bytes`, or its JSON has too many values to decode."""


class PaginationError(RequestError):
    """Raised if a list makes no progress although the server reports more items."""

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
    """Return the error class for an HTTP status outside 2xx."""
    if status >= 500:
        return ServerError
    if 300 <= status < 400 and status != NOT_MODIFIED:
        return UnexpectedRedirectError
    return _BY_STATUS.get(status, APIError)
