"""Converts responses to errors and decides about retries, with pure functions."""

from __future__ import annotations

import re
from copy import copy
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random
from typing import Final, TypeVar

import attrs

from enapter_async._protocol.backoff import full_jitter
from enapter_async._protocol.body import loads
from enapter_async._protocol.redact import masked, masked_json
from enapter_async._protocol.request import Answer, Headers, Safety
from enapter_async.config import RetryPolicy
from enapter_async.errors import (
    NOT_MODIFIED,
    APIError,
    AuthenticationError,
    DeadlineExceededError,
    EnapterError,
    ErrorDetail,
    InvalidBodyError,
    Outcome,
    RequestError,
    TokenProviderError,
    TransportError,
    error_class,
)
from enapter_async.models.common import JSON

E = TypeVar("E", bound=EnapterError)

_EXCERPT: Final = 300
_PASSING: Final = frozenset({408, 425, 429})
_NOT_PROCESSED: Final = frozenset({408, 425})
"""Statuses that mean that the server has not processed the request (RFC 9110, 408; RFC 8470)."""
_SECONDS: Final = re.compile(r"\+?\d{1,15}(\.\d{0,9})?", re.ASCII).fullmatch
# With 500 and above the outcome is unknown: a proxy may have forwarded the request first, and may use its own status
# (524: no response in time). Only these two mean that the request was never started.
_NOT_BEGUN: Final = frozenset({501, 505})


def retry_after(headers: Headers, now: datetime) -> float | None:
    """Return the seconds that the server asks the client to wait, or None without a usable value.

    A date is relative to the server's own `Date`, so that a wrong clock on either side has no effect
    (RFC 9110, Retry-After). Negative, infinite and garbage values are ignored.
    """
    value = (headers.get("Retry-After") or "").strip()
    if not value:
        return None
    if _SECONDS(value):
        return float(value)
    moment = http_date(value)
    if moment is None:
        return None
    sent = http_date(headers.get("Date") or "") or now
    return max(0.0, (moment - sent).total_seconds())


def http_date(value: str) -> datetime | None:
    """Return the time of an HTTP date, in UTC if it has no zone, or None for an invalid date."""
    if not value.isascii():  # otherwise digits of other scripts would be accepted
        return None
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def api_error(answer: Answer, now: datetime, *secrets: str | None) -> APIError:
    """Return the error for a response outside 2xx (reference.md, Errors).

    Args:
        answer: Complete response, with any body.
        now: Current UTC time, for a `Retry-After` date without a `Date`.
        secrets: Texts to mask, even if the server echoes them.
    """
    status = answer.status
    text = masked(answer.body.decode("utf-8", "replace"), *secrets)
    errors = _reported(text, *secrets)
    first = errors[0] if errors else ErrorDetail()
    outcome: Outcome | None = None
    if status in _NOT_BEGUN:
        outcome = "final"
    if status == NOT_MODIFIED:
        message = f"status {status}: not modified, although the request made no condition; a cache may have answered"
    elif 300 <= status < 400:
        message = _redirect_message(status, masked(answer.headers.get("Location") or "", *secrets))
    else:
        message = f"status {status}"
        if first.code:
            message += f", code {first.code}"
        if first.message:
            message += f": {first.message}"
    refused = AuthenticationError if status == 403 and any(map(_names_token, errors)) else error_class(status)
    return refused(
        message,
        status=status,
        errors=errors,
        retry_after=retry_after(answer.headers, now),
        body_excerpt="" if errors else " ".join(text[:_EXCERPT].split()),
        outcome=outcome,
    )


def _names_token(error: ErrorDetail) -> bool:
    """Whether an error is about the token's header (reference.md, Errors: invalid and expired tokens are a 403)."""
    header = error.details.get("header")
    code = (error.code or "").rpartition("/")[2].lower()
    return code == "invalid_header" and isinstance(header, str) and header.strip().lower() == "x-enapter-auth-token"


def _redirect_message(status: int, location: str) -> str:
    origin = "/".join(location.split("?", 1)[0].split("/")[:3])
    hint = f" to {origin}" if "://" in origin else ""
    return f"status {status}: the server redirects{hint}, which is not followed; check base_url (http or https?)"


