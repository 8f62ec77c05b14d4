"""One call while it runs: its deadline, its attempts, and what the caller is told when it ends badly."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final

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

_numbers = count(1)
_NOTHING: Final = nullcontext()


class Call:
    """The state of one call.

    Attributes:
        number: Number of the call in its events. 0 without hooks.
        request: What is sent.
        deadline: Loop time at which it ends, whatever happens.
        attempts: Requests tried so far.
        rejected: How many of them were answered with 429.
        rejected_slot: The slot of the last one, if the last answer was 429.
        outcome: The worst outcome of the attempts so far.
        status: HTTP status of the last answer.
        token: Token that was last sent. It is masked in every error.
        waited: Seconds spent waiting for a slot.
        token_renewed: The token provider was asked again; it is so only once.
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
        """Return the loop time at which an attempt that begins now is given up."""
        if self.request.operation.waits_for_device:
            return self.deadline
        return min(self._clock() + attempt_timeout, self.deadline)

    # -- what happened -------------------------------------------------------------------------------------

    def note(self, error: RequestError) -> None:
        """Take in a failed attempt."""
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

    def around_attempt(self) -> AbstractContextManager[None]:
        """Return what the hooks wrap around one attempt."""
        return events.around_attempt(self._hooks, self.number) if self._hooks else _NOTHING

    def retry_scheduled(self, error: RequestError, delay: float, budget: float) -> None:
        """Report that the request will be sent again."""
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
        """Report the end."""
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

    # -- what the caller is told -----------------------------------------------------------------------------

    def fill(self, error: RequestError) -> None:
        """Write into an error which call it belongs to, and mask the token where its text quotes an answer."""
        error.args = tuple(masked(arg, self.token) if isinstance(arg, str) else arg for arg in error.args)
        operation = self.request.operation
        error.located(operation.name, operation.method, self.request.path)
        error.attempts = self.attempts
        error.elapsed = self.elapsed

    def concluded(self, error: RequestError, *, closed: bool) -> EnapterError:
        """Return what the caller gets for the failure after which the call was given up.

        Args:
            error: That failure.
            closed: The client was closed meanwhile.
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
        """Return what the caller gets when the time is used up."""
        error = DeadlineExceededError(f"not done within {self.deadline - self._started:g} s", outcome=outcome)
        self.fill(error)
        return error

    def ended_by_closing(self) -> EnapterError:
        """Return what the caller gets when the client was closed under it."""
        error = ClientClosedError("the client was closed while the call was running")
        if self.request.operation.safety is Safety.UNSAFE and self.outcome == "unknown":
            return self._unknown(error)
        return error

    def _unknown(self, cause: EnapterError) -> OutcomeUnknownError:
        started_at = datetime.now(UTC) - timedelta(seconds=self.elapsed)
        error: OutcomeUnknownError
        if isinstance(cause, APIError):
            error = ServerOutcomeUnknownError(
                f"{cause.args[0]}; the request may have been carried out; check before repeating it",
                status=cause.status,
                started_at=started_at,
                errors=cause.errors,
                retry_after=cause.retry_after,
                body_excerpt=cause.body_excerpt,
            )
        else:
            error = OutcomeUnknownError(
                "the request may have been carried out, but no answer came; check before repeating it",
                started_at=started_at,
            )
        error.__cause__ = cause
        self.fill(error)
        return error
