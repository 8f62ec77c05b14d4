"""What each method sends, to the letter: only what the caller gave, where it belongs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from enapter_async import EnapterClient
from tests.recorder import Recorder, recording
from tests.service_calls import CALLS, STREAMS, Call, operations

pytestmark = pytest.mark.anyio


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    async with recording() as running:
        yield running


@pytest.fixture
async def client(recorder: Recorder) -> AsyncIterator[EnapterClient]:
    async with EnapterClient(base_url=recorder.url, token="secret-token") as ours:
        yield ours


@pytest.mark.parametrize("call", [*CALLS, *STREAMS], ids=str)
async def test_method_path_query_and_body(call: Call, recorder: Recorder, client: EnapterClient) -> None:
    recorder.answer = call.answer_bytes
    await call.invoke(client)
    (received,) = recorder.received
    assert received.target == call.target
    assert received.headers["x-enapter-auth-token"] == "secret-token"
    if call.body is None:
        assert received.body == b""
        assert "content-type" not in received.headers
    elif isinstance(call.body, bytes):
        assert received.body == call.body
        assert received.headers["content-type"] == "application/zip"
    else:
        assert received.headers["content-type"] == "application/json"
        assert call.body is ... or json.loads(received.body) == call.body


def test_every_operation_stands_in_the_table() -> None:
    assert {call.operation for call in (*CALLS, *STREAMS)} == set(operations())


@pytest.mark.parametrize("call", [*CALLS, *STREAMS], ids=str)
def test_the_table_names_operations_by_their_method(call: Call) -> None:
    assert operations()[call.operation].method == call.method


async def test_identifiers_cannot_leave_their_place(recorder: Recorder, client: EnapterClient) -> None:
    recorder.answer = b'{"rule": {"id": "R"}}'
    await client.rules.get("../../devices?x#y", "a/b")
    assert recorder.received[0].target == "GET v3/sites/a%2Fb/rule_engine/rules/..%2F..%2Fdevices%3Fx%23y"
