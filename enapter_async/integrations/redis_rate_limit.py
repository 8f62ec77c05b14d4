"""Permissions out of Redis or Valkey, by the GCRA of throttled-py: one atomic script on the server's own clock.

Why that library. The rate has to be even: a window of any kind lets a second's worth go at once, and a server with
a bucket rejects most of it (`limits` has windows only). The clock has to be the server's: those of two machines
differ (`pyrate-limiter` and `redis-rate-limiters` take the client's). And it must say how long to wait.
"""

from __future__ import annotations

import math
from datetime import timedelta
from fractions import Fraction
from typing import cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from throttled.asyncio import Quota, Rate, RateLimiterType, RedisStore, Throttled

from enapter_async._transport.rate_limit.shared_limiter import SourceUnavailableError
from enapter_async.config import SharedRateLimit


class _Store(RedisStore):
    """The library's store, with a way to close it."""

    async def aclose(self) -> None:
        await cast("Redis", self._backend.get_client()).aclose(close_connection_pool=True)


class RedisSource:
    """One shared bucket; a `Source`."""

    def __init__(self, terms: SharedRateLimit) -> None:
        """Connect to nothing yet.

        Args:
            terms: Where the bucket is, its name, rate and burst.
        """
        # At once a second time, since a connection that was kept open may be dead; then the limiter decides.
        again = Retry(NoBackoff(), 1)
        self._store = _Store(terms.url, {"CONNECTION_POOL_KWARGS": {"retry": again}})
        rate = Fraction(terms.requests_per_second).limit_denominator(10_000)
        self._bucket = Throttled(
            key=terms.name,
            using=RateLimiterType.GCRA.value,
            quota=Quota(Rate(timedelta(seconds=rate.denominator), rate.numerator), terms.burst),
            store=self._store,
            key_prefix="enapter-async",
        )
        _ = self._bucket.limiter  # made lazily otherwise, in the time of the first request

    async def ask(self) -> float:
        """Take one permission; return 0, or the seconds after which to ask again.

        Raises:
            SourceUnavailableError: Redis does not answer, or answers with an error.
        """
        try:
            result = await self._bucket.limit()
            wait = result.state.retry_after if result.limited else 0.0
        except Exception as error:  # noqa: BLE001 - something else may answer there: the libraries raise what they like
            reason = _reason(error)
        else:
            if math.isfinite(wait):
                return wait
            reason = f"a wait of {wait} s makes no sense"
        raise SourceUnavailableError(reason)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._store.aclose()


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}"
