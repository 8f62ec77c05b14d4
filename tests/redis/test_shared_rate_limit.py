"""One quota through a real Redis: its bucket, two clients on it, and what happens while it is away."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from enapter_async import EnapterClient, Event, RateLimit, SharedLimitLost, SharedLimitRestored, SharedRateLimit
from enapter_async._transport.rate_limit.shared_limiter import SourceUnavailableError
from enapter_async.simulator import Simulator
from tests.redis.server import RedisServer

pytestmark = pytest.mark.anyio


def share(redis: RedisServer, name: str = "plant", rate: float = 100, **more: float) -> SharedRateLimit:
    return SharedRateLimit(redis.url, name=name, requests_per_second=rate, **more)  # type: ignore[arg-type]


def client_of(simulator: Simulator, terms: SharedRateLimit, events: list[Event] | None = None) -> EnapterClient:
    hooks = () if events is None else (events.append,)
    return EnapterClient(base_url=simulator.url, token=simulator.token, shared_rate_limit=terms, hooks=hooks)


@pytest.mark.parametrize("rate", [0.01, 0.4, 2.5, 50.0, 1000.0])
async def test_the_bucket_grants_its_burst_and_then_names_the_wait(redis: RedisServer, rate: float) -> None:
    from enapter_async.integrations.redis_rate_limit import RedisSource

    source = RedisSource(share(redis, rate=rate, burst=2))
    try:
        began = time.perf_counter()
        assert await source.ask() == 0
        await source.ask()
        waits = [await source.ask() for _ in range(1 if rate < 1000 else 10)]
        elapsed = time.perf_counter() - began
        assert max(waits) <= 1 / rate
        assert max(waits) >= 1 / rate - elapsed - 0.01
    finally:
        await source.aclose()


async def test_buckets_of_different_names_have_nothing_to_do_with_each_other(redis: RedisServer) -> None:
    from enapter_async.integrations.redis_rate_limit import RedisSource

    sources = [RedisSource(share(redis, name=name, rate=0.1, burst=1)) for name in ("one", "two")]
    assert [await source.ask() for source in sources] == [0, 0]
    assert all([await source.ask() > 5 for source in sources])
    for source in sources:
        await source.aclose()


async def test_trouble_is_named_without_the_password(redis: RedisServer) -> None:
    from enapter_async.integrations.redis_rate_limit import RedisSource

    url = redis.url.replace("redis://", "redis://:secret@")
    source = RedisSource(SharedRateLimit(url, name="plant", requests_per_second=1))
    with pytest.raises(SourceUnavailableError, match=r"Auth|password") as raised:  # it has none
        await source.ask()
    assert "secret" not in str(raised.value)
    await source.aclose()


async def test_two_clients_stay_together_under_one_rate(redis: RedisServer) -> None:
    async with (
        Simulator(devices=1) as simulator,
        client_of(simulator, share(redis, timeout=10)) as one,
        client_of(simulator, share(redis, timeout=10)) as two,
    ):
        done = {one: 0, two: 0}

        async def calls(client: EnapterClient) -> None:
            for _ in range(5):
                await client.sites.list().first()
                done[client] += 1

        await asyncio.gather(one.sites.list().first(), two.sites.list().first())
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for client in (one, two):
                for _ in range(10):
                    group.create_task(calls(client))
        elapsed = time.perf_counter() - began
    assert done == {one: 50, two: 50}
    assert elapsed >= (100 - 5) / 100  # the burst of 50 ms is free


async def test_without_redis_the_client_goes_on_and_comes_back(redis: RedisServer) -> None:
    events: list[Event] = []
    async with Simulator(devices=1) as simulator, client_of(simulator, share(redis), events) as client:
        await client.sites.list().first()
        redis.stop()
        await asyncio.gather(*(client.sites.list().first() for _ in range(20)))
        assert [type(event) for event in events if "Shared" in type(event).__name__] == [SharedLimitLost]
        redis.start()
        async with asyncio.timeout(10):
            while not any(isinstance(event, SharedLimitRestored) for event in events):
                await client.sites.list().first()
                await asyncio.sleep(0.05)
        await client.sites.list().first()
    assert client.load.in_flight == 0


async def test_a_redis_that_hangs_costs_one_timeout(redis: RedisServer) -> None:
    events: list[Event] = []
    terms = share(redis, timeout=0.5)
    async with Simulator(devices=1) as simulator, client_of(simulator, terms, events) as client:
        await client.sites.list().first()
        redis.freeze()
        began = time.perf_counter()
        await asyncio.gather(*(client.sites.list().first() for _ in range(20)))
        assert time.perf_counter() - began < 5.0, "twenty timeouts would take ten seconds"
    lost = [event for event in events if isinstance(event, SharedLimitLost)]
    assert [event.reason for event in lost] == ["no response within 0.5 s"]


NONSENSE = {
    "an error": b"-OOM command not allowed\r\n",
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "text": b"+OK\r\n",
    "a number": b":1\r\n",
    "nothing": b"$-1\r\n",
    "an empty list": b"*0\r\n",
    "a length that is no number": b"*zz\r\n",
    "a nesting of 100,000 lists": b"*1\r\n" * 100_000,
    "invalid UTF-8": b"$2\r\n\xff\xfe\r\n",
    "a wait of NaN": b"*4\r\n:1\r\n:0\r\n$3\r\nnan\r\n$3\r\nnan\r\n",
    "a wait without end": b"*4\r\n:1\r\n:0\r\n$3\r\ninf\r\n$3\r\ninf\r\n",
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
async def test_whoever_answers_in_its_place_is_a_loss_and_no_error_of_a_call(answer: bytes) -> None:
    pytest.importorskip("throttled", reason="the extra `redis` is not installed")

    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(2**16):
                writer.write(b"+OK\r\n" * data.count(b"SETINFO") if b"SETINFO" in data else answer)
        writer.close()

    events: list[Event] = []
    listening = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}/0"
    terms = SharedRateLimit(url, name="plant", requests_per_second=100)
    async with listening, Simulator(devices=1) as simulator, client_of(simulator, terms, events) as client:
        await asyncio.gather(*(client.sites.list().first() for _ in range(3)))
    assert [type(event) for event in events if "Shared" in type(event).__name__] == [SharedLimitLost]


async def test_a_client_may_be_made_before_redis_is_there(redis: RedisServer) -> None:
    redis.stop()
    async with Simulator(devices=1) as simulator, client_of(simulator, share(redis)) as client:
        assert await client.sites.list().first() is not None


async def test_waiting_for_the_common_rate_ends_with_the_deadline(redis: RedisServer) -> None:
    terms = share(redis, rate=0.1, burst=1)
    async with Simulator(devices=1) as simulator, client_of(simulator, terms) as client:
        devices = await asyncio.gather(
            *(client.with_options(timeout=0.3).sites.list().first() for _ in range(3)), return_exceptions=True
        )
        assert sum(isinstance(device, TimeoutError) for device in devices) == 2
        assert client.load.waiting == client.load.in_flight == 0


async def test_closing_ends_those_who_wait_for_permission(redis: RedisServer) -> None:
    async with Simulator(devices=1) as simulator:
        client = client_of(simulator, share(redis, rate=0.1, burst=1))
        calls = [asyncio.create_task(client.sites.list().first()) for _ in range(5)]
        while not calls[0].done():
            await asyncio.sleep(0.01)
        await client.aclose()
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result).__name__ for result in results[1:]] == ["ClientClosedError"] * 4


async def test_the_clients_own_limit_still_holds(redis: RedisServer) -> None:
    async with (
        Simulator(devices=1) as simulator,
        EnapterClient(
            base_url=simulator.url,
            token=simulator.token,
            shared_rate_limit=share(redis),
            rate_limit=RateLimit(requests_per_second=20, burst=1),
        ) as client,
    ):
        began = time.perf_counter()
        await asyncio.gather(*(client.sites.list().first() for _ in range(11)))
        assert time.perf_counter() - began >= 0.5 - 0.02
