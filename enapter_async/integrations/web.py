"""HTTP responses of a web application for errors of this SDK: statuses and problem details (RFC 9457).

It needs no web framework, and works with FastAPI, Starlette, aiohttp.web, Flask and Django alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

import attrs

from enapter_async import errors
from enapter_async._arguments import refuse_argument
from enapter_async.errors import EnapterError, Outcome, RequestError
from enapter_async.models.common import JSON

__all__ = ["HTTP_STATUSES", "Problem", "describe_error"]

HTTP_STATUSES: Final[Mapping[type[EnapterError], int]] = MappingProxyType(
    {
        # The request of your application's caller is invalid.
        errors.InvalidArgumentError: 422,
        errors.BadRequestError: 400,
        errors.PermissionDeniedError: 403,
        errors.NotFoundError: 404,
        errors.TelemetryNotFoundError: 404,
        errors.SelectionError: 404,
        errors.ConflictError: 409,
        errors.CommandFailedError: 409,
        errors.UnprocessableError: 422,
        # The command was started and is still running.
        errors.ExecutionPendingError: 202,
        # Your application cannot reach the platform at the moment; nothing was carried out.
        errors.RateLimitedError: 503,
        errors.ConnectError: 503,
        errors.TokenProviderError: 503,
        errors.ClientClosedError: 503,
        # The platform did not respond in time, or its response is unusable.
        errors.OutcomeUnknownError: 504,
        errors.DeadlineExceededError: 504,
        errors.AttemptTimeoutError: 504,
        errors.ServerOutcomeUnknownError: 502,
        errors.RequestError: 502,
        errors.StreamError: 502,
        # Your application is misconfigured or has a bug. Its callers cannot fix that.
        errors.AuthenticationError: 500,
        EnapterError: 500,
    }
)
"""The HTTP status for each class of errors. Other classes have the status of their base class."""


@attrs.frozen(kw_only=True)
class Problem:
    """An error as an HTTP response.

    Attributes:
        status: HTTP status.
        outcome: Whether the request to the platform had an effect; None for errors outside requests. After `unknown`,
            a command may have been carried out: the caller must check before repeating it.
        headers: `Content-Type`, and `Retry-After` if the platform asked to wait and repeating is safe.
        body: Problem details; serialize them as JSON. For status 500 they have no `detail`, because only the
            operators of the application should read it.
    """

    status: int
    outcome: Outcome | None
    headers: dict[str, str]
    body: dict[str, JSON]


def describe_error(error: EnapterError) -> Problem:
    """Return the HTTP response for an error.

    Args:
        error: Any error of this SDK.

    Returns:
        Status, headers and body.

    Raises:
        InvalidArgumentError: It is not an error of this SDK.
    """
    _require_error(error)
    status = next(HTTP_STATUSES[cls] for cls in type(error).__mro__ if cls in HTTP_STATUSES)
    outcome = error.outcome if isinstance(error, RequestError) else None
    if status == HTTPStatus.SERVICE_UNAVAILABLE and outcome == "unknown":
        status = int(HTTPStatus.BAD_GATEWAY)  # proxies and clients retry after 503
    headers = {"Content-Type": "application/problem+json"}
    body: dict[str, JSON] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "error": type(error).__name__,
    }
    if status != HTTPStatus.INTERNAL_SERVER_ERROR:
        body["detail"] = str(error)
    if outcome is not None:
        body["outcome"] = outcome
    if isinstance(error, errors.ExecutionPendingError):
        body["execution_id"] = error.execution_id
    if isinstance(error, errors.OutcomeUnknownError):
        body["started_at"] = error.started_at.isoformat()
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None and outcome != "unknown":
        headers["Retry-After"] = str(math.ceil(retry_after))
    return Problem(status=status, outcome=outcome, headers=headers, body=body)


def _require_error(error: object) -> None:
    if not isinstance(error, EnapterError):
        raise refuse_argument("error", "must be an EnapterError", error)
