"""Every public error has an HTTP answer that tells callers what to do, and nothing that is not theirs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

import enapter_async
from enapter_async import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    DeadlineExceededError,
    EnapterError,
    ExecutionPendingError,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestError,
    ServerError,
    ServerOutcomeUnknownError,
    StreamError,
)
from enapter_async.integrations.web import HTTP_STATUSES, describe_error

NOW = datetime(2026, 1, 1, tzinfo=UTC)

EXPECTED = [
    (InvalidArgumentError("timeout", "must be positive"), 422, None),
    (NotFoundError("no such device", status=404), 404, "final"),
    (RateLimitedError("busy", status=429, retry_after=1.5), 503, "rejected"),
    (ConnectError("refused"), 503, "not_sent"),
    (ClientClosedError(), 503, None),
    (DeadlineExceededError("too late"), 504, "not_sent"),
    (ConnectionLostError("reset", phase="wait"), 502, "unknown"),
    (OutcomeUnknownError("no answer", started_at=NOW), 504, "unknown"),
    (ServerOutcomeUnknownError("bad gateway", status=502, started_at=NOW), 502, "unknown"),
    (ServerError("oops", status=500), 502, "unknown"),
    (AuthenticationError("token", status=401), 500, "final"),
    (ConfigurationError("base_url"), 500, None),
    (ExecutionPendingError("still running", execution_id="E"), 202, None),
    (StreamError("lost"), 502, None),
]


@pytest.mark.parametrize(("error", "status", "outcome"), EXPECTED, ids=lambda value: type(value).__name__)
def test_status_and_outcome(error: EnapterError, status: int, outcome: str | None) -> None:
    problem = describe_error(error)
    assert (problem.status, problem.outcome) == (status, outcome)
    body = json.loads(json.dumps(problem.body))
    assert body["status"] == status
    assert body.get("outcome") == outcome
    assert body["error"] == type(error).__name__
    assert problem.headers["Content-Type"] == "application/problem+json"


def test_every_public_error_has_a_status_of_its_own_or_of_its_base() -> None:
    public = [getattr(enapter_async, name) for name in enapter_async.__all__]
    errors = [cls for cls in public if isinstance(cls, type) and issubclass(cls, EnapterError)]
    assert set(HTTP_STATUSES) <= {*errors}
    for cls in errors:
        error = cls.__new__(cls)
        found = next(status for base in cls.__mro__ if (status := HTTP_STATUSES.get(base)))
        if isinstance(error, RequestError):
            assert found != 500 or cls is AuthenticationError


def test_retry_after_is_passed_on_only_where_repeating_is_safe() -> None:
    assert describe_error(RateLimitedError("busy", status=429, retry_after=1.5)).headers["Retry-After"] == "2"
    unknown = ServerOutcomeUnknownError("busy", status=503, started_at=NOW, retry_after=1)
    assert "Retry-After" not in describe_error(unknown).headers


def test_nothing_unknown_invites_to_try_again() -> None:
    problem = describe_error(ConnectError("reset", outcome="unknown"))
    assert problem.status == 502
    assert problem.body["outcome"] == "unknown"


def test_faults_of_the_application_are_not_explained_to_its_callers() -> None:
    assert "detail" not in describe_error(ConfigurationError("https://internal.example")).body
    assert "detail" in describe_error(NotFoundError("no such device", status=404)).body


def test_callers_learn_how_to_find_out_what_became_of_a_command() -> None:
    assert describe_error(OutcomeUnknownError("lost", started_at=NOW)).body["started_at"] == NOW.isoformat()
    assert describe_error(ExecutionPendingError("running", execution_id="E")).body["execution_id"] == "E"


@pytest.mark.parametrize("error", [ValueError("mine"), ExceptionGroup("several", [ClientClosedError()]), NotFoundError])
def test_other_exceptions_are_refused(error: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="error: must be an EnapterError, got "):
        describe_error(error)
