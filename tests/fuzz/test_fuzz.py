"""Whatever a server sends, only `EnapterError` comes out, soon and without eating the memory.

Bounded here; `nox -s fuzz` tries a hundred times as many examples. The real client runs with the real answers of
the simulator, changed; only the exchange of bytes is replaced (what aiohttp makes of broken HTTP: tests/faults).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enapter_async import (
    Device,
    EnapterClient,
    EnapterError,
    Manifest,
    StreamPolicy,
)
from enapter_async._protocol.request import Answer
from tests.fuzz.client import Fuzzed, fuzzed, headers
from tests.fuzz.mutations import HEADER_TEXT, HEADERS, damaged, mutated_json
from tests.fuzz.recorded import record
from tests.service_calls import CALLS, EVENING, NOON, Call

EXAMPLES = int(os.environ.get("ENAPTER_FUZZ_EXAMPLES", "5"))
"""Examples of each test; there are more than a hundred tests."""

bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

JSON_CALLS = [call for call in CALLS if not isinstance(call.answer, bytes)]
STATUSES = st.sampled_from([200, 200, 200, 201, 202, 204, 299])
REFUSALS = st.sampled_from([*range(300, 310), *range(400, 432), 451, 499, 500, 501, 502, 503, 504, 520, 599])


@pytest.fixture(scope="module")
def recorded() -> dict[str, Answer]:
    return asyncio.run(record())


@pytest.fixture(scope="module")
def wire(recorded: dict[str, Answer]) -> Iterator[Fuzzed]:
    assert recorded, "recorded first: over a wire that is still real"
    with fuzzed() as one:
        yield one


def touch(value: object) -> None:
    """Look at a value as a user does; what is parsed when it is first asked for is parsed now."""
    repr(value)
    for one in value if isinstance(value, list) else [value]:
        manifest = one.manifest if isinstance(one, Device) else one
        if isinstance(manifest, Manifest):
            for section in ("telemetry", "properties", "alerts", "commands", "configuration"):
                with suppress(EnapterError):
                    repr(getattr(manifest, section))


def test_every_operation_was_recorded(recorded: dict[str, Answer]) -> None:
    missing = {call.operation for call in CALLS} - recorded.keys()
    assert missing <= {"telemetry.query_timeseries", "devices.run_terminal"}


@pytest.mark.parametrize("call", JSON_CALLS, ids=str)
@bounded
@given(data=st.data())
def test_mutated_answers(call: Call, data: st.DataObject, wire: Fuzzed, recorded: dict[str, Answer]) -> None:
    real = recorded.get(call.operation)
    original = json.loads(real.body if real is not None and real.body else call.answer_bytes)
    body = data.draw(mutated_json(original))
    wire.answer = Answer(data.draw(STATUSES), headers(data.draw(HEADERS)), body)
    touch(wire.outcome_of(call.invoke))


@pytest.mark.parametrize("call", CALLS, ids=str)
@bounded
@given(data=st.data())
def test_error_envelopes(call: Call, data: st.DataObject, wire: Fuzzed) -> None:
    error = {"code": "conflict", "message": "no", "details": {"field": "name", "list": [1, None]}}
    body = data.draw(mutated_json({"errors": [error, error]}) | st.binary(max_size=50))
    wire.answer = Answer(data.draw(REFUSALS), headers(data.draw(HEADERS)), body)
    wire.pieces = [body]
    assert isinstance(wire.outcome_of(call.invoke), EnapterError)


@bounded
@given(data=st.data())
def test_commands_that_are_waited_for(data: st.DataObject, wire: Fuzzed, recorded: dict[str, Answer]) -> None:
    original = json.loads(recorded["commands.get_execution"].body)
    wire.answer = Answer(data.draw(STATUSES), headers(data.draw(HEADERS)), data.draw(mutated_json(original)))
    touch(wire.outcome_of(lambda client: client.commands.wait("D", "E", timeout=0.01)))


# -- archives ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["blueprints.download", "blueprints.download_device_profiles"])
@bounded
@given(data=st.data())
def test_archives(operation: str, data: st.DataObject, wire: Fuzzed, recorded: dict[str, Answer]) -> None:
    (call, *_) = [call for call in CALLS if call.operation == operation]
    wire.answer = Answer(200, headers(data.draw(HEADERS)), data.draw(damaged(recorded[operation].body)))
    wire.outcome_of(call.invoke)


# -- time series -------------------------------------------------------------------------------------------------

CSV = (
    b"ts,telemetry=power device=D,telemetry=status device=D,telemetry=on device=D,telemetry=tags device=D\n"
    + b"".join(
        b'%d,1.5,steady,true,"[""a"", ""b""]"\n%d,,"a ""quoted"", text",,\n' % (start, start + 60)
        for start in range(1_773_489_600, 1_773_492_000, 120)
    )
)
DATA_TYPES = "float,string,boolean,array_of_strings"


async def queried(client: EnapterClient) -> object:
    from enapter_async import Series, TimeseriesQuery

    series = [Series("D", ["power", "status", "on", "tags"])]
    query = TimeseriesQuery(start=NOON, end=EVENING, granularity=60, series=series)
    table = await client.telemetry.query_timeseries(query)
    assert all(len(column.values) == len(table.timestamps) for column in table.columns)
    return table


async def streamed(client: EnapterClient) -> object:
    from enapter_async import Series, TimeseriesQuery

    query = TimeseriesQuery(start=NOON, end=EVENING, granularity=60, series=[Series("D", ["power"])])
    async with client.telemetry.stream_timeseries(query) as stream:
        return [row async for row in stream]


def cut(body: bytes, places: list[int]) -> list[bytes]:
    """Cut a body into pieces."""
    cuts = [0, *sorted({place % (len(body) + 1) for place in places}), len(body)]
    return [body[start:end] for start, end in pairwise(cuts) if start < end]


@pytest.mark.parametrize("call", [queried, streamed])
@settings(bounded, max_examples=10 * EXAMPLES)
@given(data=st.data())
def test_time_series(call: Callable[[EnapterClient], Awaitable[object]], data: st.DataObject, wire: Fuzzed) -> None:
    body = data.draw(st.just(CSV) | damaged(CSV))
    types = data.draw(st.just(DATA_TYPES) | HEADER_TEXT | st.lists(HEADER_TEXT, max_size=6).map(",".join))
    lines = {"Content-Type": "text/csv", "X-Enapter-Timeseries-Data-Types": types} | data.draw(st.just({}) | HEADERS)
    wire.answer = Answer(data.draw(STATUSES), headers(lines), b"")
    wire.pieces = cut(body, data.draw(st.lists(st.integers(0, 10**6), max_size=5)))
    repr(wire.outcome_of(call))


def test_a_time_series_that_is_right_is_read(wire: Fuzzed) -> None:
    lines = {"Content-Type": "text/csv", "X-Enapter-Timeseries-Data-Types": DATA_TYPES}
    wire.answer, wire.pieces = Answer(200, headers(lines), b""), [CSV]
    table: Any = wire.outcome_of(queried)
    assert len(table.timestamps) == 40


# -- WebSocket frames --------------------------------------------------------------------------------------------

FRAMES: dict[str, Any] = {
    "logs": {
        "log": {"severity": "info", "message": "m"},
        "timestamp": 1773489600,
        "received_at": "2026-03-14T12:00:00Z",
    },
    "flat logs": {"severity": "info", "message": "m", "timestamp": 1773489600},
    "telemetry": {"timestamp": 1773489600, "telemetry": {"power": 1.5, "status": "steady", "tags": ["a"]}},
    "devices": {"device_id": "D", "timestamp": 1773489600, "properties": {"phases": 3}, "log": {"message": "m"}},
}
ONCE = StreamPolicy(reconnect=False)
STREAMS: dict[str, Callable[[EnapterClient], AbstractAsyncContextManager[Any]]] = {
    "logs.follow": lambda client: client.logs.follow("D", policy=ONCE),
    "telemetry.follow": lambda client: client.telemetry.follow("D", policy=ONCE),
    "streams.devices": lambda client: client.streams.devices(["D"], policy=ONCE),
    "rules.follow_log": lambda client: client.rules.follow_log("R", policy=ONCE),
}


@pytest.mark.parametrize("name", STREAMS)
@settings(bounded, max_examples=4 * EXAMPLES)
@given(data=st.data())
def test_frames(name: str, data: st.DataObject, wire: Fuzzed) -> None:
    async def follow(client: EnapterClient) -> list[object]:
        events: list[object] = []
        async with STREAMS[name](client) as stream:
            source: AsyncIterator[object] = stream.events()
            async for event in source:
                events.append(event)
                repr(event)
        return events

    frame = st.sampled_from(sorted(FRAMES)).flatmap(lambda kind: mutated_json(FRAMES[kind]))
    messages: list[Any] = data.draw(
        st.lists(frame | frame.map(lambda body: body.decode("utf-8", "replace")), max_size=5)
    )
    wire.answer = Answer(data.draw(st.sampled_from([101, 101, 101, 200, 404, 429, 503])), headers({}), b"{")
    wire.messages = messages
    assert isinstance(wire.outcome_of(follow), EnapterError), "a stream ends with an error only"
