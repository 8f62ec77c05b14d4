"""The client against nginx's `limit_req`. Times and waste at full length: `benchmarks/bench_rate_limit.py`."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from enapter_async import EnapterClient, RateLimit, RateLimitedError, RetryPolicy
from tests.faults.nginx import BINARY, DEVICE, rate_limiting_nginx

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(BINARY is None, reason="nginx is not installed (apt-get install nginx-light)"),
]

DEVICE_ID = DEVICE["device"]["id"]


@pytest.fixture
def anyio_backend() -> str:
    """The time of the machine, which is also that of nginx."""
    return "asyncio"


async def get_many(client: EnapterClient, count: int) -> float:
    """Make the calls all at once; return the seconds that they took."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(client.devices.get(DEVICE_ID))
    return time.monotonic() - began


async def test_all_calls_succeed_at_the_servers_rate_with_little_waste() -> None:
    # A rate that half a core is enough for: it must be nginx that limits, and not the machine.
    with rate_limiting_nginx(rate=100, burst=20) as server:
        async with EnapterClient(base_url=server.url, token="token") as client:
            seconds = await get_many(client, 500)
            assert client.load.requests_per_second is not None
        statuses = server.statuses()
    assert statuses[200] == 500
    # Most of it at the beginning, when nobody knows the rate; a loaded machine adds some. The benchmark has the figure.
    assert statuses[429] <= 125
    assert seconds <= 4 * 500 / 100


async def test_a_fixed_pace_keeps_below_the_limit_from_the_first_request_on() -> None:
    pace = RateLimit(requests_per_second=150, burst=5)
    # Far less than 150 at once, and more than come at once where nginx is kept from its work for a tenth of a second.
    with rate_limiting_nginx(rate=200, burst=20) as server:
        async with EnapterClient(base_url=server.url, token="token", rate_limit=pace) as client:
            await get_many(client, 150)
        assert server.statuses() == {200: 150}


async def test_requests_arrive_staggered_after_a_429() -> None:
    # Slow enough that a client kept from its work has not two to send when it comes back.
    with rate_limiting_nginx(rate=40, burst=10, retry_after=None) as server:
        async with EnapterClient(base_url=server.url, token="token") as client:
            await get_many(client, 80)
        answers = server.answers()
    first = next(index for index, (_, status, _) in enumerate(answers) if status == 429)
    afterwards = [at for at, _, _ in answers[first + 40 :]]
    together = sum(later == earlier for earlier, later in pairwise(afterwards))
    assert together <= len(afterwards) / 4


async def test_copies_of_a_client_share_its_pace() -> None:
    with rate_limiting_nginx(rate=10, burst=2, retry_after=None) as server:
        async with EnapterClient(base_url=server.url, token="token") as client:
            await get_many(client, 15)
            pace = client.load.requests_per_second
            copy = client.with_options(timeout=5)
            assert pace is not None
            assert copy.load.requests_per_second == pace


async def test_without_retries_a_429_is_an_error() -> None:
    with rate_limiting_nginx(rate=1, burst=0, retry_after=7) as server:
        async with EnapterClient(base_url=server.url, token="token", retry=RetryPolicy.none()) as client:
            await client.devices.get(DEVICE_ID)
            with pytest.raises(RateLimitedError) as caught:
                await client.devices.get(DEVICE_ID)
        assert caught.value.retry_after == 7
        assert server.statuses() == {200: 1, 429: 1}
