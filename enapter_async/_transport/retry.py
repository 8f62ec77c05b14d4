"""Retries of requests. tenacity, which the project prescribes, runs them; `_protocol/failure.py` decides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from enapter_async.errors import RequestError

T = TypeVar("T")


async def recover(
    first: RequestError,
    attempt: Callable[[], Awaitable[T]],
    plan: Callable[[RequestError], float | None],
    sleep: Callable[[float], Awaitable[None]],
) -> T:
    """Retry after a failed first attempt, for as long as the plan allows.

    Running tenacity costs tens of microseconds, so the first attempt runs without it. Its failure is replayed here as
    the first attempt.

    Args:
        first: Error of the first attempt.
        attempt: Makes the next attempt.
        plan: Returns the seconds to wait before the next attempt, or None to give up.
        sleep: Waits.

    Raises:
        RequestError: The failure after which the plan gave up.
        EnapterError: Any other error of `attempt`, `plan` or `sleep`.
    """
    delay = 0.0
    replayed = False

    def goes_on(error: BaseException) -> bool:
        # Only these exceptions are retried. Cancellation and all others pass through.
        nonlocal delay
        if not isinstance(error, RequestError):
            return False
        planned = plan(error)
        if planned is None:
            return False
        delay = planned
        return True

    def wait(_: RetryCallState) -> float:
        return delay

    async def next_attempt() -> T:
        nonlocal replayed
        if not replayed:
            replayed = True
            raise first
        return await attempt()

    driver = AsyncRetrying(retry=retry_if_exception(goes_on), wait=wait, sleep=sleep, reraise=True)
    return await driver(next_attempt)
