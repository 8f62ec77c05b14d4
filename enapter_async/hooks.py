"""Events that a client reports to plain synchronous callables.

A hook must be quick: it runs on the event loop. One that raises is logged and otherwise ignored. No event
holds the token, headers or bodies.
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
    """What every hook gets; see the classes below."""


@attrs.frozen(kw_only=True)
class CallEvent(Event):
    """What all events of a call tell.

    Attributes:
        call: Number of the call within this process. Calls run side by side, and so do their events.
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
    """A call begins, before it waits for a slot."""


@attrs.frozen(kw_only=True)
class AttemptFailed(CallEvent):
    """One attempt failed; others may follow.

    Attributes:
        attempt: Its number, from 1.
        error: Why it failed.
        status: HTTP status, None where no answer came.
    """

    attempt: int
    error: EnapterError
    status: int | None


@attrs.frozen(kw_only=True)
class RetryScheduled(CallEvent):
    """The request will be sent again.

    Attributes:
        attempt: Number of the attempt that failed.
        delay: Seconds until the next one asks for a slot; 0 after a 429, whose wait is the limiter's.
        error: Why it failed.
        budget: Retries that the client may still make now.
    """

    attempt: int
    delay: float
    error: EnapterError
    budget: float


@attrs.frozen(kw_only=True)
class RequestFinished(CallEvent):
    """A call ended.

    Attributes:
        attempts: How many requests were tried.
        elapsed: Seconds since the call began.
        waited: Seconds of these spent waiting for a slot.
        status: HTTP status of the last answer, None where none came.
        error: Why it failed, None on success.
    """

    attempts: int
    elapsed: float
    waited: float
    status: int | None
    error: BaseException | None


@attrs.frozen(kw_only=True)
class SharedLimitLost(Event):
    """The rate limit is no longer shared: Redis cannot be asked, and the client goes on at a pace of its own.

    Attributes:
        name: Name of the shared limit.
        reason: What is wrong, in words.
    """

    name: str
    reason: str


@attrs.frozen(kw_only=True)
class SharedLimitRestored(Event):
    """The rate limit is shared again.

    Attributes:
        name: Name of the shared limit.
        away: Seconds for which it was not.
    """

    name: str
    away: float


Hook: TypeAlias = Callable[[Event], object]
"""Gets every event; a plain function, called in the event loop, whose errors are logged and otherwise ignored."""


def report(hooks: tuple[Hook, ...], event: Event) -> None:
    """Call every hook with the event; one that raises is logged and otherwise ignored."""
    for hook in hooks:
        try:
            hook(event)
        except Exception:  # a hook is foreign code: its faults must not become the caller's
            _logger.exception("a hook raised on %s", type(event).__name__)


class AttemptHook(ABC):
    """Base of a hook that also wraps each request, for context variables such as OpenTelemetry's current span."""

    @abstractmethod
    def __call__(self, event: Event, /) -> object:
        """Take an event."""

    @abstractmethod
    def around_attempt(self, call: int) -> AbstractContextManager[object]:
        """Return a context manager that is entered before a request is sent, and left when its answer is there.

        Both happen in the task that makes the request; waiting for a slot or for a retry is outside. An exception
        raised by the context manager is logged and otherwise ignored, and it cannot suppress one.

        Args:
            call: Number of the call, as in its events.
        """


@contextmanager
def around_attempt(hooks: tuple[Hook, ...], call: int) -> Generator[None]:
    """Enter what the hooks wrap around an attempt."""
    with ExitStack() as entered:
        for hook in hooks:
            if isinstance(hook, AttemptHook):
                entered.enter_context(_Guarded(hook, call))
        yield


class _Guarded:
    """A foreign context manager, whose faults are logged, and which suppresses nothing."""

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
