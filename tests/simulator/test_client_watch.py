"""`telemetry.watch` over real sockets."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import anyio
import pytest

from enapter_async import (
    AuthenticationError,
    ClientClosedError,
    EnapterClient,
    InvalidArgumentError,
    PollFailed,
    RetryPolicy,
    ValueMissing,
    WatchEvent,
)
from enapter_async.simulator import Fault, Simulator
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio

SPEED = 20
INTERVAL = 1 / SPEED


@pytest.fixture
async def hasty() -> AsyncIterator[Simulator]:
    """A world in which twenty seconds pass in one."""
    started = time.time()
    async with Simulator(devices=20, clock=lambda: started + SPEED * (time.time() - started)) as sim:
        yield sim


@pytest.fixture
async def client(hasty: Simulator) -> AsyncIterator[EnapterClient]:
    async with EnapterClient(base_url=hasty.url, token=hasty.token) as client:
        yield client


async def wanted(client: EnapterClient) -> dict[str, list[str]]:
    devices = await client.devices.list(expand={"manifest"}).collect()
    return {one.id: list(one.manifest.numeric_telemetry()) for one in devices if one.manifest is not None}


async def test_every_datapoint_comes_once(hasty: Simulator, client: EnapterClient) -> None:
    attributes = await wanted(client)
    count = sum(map(len, attributes.values()))
    events: list[WatchEvent] = []
    found = []
    async with client.telemetry.watch(attributes, interval=INTERVAL, on_event=events.append) as live:
        async for batch in live.batches():
            found += batch
            if len(found) > 10 * count:
                break
    assert len({(one.device, one.attribute, one.timestamp) for one in found}) == len(found)
    assert {one.device for one in found} == set(attributes)
    assert all(one.number is not None for one in found)
    # The token's role may not read everything, and each such attribute is told once.
    missing = [(event.device, event.attribute) for event in events if isinstance(event, ValueMissing)]
    assert len(missing) == len(set(missing)) > 0
    assert not {(one.device, one.attribute) for one in found} & set(missing)


async def test_faults_are_reported_and_survived(hasty: Simulator, client: EnapterClient) -> None:
    attributes = await wanted(client)
    hasty.faults.on("getLatestTelemetry", Fault.reset(), nth=range(3, 12))
    events: list[WatchEvent] = []
    once = client.with_options(retry=RetryPolicy.none())
    answers = 0
    async with once.telemetry.watch(attributes, interval=INTERVAL, on_event=events.append) as live:
        async for _ in live.batches():
            answers += 1
            if answers > 4:
                break
    assert live.statistics.failures == sum(isinstance(event, PollFailed) for event in events) == 9


async def test_an_api_that_restarts_is_survived(hasty: Simulator, client: EnapterClient) -> None:
    attributes = await wanted(client)
    events: list[WatchEvent] = []
    async with client.telemetry.watch(attributes, interval=INTERVAL, on_event=events.append, timeout=0.2) as live:
        await anext(live)
        await hasty.stop()
        async with anyio.create_task_group() as tasks:

            async def back() -> None:
                await wait_until(lambda: any(isinstance(event, PollFailed) for event in events), seconds=10)
                await hasty.start()
                restarted.set()

            restarted = anyio.Event()
            tasks.start_soon(back)
            before = (await anext(live)).timestamp
            with anyio.fail_after(10):
                # What came before the restart can be of several seconds; nobody polls once nothing is waited for.
                while (await anext(live)).timestamp <= before or not restarted.is_set():
                    pass


async def test_a_token_that_is_refused_ends_it(hasty: Simulator, client: EnapterClient) -> None:
    attributes = await wanted(client)
    async with client.telemetry.watch(attributes, interval=INTERVAL, on_event=lambda _: None) as live:
        await anext(live)
        hasty.grants[hasty.token].expired = True
        with pytest.raises(AuthenticationError), anyio.fail_after(5):
            async for _ in live:
                pass


async def test_closing_the_client_ends_it(client: EnapterClient) -> None:
    attributes = await wanted(client)
    async with client.telemetry.watch(attributes, interval=INTERVAL, on_event=lambda _: None) as live:
        await anext(live)
        await client.aclose()
        with pytest.raises(ClientClosedError):
            async for _ in live:
                pass


def test_intervals_longer_than_the_servers_relevance_ask_for_older_values() -> None:
    client = EnapterClient(token="t", base_url="http://127.0.0.1:1")
    queries = {
        interval: client.telemetry.watch({"device": ["power"]}, interval=interval)._parts[0].query
        for interval in (1, 15, 60)
    }
    assert "relevance_interval" not in queries[1] + queries[15]
    assert queries[60].endswith("&relevance_interval=2m")


@pytest.mark.parametrize(
    ("argument", "arguments"),
    [
        ("interval", {"interval": 0}),
        ("interval", {"interval": -1}),
        ("interval", {"interval": float("nan")}),
        ("timeout", {"timeout": 0}),
        ("relevance_interval", {"relevance_interval": -1}),
        ("attributes", {"attributes": {}}),
        ("attributes", {"attributes": {"": ["power"]}}),
        ("attributes", {"attributes": {"device": [""]}}),
    ],
)
def test_bad_input_is_refused_at_once(argument: str, arguments: dict[str, object]) -> None:
    client = EnapterClient(token="t", base_url="http://127.0.0.1:1")
    with pytest.raises(InvalidArgumentError) as caught:
        client.telemetry.watch(**{"attributes": {"device": ["power"]}, **arguments})  # type: ignore[arg-type]
    assert caught.value.argument == argument
