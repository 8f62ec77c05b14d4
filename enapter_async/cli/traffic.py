"""Counts of requests and responses of a client, for summaries."""

from __future__ import annotations

import logging

from enapter_async import APIError, AttemptFailed, Event, RequestFinished

_logger = logging.getLogger("enapter_async.cli.traffic")


class Traffic:
    """A hook that counts the requests of a client.

    Attributes:
        requests: HTTP requests.
        rate_limited: Responses with status 429.
        errors: Other failed requests.
    """

    def __init__(self) -> None:
        self.requests: int = 0
        self.rate_limited: int = 0
        self.errors: int = 0

    def __call__(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, RequestFinished):
            self.requests += event.attempts
        elif isinstance(event, AttemptFailed):
            _logger.debug("attempt %d failed: %s", event.attempt, event.error)
            if isinstance(event.error, APIError) and event.status == 429:
                self.rate_limited += 1
            else:
                self.errors += 1


def clock(seconds: float) -> str:
    """Format a duration as hours, minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
