"""Events that a client reports to synchronous callables.

A hook must be quick, since it runs in the event loop. If it raises, the exception is logged and otherwise ignored.
Events never contain the token, headers or bodies.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import TracebackType
from typing import TypeAlias

import attrs

from enapter_async.errors import EnapterError

_logger = logging.getLogger("enapter_async.hooks")


@attrs.frozen(kw_only=True)
class Event:
    """Base class of all events."""


@attrs.frozen(kw_only=True)
class CallEvent(Event):
    """Base class of the events of a call.

    Attributes:
        call: Number of the call in this process. Use it to tell the events of concurrent calls apart.
        operation: Name of the operation, such as `devices.get`.
        method: HTTP method.
        path: Path without the query.
    """

    call: int
    operation: str
    method: str
    path: str


@attrs.frozen(kw_only=True)
class RequestStarted(CallEvent):
    """A call has started. It has not yet waited for the rate limit."""


@attrs.frozen(kw_only=True)
class AttemptFailed(CallEvent):
    """An attempt failed. More attempts may follow.

    Attributes:
        attempt: Number of the attempt, from 1.
        error: Error of the attempt.
        status: HTTP status, or None if no response was received.
    """

    attempt: int
    error: EnapterError
    status: int | None


@attrs.frozen(kw_only=True)
class RetryScheduled(CallEvent):
    """A request will be retried.

    Attributes:
        attempt: Number of the attempt that failed.
        delay: Seconds until the retry. 0 after a 429, since the rate limit decides when it is sent.
        error: Error of the attempt.
        budget: Number of retries that the retry budget still allows.
    """

    attempt: int
    delay: float
    error: EnapterError
    budget: float


@attrs.frozen(kw_only=True)
class RequestFinished(CallEvent):
    """A call has ended.

    Attributes:
        attempts: Number of attempts made.
        elapsed: Seconds since the call began.
        waited: Seconds of `elapsed` spent waiting for the rate limit or the in-flight limit.
        status: HTTP status of the last response, or None if there was none.
        error: Error of the call, or None on success.
    """

    attempts: int
    elapsed: float
    waited: float
    status: int | None
    error: BaseException | None


@attrs.frozen(kw_only=True)
class SharedLimitLost(Event):
    """The shared rate limit is unavailable, and the client uses its own rate limit.

    Attributes:
        name: Name of the shared limit.
        reason: Reason as text.
    """

    name: str
    reason: str


@attrs.frozen(kw_only=True)
class SharedLimitRestored(Event):
    """The shared rate limit is available again.

    Attributes:
        name: Name of the shared limit.
        away: Seconds for which it was unavailable.
    """

    name: str
    away: float


Hook: TypeAlias = Callable[[Event], object]
"""A synchronous callable that receives every event. It runs in the event loop; its exceptions are only logged."""


def report(hooks: tuple[Hook, ...], event: Event) -> None:
    """Call every hook with the event. Exceptions of hooks are logged and otherwise ignored."""
    for hook in hooks:
        try:
            hook(event)
        except Exception:  # a hook is foreign code: its errors must not affect the call
            _logger.exception("a hook raised on %s", type(event).__name__)


class AttemptHook(ABC):
    """Base class of a hook that also wraps each request, for context variables such as OpenTelemetry's current span."""

    @abstractmethod
    def __call__(self, event: Event, /) -> object:
        """Receive an event."""

    @abstractmethod
    def around_attempt(self, call: int) -> AbstractContextManager[object]:
        """Return a context manager that is entered before a request is sent, and left when its response has arrived.

        Both happen in the task that sends the request. Waiting for the rate limit or for a retry is not included. An
        exception raised by the context manager is logged and otherwise ignored. The context manager cannot suppress
        exceptions.

        Args:
            call: Number of the call, as in `CallEvent.call`.
        """


@contextmanager
def around_attempt(hooks: tuple[Hook, ...], call: int) -> Generator[None]:
    """Enter the context managers of all hooks around an attempt."""
    with ExitStack() as entered:
        for hook in hooks:
            if isinstance(hook, AttemptHook):
                entered.enter_context(_Guarded(hook, call))
        yield


class _Guarded:
    """Wraps a foreign context manager: logs its exceptions, and does not let it suppress any."""

    def __init__(self, hook: AttemptHook, call: int) -> None:
        self._hook = hook
        self._call = call
        self._manager: AbstractContextManager[object] | None = None

    def __enter__(self) -> None:
        try:
            manager = self._hook.around_attempt(self._call)
            manager.__enter__()
        except Exception:
            _logger.exception("a hook raised before an attempt")
        else:
            self._manager = manager

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._manager is None:
            return
        try:
            self._manager.__exit__(kind, error, traceback)
        except Exception as raised:
            if raised is not error:
                _logger.exception("a hook raised after an attempt")
