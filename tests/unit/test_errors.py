"""Errors: what they are, what they tell, and that they survive a process boundary."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from enapter_async import errors
from enapter_async.errors import (
    APIError,
    EnapterError,
    ErrorDetail,
    Outcome,
    RequestError,
    SchemaError,
    TimeseriesFormatError,
    error_class,
    worst_outcome,
)

ARGUMENTS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "MissingExtraError": (("pyarrow", "arrow"), {}),
    "StorageError": (("telemetry.sqlite", "the disk is full"), {}),
    "InvalidArgumentError": (("device_id", "must not be empty"), {}),
    "StreamError": (("lost",), {"gap": True, "attempts": 3, "status": 403}),
    "TelemetryNotFoundError": (("not there",), {"device": "D", "attribute": "a", "warning": "not found"}),
    "ExecutionPendingError": (("late",), {"execution_id": "E", "state": "PENDING"}),
    "CommandFailedError": (("failed",), {"state": "ERROR", "execution": {"id": "E"}}),
    "TransportError": (("lost",), {"phase": "wait"}),
    "ConnectionLostError": (("lost",), {"phase": "body"}),
    "AttemptTimeoutError": (("late",), {"phase": "wait", "outcome": "unknown"}),
    "OutcomeUnknownError": (("who knows",), {"started_at": datetime(2026, 1, 1, tzinfo=UTC)}),
    "SchemaError": (("expected text",), {"path": "devices[3].id"}),
    "TimeseriesFormatError": (("no number",), {"row": 5, "column": 2}),
}
API: dict[str, Any] = {
    "status": 418,
    "errors": (ErrorDetail("a/B", "no", {"x": [1]}), ErrorDetail()),
    "retry_after": 5.0,
}
WAYS: dict[str, Callable[[EnapterError], EnapterError]] = {
    "pickle": lambda error: cast("EnapterError", pickle.loads(pickle.dumps(error))),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}
CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, EnapterError) and not value.__name__.startswith("_")
]


def example(class_: type[EnapterError]) -> EnapterError:
    if issubclass(class_, errors.ServerOutcomeUnknownError):
        return class_("status 503", started_at=datetime(2026, 1, 1, tzinfo=UTC), **API)
    if issubclass(class_, APIError):
        return class_("status 418", **API)
    args, options = ARGUMENTS.get(class_.__name__, (("something",), {}))
    return class_(*args, **options)


@pytest.mark.parametrize("class_", CLASSES, ids=lambda class_: class_.__name__)
@pytest.mark.parametrize("way", WAYS)
def test_an_error_survives_being_copied(class_: type[EnapterError], way: str) -> None:
    error = example(class_)
    if isinstance(error, RequestError):
        error.located("devices.get", "GET", "v3/devices/D")
        error.attempts, error.elapsed, error.outcome = 3, 1.25, "unknown"
    twin = WAYS[way](error)
    assert type(twin) is class_
    assert (twin.args, str(twin), vars(twin)) == (error.args, str(error), vars(error))


@pytest.mark.parametrize("class_", CLASSES, ids=lambda class_: class_.__name__)
def test_an_error_has_a_text_and_a_description(class_: type[EnapterError]) -> None:
    assert str(example(class_))
    assert class_.__doc__


@pytest.mark.parametrize(
    ("class_", "builtin"),
    [
        ("ConfigurationError", ValueError),
        ("InvalidArgumentError", ValueError),
        ("ClientClosedError", RuntimeError),
        ("WrongEventLoopError", RuntimeError),
        ("ExecutionPendingError", TimeoutError),
        ("AttemptTimeoutError", TimeoutError),
        ("DeadlineExceededError", TimeoutError),
        ("MissingExtraError", ImportError),
    ],
)
def test_an_error_is_what_python_calls_it(class_: str, builtin: type[Exception]) -> None:
    assert issubclass(getattr(errors, class_), builtin)


def test_no_error_that_forbids_repeating_looks_like_a_timeout() -> None:
    assert not issubclass(errors.OutcomeUnknownError, (TimeoutError, OSError, errors.TransportError))


@pytest.mark.parametrize(
    ("class_", "parent"),
    [
        ("TransportError", "RequestError"),
        ("ConnectError", "TransportError"),
        ("NameResolutionError", "ConnectError"),
        ("TLSError", "ConnectError"),
        ("ConnectionLostError", "TransportError"),
        ("AttemptTimeoutError", "TransportError"),
        ("DeadlineExceededError", "RequestError"),
        ("OutcomeUnknownError", "RequestError"),
        ("APIError", "RequestError"),
        ("DecodeError", "RequestError"),
        ("InvalidBodyError", "DecodeError"),
        ("SchemaError", "DecodeError"),
        ("TimeseriesFormatError", "DecodeError"),
        ("ResponseTooLargeError", "DecodeError"),
        ("PaginationError", "RequestError"),
        ("TokenProviderError", "RequestError"),
        *((name, "APIError") for name in ("BadRequestError", "AuthenticationError", "PermissionDeniedError")),
        *((name, "APIError") for name in ("NotFoundError", "ConflictError", "UnprocessableError", "RateLimitedError")),
        *((name, "APIError") for name in ("ServerError", "UnexpectedRedirectError")),
    ],
)
def test_the_tree(class_: str, parent: str) -> None:
    assert issubclass(getattr(errors, class_), getattr(errors, parent))


@pytest.mark.parametrize(
    ("status", "class_"),
    [
        (301, "UnexpectedRedirectError"),
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (403, "PermissionDeniedError"),
        (404, "NotFoundError"),
        (409, "ConflictError"),
        (410, "APIError"),
        (422, "UnprocessableError"),
        (429, "RateLimitedError"),
        (500, "ServerError"),
        (599, "ServerError"),
    ],
)
def test_the_class_of_a_status(status: int, class_: str) -> None:
    assert error_class(status) is getattr(errors, class_)


def test_the_text_tells_which_call_and_what_became_of_it() -> None:
    error = RequestError("lost").located("devices.get", "GET", "v3/devices/D")
    error.attempts, error.elapsed = 1, 0.5
    assert str(error) == "devices.get (GET v3/devices/D): lost [1 attempt, 0.50 s, unknown]"
    error.attempts = 3
    assert "[3 attempts, " in str(error)
    assert str(RequestError("lost")) == "lost"


def test_places_are_named() -> None:
    assert str(SchemaError("expected text", path="devices[3].id")) == "devices[3].id: expected text"
    assert str(TimeseriesFormatError("no number", row=5, column=2)) == "row 5, column 2: no number"
    assert str(TimeseriesFormatError("no header", row=0)) == "row 0: no header"


def test_the_first_reported_error_stands_for_all() -> None:
    error = APIError("status 418", **API)
    assert (error.code, error.message, error.details, len(error.errors)) == ("a/B", "no", {"x": [1]}, 2)
    assert APIError("status 418", status=418).message == "status 418"


ORDER: list[Outcome] = ["not_sent", "rejected", "final", "unknown"]


@pytest.mark.parametrize("first", ORDER)
@pytest.mark.parametrize("second", ORDER)
def test_the_outcome_that_leaves_more_doubt_counts(first: Outcome, second: Outcome) -> None:
    assert worst_outcome(first, second) == max(first, second, key=ORDER.index)
