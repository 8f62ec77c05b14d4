"""One running call: its deadline, its attempts, and the error that the caller gets if it fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TypeVar

from enapter_async import hooks as events
from enapter_async._protocol.redact import masked
from enapter_async._protocol.request import Request, Safety
from enapter_async._transport.rate_limit.limiter import Slot
from enapter_async.errors import (
    APIError,
    AttemptTimeoutError,
    ClientClosedError,
    DeadlineExceededError,
    EnapterError,
    Outcome,
    OutcomeUnknownError,
    RequestError,
    ServerOutcomeUnknownError,
    TransportError,
    worst_outcome,
)
from enapter_async.hooks import Hook

T = TypeVar("T")

_numbers = count(1)


class Call:
    """The state of one call.

    Attributes:
        number: Number of the call in its events. 0 without hooks.
        request: The request to send.
        deadline: Loop time at which the call ends in any case.
        attempts: Number of attempts so far.
        rejected: Number of attempts that got a 429.
        rejected_slot: Slot of the last attempt, if it got a 429.
        outcome: Worst outcome of the attempts so far.
        status: HTTP status of the last response.
        token: Token that was last sent. It is masked in every error.
        waited: Seconds spent waiting for a slot.
        token_renewed: Whether the token provider was asked again, which happens at most once.
    """

    __slots__ = (
        "_clock",
        "_hooks",
        "_last_error",
        "_started",
        "attempts",
        "deadline",
        "number",
        "outcome",
        "rejected",
        "rejected_slot",
        "request",
        "status",
        "token",
        "token_renewed",
        "waited",
    )

    def __init__(self, request: Request, clock: Callable[[], float], total: float, hooks: tuple[Hook, ...]) -> None:
        self.request = request
        self._clock = clock
        self._started = clock()
        self.deadline = self._started + total
        self._hooks = hooks
        self.attempts = 0
        self.rejected = 0
        self.rejected_slot: Slot | None = None
        self.outcome: Outcome = "not_sent"
        self.status: int | None = None
        self.token: str | None = None
        self.waited = 0.0
        self.token_renewed = False
        self._last_error: RequestError | None = None
        self.number = 0
        if hooks:
            self.number = next(_numbers)
            operation = request.operation
            events.report(
                hooks,
                events.RequestStarted(
                    call=self.number, operation=operation.name, method=operation.method, path=request.path
                ),
            )

    @property
    def elapsed(self) -> float:
        """Seconds since the call began."""
        return self._clock() - self._started

    @property
    def remaining(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - self._clock()

    def attempt_ends(self, attempt_timeout: float) -> float:
        """Return the loop time at which an attempt that begins now times out."""
        if self.request.operation.waits_for_device:
            return self.deadline
        return min(self._clock() + attempt_timeout, self.deadline)

    # -- what happened -------------------------------------------------------------------------------------

    def note(self, error: RequestError) -> None:
        """Record a failed attempt."""
        if error.outcome == "rejected":
            self.rejected += 1
        else:
            self.rejected_slot = None
        if not isinstance(error, DeadlineExceededError):
            self._last_error = error
        self.outcome = worst_outcome(self.outcome, error.outcome)
        self.fill(error)
        if self._hooks:
            operation = self.request.operation
            events.report(
                self._hooks,
                events.AttemptFailed(
                    call=self.number,
                    operation=operation.name,
                    method=operation.method,
                    path=self.request.path,
                    attempt=self.attempts,
                    error=error,
                    status=error.status if isinstance(error, APIError) else None,
                ),
            )

    async def within_hooks(self, attempt: Awaitable[T]) -> T:
        """Await one attempt inside the context managers of the hooks."""
        with events.around_attempt(self._hooks, self.number):
            return await attempt

    def retry_scheduled(self, error: RequestError, delay: float, budget: float) -> None:
        """Report a retry to the hooks."""
        if self._hooks:
            operation = self.request.operation
            events.report(
                self._hooks,
                events.RetryScheduled(
                    call=self.number,
                    operation=operation.name,
                    method=operation.method,
                    path=self.request.path,
                    attempt=self.attempts,
                    delay=delay,
                    error=error,
                    budget=budget,
                ),
            )

    def finished(self, error: BaseException | None = None) -> None:
        """Report the end of the call to the hooks."""
        if self._hooks:
            operation = self.request.operation
            events.report(
                self._hooks,
                events.RequestFinished(
                    call=self.number,
                    operation=operation.name,
                    method=operation.method,
                    path=self.request.path,
                    attempts=self.attempts,
                    elapsed=self.elapsed,
                    waited=self.waited,
                    status=self.status,
                    error=error,
                ),
            )

    # -- errors for the caller -------------------------------------------------------------------------------

    def fill(self, error: RequestError) -> None:
        """Add the details of this call to an error, and mask the token in text quoted from a response."""
        error.args = tuple(masked(arg, self.token) if isinstance(arg, str) else arg for arg in error.args)
        operation = self.request.operation
        error.located(operation.name, operation.method, self.request.path)
        error.attempts = self.attempts
        error.elapsed = self.elapsed

    def concluded(self, error: RequestError, *, closed: bool) -> EnapterError:
        """Return the error for the caller after the last failure.

        Args:
            error: The last failure.
            closed: Whether the client was closed in the meantime.
        """
        if closed and isinstance(error, TransportError):
            return self.ended_by_closing()
        final = error
        late = self.remaining <= 0
        if isinstance(error, DeadlineExceededError) or (late and isinstance(error, AttemptTimeoutError)):
            final = self.late()
            final.__cause__ = self._last_error
        unsafe = self.request.operation.safety is Safety.UNSAFE
        if unsafe and self.outcome == "unknown":
            return self._unknown(final)
        final.outcome = self.outcome
        self.fill(final)
        return final

    def late(self, outcome: Outcome | None = None) -> DeadlineExceededError:
        """Return the error for the caller if the deadline has passed."""
        error = DeadlineExceededError(f"not done within {self.deadline - self._started:g} s", outcome=outcome)
        self.fill(error)
        return error

    def ended_by_closing(self) -> EnapterError:
        """Return the error for the caller if the client was closed during the call."""
        error = ClientClosedError("the client was closed while the call was running")
        if self.request.operation.safety is Safety.UNSAFE and self.outcome == "unknown":
            return self._unknown(error)
        return error

    def _unknown(self, cause: EnapterError) -> OutcomeUnknownError:
        started_at = datetime.now(UTC) - timedelta(seconds=self.elapsed)
        error: OutcomeUnknownError
        if isinstance(cause, APIError):
            error = ServerOutcomeUnknownError(
                f"{cause.args[0]}; the request may have been carried out: check before repeating it",
                status=cause.status,
                started_at=started_at,
                errors=cause.errors,
                retry_after=cause.retry_after,
                body_excerpt=cause.body_excerpt,
            )
        else:
            error = OutcomeUnknownError(
                "the request may have been carried out, but no response arrived; check before repeating it",
                started_at=started_at,
            )
        error.__cause__ = cause
        self.fill(error)
        return error
