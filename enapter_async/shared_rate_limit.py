"""One rate limit for several processes: what they agree on. The asking is done in `_transport`."""

from __future__ import annotations

import math
from typing import Final
from urllib.parse import urlsplit

import attrs

from enapter_async.errors import ConfigurationError

LEAST_RATE: Final = 0.001
_SCHEMES: Final = ("redis", "rediss", "unix")


def _url(_: object, __: object, value: str) -> None:
    """Check the URL, without ever echoing it: it may hold a password."""
    try:
        usable = isinstance(value, str) and urlsplit(value).scheme in _SCHEMES  # pyright: ignore[reportUnnecessaryIsInstance]
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError("SharedRateLimit.url must be a URL such as redis://redis.example.net:6379/0")


def _name(_: object, __: object, value: str) -> None:
    if not isinstance(value, str) or not value.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError("SharedRateLimit.name must be text")


def _rate(_: object, __: object, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not LEAST_RATE <= value < math.inf:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"SharedRateLimit.requests_per_second must be a number of at least {LEAST_RATE}")


def _timeout(_: object, __: object, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ConfigurationError("SharedRateLimit.timeout must be a positive number of seconds")


def _burst(_: object, __: object, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError("SharedRateLimit.burst must be a whole number of at least 1")


def _default_burst(terms: SharedRateLimit) -> int:
    rate = terms.requests_per_second
    # The checks come after the defaults: what they will refuse must not raise anything else here.
    return max(2, math.ceil(rate / 20)) if isinstance(rate, (int, float)) and math.isfinite(rate) else 2  # pyright: ignore[reportUnnecessaryIsInstance]


@attrs.frozen
class SharedRateLimit:
    """A rate limit that clients in several processes share through Redis or Valkey, version 5 or newer.

    All who give the same `name` on the same server stay together under `requests_per_second`. It needs the extra
    `redis`. While Redis cannot be asked, each client goes on at the pace that it finds by itself, bounded by
    `requests_per_second` alone; it says so in the log and in hook events, and comes back by itself.

    Attributes:
        url: Of the server: `redis://`, `rediss://` (TLS) or `unix://`. Not shown, since it may hold a password.
        name: What the quota belongs to, a name for the token for example. Never the token itself.
        requests_per_second: What all of them together may send; at least 0.001.
        burst: How many requests may go at once after a pause; by default what 50 ms allow, and at least 2. With 1
            there is nothing to make up for a timer that is late, and the rate is not quite reached.
        timeout: Seconds to wait for an answer of Redis before going on without it.
    """

    url: str = attrs.field(validator=_url, repr=False)
    name: str = attrs.field(kw_only=True, validator=_name)
    requests_per_second: float = attrs.field(kw_only=True, validator=_rate)
    burst: int = attrs.field(kw_only=True, default=attrs.Factory(_default_burst, takes_self=True), validator=_burst)
    timeout: float = attrs.field(kw_only=True, default=1.0, validator=_timeout)