def _reported(text: str, *secrets: str | None) -> tuple[ErrorDetail, ...]:
    try:
        payload = loads(text.encode("utf-8", "replace"))
    except InvalidBodyError:
        return ()
    try:
        payload = masked_json(payload, *secrets)  # mask again: JSON can write the same text in different ways
    except RecursionError:
        return ()
    entries = payload.get("errors") if isinstance(payload, dict) else None
    if not isinstance(entries, list):
        return ()
    return tuple(_detail(entry) for entry in entries if isinstance(entry, dict))


def _detail(entry: dict[str, JSON]) -> ErrorDetail:
    code, message, details = entry.get("code"), entry.get("message"), entry.get("details")
    return ErrorDetail(
        code=code if isinstance(code, str) else None,
        message=message if isinstance(message, str) else None,
        details=details if isinstance(details, dict) else {},
    )


def may_pass(error: EnapterError) -> bool:
    """Whether the same call may succeed later, for callers that keep polling."""
    if isinstance(error, APIError):
        return error.status in _PASSING or (error.status >= 500 and error.status not in _NOT_BEGUN)
    return isinstance(error, (TransportError, DeadlineExceededError, TokenProviderError))


def refuses_token(error: BaseException) -> bool:
    """Whether the API itself, and not a proxy, rejects the token.

    A proxy can send any status. Only the documented envelope shows that the API responded (reference.md, Errors).
    """
    return isinstance(error, AuthenticationError) and bool(error.errors)


def refuses_request(error: EnapterError) -> bool:
    """Whether the API itself rejects the content of the request, so that it may accept a part of it."""
    if not isinstance(error, APIError) or not error.errors or may_pass(error) or refuses_token(error):
        return False
    return 400 <= error.status < 500


def copy_error(error: E) -> E:
    """Return an equal error to raise instead of a stored one.

    Each raise extends an error's traceback, and each call adds its own details. An error raised repeatedly would grow
    without limit, or show one caller the details of another call.
    """
    other = copy(error)
    if hasattr(error, "__notes__"):
        other.__notes__ = list(error.__notes__)
    other.__cause__ = error.__cause__
    return other


@attrs.frozen
class Decision:
    """The decision after a failed attempt.

    Attributes:
        delay: Seconds to wait before the next attempt. None means to give up.
        spends: Whether the next attempt counts against the retry budget and `max_attempts`.
    """

    delay: float | None
    spends: bool = False


GIVE_UP: Final = Decision(None)


def decide(
    error: RequestError,
    safety: Safety,
    policy: RetryPolicy,
    *,
    counted: int,
    rejected: int,
    remaining: float,
    paced: bool,
    random: Random,
) -> Decision:
    """Decide whether and when to retry a request.

    Args:
        error: Error of the attempt, with its outcome.
        safety: Safety class of the request.
        policy: The caller's policy.
        counted: Number of attempts so far without a 429.
        rejected: Number of attempts so far with a 429.
        remaining: Seconds until the deadline.
        paced: Whether the client's limiter spaces requests after a 429, so that no extra delay is needed.
        random: Randomises delays. Seed it in tests.
    """

    def backoff(failures: int) -> float:
        return full_jitter(policy.initial_delay, policy.max_delay, max(failures, 1), random)

    asked = error.retry_after if isinstance(error, APIError) else None
    if asked is not None and (asked > policy.max_retry_after or asked >= remaining):
        return GIVE_UP
    if error.outcome == "rejected":
        if policy.max_attempts == 1:
            return GIVE_UP
        # Without a pace, a Retry-After of 0 would cause a storm of requests.
        delay = asked + random.uniform(0, 0.1 * asked) if asked else backoff(rejected)
        return _within(0.0 if paced else delay, remaining, spends=False)
    if counted >= policy.max_attempts or not _may_repeat(error, safety, policy):
        return GIVE_UP
    return _within(max(backoff(counted), asked or 0.0), remaining, spends=True)


def _may_repeat(error: RequestError, safety: Safety, policy: RetryPolicy) -> bool:
    if isinstance(error, TransportError) and error.permanent:
        return False
    not_processed = isinstance(error, APIError) and error.status in _NOT_PROCESSED
    match error.outcome, safety:
        case "not_sent", _:
            return True
        case "unknown", Safety.READ:
            return True
        case "unknown", Safety.CONVERGE:
            return policy.resend_converging
        case _, Safety.READ:
            return not_processed
        case _:
            return False


def _within(delay: float, remaining: float, *, spends: bool) -> Decision:
    if delay >= remaining:
        return GIVE_UP
    return Decision(delay, spends=spends)
