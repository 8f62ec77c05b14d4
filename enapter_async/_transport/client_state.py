"""The state that a client and its `with_options` copies share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random

import attrs

from enapter_async._transport.http import HttpTransport
from enapter_async._transport.lifetime import Lifetime
from enapter_async._transport.rate_limit.limiter import Gate, RetryBudget
from enapter_async._transport.token import TokenSource
from enapter_async.hooks import Hook


@attrs.define
class ClientState:
    """The state that a client and its `with_options` copies share."""

    transport: HttpTransport
    limiter: Gate
    budget: RetryBudget
    lifetime: Lifetime
    tokens: TokenSource
    streams: asyncio.Semaphore
    max_streams: int
    hooks: tuple[Hook, ...]
    fixed_headers: Mapping[str, str]
    adaptive: bool
    max_response_bytes: int
    random: Random = attrs.field(factory=Random)
