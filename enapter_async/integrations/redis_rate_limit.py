"""A rate limit in Redis or Valkey, with the GCRA of throttled-py: one atomic script that uses the server's clock.

Why this library: the rate must be even. Any kind of window allows a second's worth of requests at once, and a server
with a token bucket rejects most of them (`limits` has only windows). The clock must be the server's, since those of two
machines differ (`pyrate-limiter` and `redis-rate-limiters` use the client's). And it must return how long to wait.
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
    """The store of the library, with a method to close it."""

    async def aclose(self) -> None:
        await cast("Redis", self._backend.get_client()).aclose(close_connection_pool=True)


class RedisSource:
    """A shared bucket that implements `Source`."""

    def __init__(self, terms: SharedRateLimit) -> None:
        """Create the source. It does not connect yet.

        Args:
            terms: Server, name, rate and burst of the bucket.
        """
        # One immediate retry, since a kept-alive connection may be dead. After that the limiter decides.
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
        _ = self._bucket.limiter  # otherwise created lazily, which would delay the first request

    async def ask(self) -> float:
        """Take one permission. Return 0, or the seconds to wait before trying again.

        Raises:
            SourceUnavailableError: Redis does not respond, or responds with an error.
        """
        try:
            result = await self._bucket.limit()
            wait = result.state.retry_after if result.limited else 0.0
        except Exception as error:  # noqa: BLE001 - the libraries raise any exception if another kind of server responds
            reason = _reason(error)
        else:
            if math.isfinite(wait):
                return wait
            reason = f"Redis returned an invalid wait of {wait} s"
        raise SourceUnavailableError(reason)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._store.aclose()


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}"
