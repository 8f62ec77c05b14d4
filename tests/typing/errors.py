"""Errors and their attributes, as type checkers see them. Checked by `nox -s types`; never run."""

from __future__ import annotations

from typing import assert_type

from enapter_async import (
    JSON,
    APIError,
    CommandFailedError,
    ConnectError,
    DeadlineExceededError,
    EnapterClient,
    EnapterError,
    ErrorDetail,
    ExecutionPendingError,
    InvalidArgumentError,
    MissingExtraError,
    NotFoundError,
    Outcome,
    OutcomeUnknownError,
    RateLimitedError,
    RequestError,
    SchemaError,
    StreamError,
    TimeseriesFormatError,
    TransportError,
)


async def caught(client: EnapterClient) -> None:
    try:
        await client.sites.get("s")
    except RateLimitedError as error:
        assert_type(error.retry_after, float | None)
    except NotFoundError as error:
        assert_type(error.status, int)
        assert_type(error.code, str | None)
        assert_type(error.errors, tuple[ErrorDetail, ...])
        assert_type(error.details, dict[str, JSON])
    except APIError as error:
        assert_type(error.body_excerpt, str)
    except SchemaError as error:
        assert_type(error.path, str)
    except TimeseriesFormatError as error:
        assert_type(error.row, int | None)
        assert_type(error.column, int | None)
    except ConnectError as error:
        assert_type(error.phase, str)
    except (TransportError, DeadlineExceededError, OutcomeUnknownError) as error:
        assert_type(error.attempts, int)
    except RequestError as error:
        assert_type(error.outcome, Outcome)
        assert_type(error.operation, str)
        assert_type(error.elapsed, float)
    except InvalidArgumentError as error:
        assert_type(error.argument, str)
    except MissingExtraError as error:
        assert_type(error.extra, str)
    except StreamError as error:
        assert_type(error.gap, bool)
        assert_type(error.status, int | None)
    except ExecutionPendingError as error:
        assert_type(error.execution_id, str)
        assert_type(error.state, str | None)
    except CommandFailedError as error:
        assert_type(error.state, str)
    except EnapterError as error:
        assert_type(str(error), str)


def hierarchy(pending: ExecutionPendingError, deadline: DeadlineExceededError, argument: InvalidArgumentError) -> None:
    timeouts: list[TimeoutError] = [pending, deadline]
    wrong: ValueError = argument
    print(timeouts, wrong)
