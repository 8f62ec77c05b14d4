"""Events that a client reports to plain synchronous callables.

A hook must be quick: it runs on the event loop. One that raises is logged and otherwise ignored. No event
holds the token, headers or bodies.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

import attrs

from enapter_async.errors import EnapterError

_logger = logging.getLogger("enapter_async.hooks")


@attrs.frozen(kw_only=True)
class Event:
    """What all events tell: the operation, its method and its path (without the query)."""

    operation: str
    method: str
    path: str


@attrs.frozen(kw_only=True)
class RequestStarted(Event):
    """A call begins, before it waits for a slot."""


@attrs.frozen(kw_only=True)
class AttemptFailed(Event):
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
class RetryScheduled(Event):
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
class RequestFinished(Event):
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


Hook: TypeAlias = Callable[[Event], object]


def report(hooks: tuple[Hook, ...], event: Event) -> None:
    """Call every hook with the event; one that raises is logged and otherwise ignored."""
    for hook in hooks:
        try:
            hook(event)
        except Exception:  # a hook is foreign code: its faults must not become the caller's
            _logger.exception("a hook raised on %s", type(event).__name__)
