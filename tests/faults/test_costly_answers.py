"""What an answer may cost: bytes, values, time. Whatever comes, the event loop does not stand still for long."""

from __future__ import annotations

import asyncio
import gzip
import json
import time

import pytest

from enapter_async import DeadlineExceededError, OutcomeUnknownError, ResponseTooLargeError, Safety, Timeouts
from enapter_async._protocol.decoding.frames import DEVICE_FRAME
from enapter_async._protocol.decoding.json_text import MAX_VALUES, has_more_values
from enapter_async._protocol.request import Answer, Operation, Request
from enapter_async.config import DEFAULT_MAX_RESPONSE_BYTES
from tests.clocks import SteadyLoop
from tests.faults.clients import impatient
from tests.faults.raw_server import RawServer, gzipped, response, sending

pytestmark = pytest.mark.anyio

MANY = {
    "lists": b"[" + b",".join([b"[]"] * MAX_VALUES) + b"]",
    "objects": b"[" + b",".join([b"{}"] * MAX_VALUES) + b"]",
    "numbers": b"[" + b",".join([b"1"] * (MAX_VALUES + 2)) + b"]",
    "nested": b"[" * (MAX_VALUES + 1) + b"]" * (MAX_VALUES + 1),
    "fields": b"{" + b",".join(b'"%d":1' % number for number in range(MAX_VALUES + 2)) + b"}",
    "white space between": b"[" + b" , ".join([b"1"] * (MAX_VALUES + 2)) + b"]",
}


@pytest.mark.parametrize("body", MANY.values(), ids=MANY)
async def test_more_values_than_can_be_decoded_are_refused_before_any_is_built(body: bytes) -> None:
    answer = response(gzipped(body), 200, "Content-Encoding: gzip")
    async with (
        RawServer(sending(answer, then="keep")).running() as server,
        impatient(server, timeouts=Timeouts()) as client,
    ):
        with pytest.raises(ResponseTooLargeError, match="262,144 values") as caught:
            await client.request("GET", "v3/x", safety=Safety.READ)
        assert (caught.value.outcome, server.seen) == ("final", 1)


def test_a_body_with_as_many_values_as_are_allowed_is_read() -> None:
    body = b"[" + b",".join([b"1"] * (MAX_VALUES - 1)) + b"]"
    assert not has_more_values(body, MAX_VALUES)
    assert has_more_values(body.replace(b"[", b"[1,1,"), MAX_VALUES)


def test_a_frame_is_bounded_alike() -> None:
    with pytest.raises(ResponseTooLargeError, match="262,144 values"):
        DEVICE_FRAME(MANY["lists"].decode())


async def test_a_larger_max_response_bytes_allows_more_values() -> None:
    body = b"[" + b",".join([b"1"] * (MAX_VALUES + 2)) + b"]"
    async with (
        RawServer(sending(response(body), then="keep")).running() as server,
        impatient(server, timeouts=Timeouts(), max_response_bytes=4 * DEFAULT_MAX_RESPONSE_BYTES) as client,
    ):
        assert len(await client.request("GET", "v3/x", safety=Safety.READ)) == MAX_VALUES + 2  # type: ignore[arg-type]


async def test_a_body_of_more_bytes_than_an_honest_server_sends_is_refused() -> None:
    body = b'{"site": "' + b"x" * DEFAULT_MAX_RESPONSE_BYTES + b'"}'
    answer = response(gzipped(body), 200, "Content-Encoding: gzip")
    async with (
        RawServer(sending(answer, then="keep")).running() as server,
        impatient(server, timeouts=Timeouts()) as client,
    ):
        with pytest.raises(ResponseTooLargeError, match="16,777,216 bytes"):
            await client.sites.get("S")


async def test_the_largest_honest_page_is_read() -> None:
    """Fifty devices, each with a manifest of 4,000 values and 200 kB."""
    attributes = {
        f"attribute_{number}": {"type": "float", "display_name": "x" * 170, "unit": "W", "access_level": "readonly"}
        for number in range(800)
    }
    manifest = {"blueprint_spec": "device/3.0", "telemetry": attributes}
    device = {"id": "D", "manifest": manifest}
    body = json.dumps({"devices": [device | {"id": f"d{n}"} for n in range(50)], "total_count": 50}).encode()
    assert 10_000_000 < len(body) < DEFAULT_MAX_RESPONSE_BYTES
    async with (
        RawServer(sending(response(body), then="keep")).running() as server,
        impatient(server, timeouts=Timeouts()) as client,
    ):
        assert len(await client.request("GET", "v3/devices", safety=Safety.READ)) == 2  # type: ignore[arg-type]


async def test_the_loop_does_not_stand_still_for_millions_of_values() -> None:
    body = b'{"x": [' + b",".join([b"[]"] * 5_000_000) + b"]}"
    answer = response(gzip.compress(body, 1), 200, "Content-Encoding: gzip")
    longest, last = 0.0, time.process_time()  # what the machine does meanwhile does not count

    async def watch() -> None:
        nonlocal longest, last
        while True:
            await asyncio.sleep(0)
            now = time.process_time()
            longest, last = max(longest, now - last), now

    limit = 64 * 1024 * 1024
    async with (
        RawServer(sending(answer, then="keep")).running() as server,
        impatient(server, timeouts=Timeouts(), max_response_bytes=limit) as client,
    ):
        task = asyncio.create_task(watch())
        with pytest.raises(ResponseTooLargeError):
            await client.request("GET", "v3/x", safety=Safety.READ)
        task.cancel()
    assert longest < 2  # it was ten seconds


@pytest.mark.parametrize("safety", Safety, ids=lambda safety: safety.value)
async def test_the_deadline_counts_the_decoding(safety: Safety) -> None:
    """What was changed is told even late: an execution whose ID is lost cannot be looked for."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteadyLoop)

    def decode(answer: Answer) -> bytes:
        loop._now += 5
        return answer.body

    request = Request(Operation("sites.get", "POST", safety), "v3/x", body=b"{}")
    async with RawServer(sending(response(), then="keep")).running() as server, impatient(server) as client:
        session = client._session
        assert await session.send(request, lambda answer: answer.body, 2) == b"{}"
        if safety is not Safety.READ:
            assert await session.send(request, decode, 2) == b"{}"
            return
        with pytest.raises(DeadlineExceededError, match="not done within 2 s") as caught:
            await session.send(request, decode, 2)
        assert (caught.value.outcome, caught.value.attempts) == ("final", 1)
        assert not isinstance(caught.value, OutcomeUnknownError)
