"""What each method sends, to the letter: only what the caller gave, where it belongs."""

from __future__ import annotations

import json

import pytest

from enapter_async import EnapterClient, Response
from tests.recorder import Recorder
from tests.secrecy import TOKEN
from tests.service_calls import CALLS, STREAMS, Call, operations

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("call", [*CALLS, *STREAMS], ids=str)
async def test_method_path_query_and_body(call: Call, recorder: Recorder, client: EnapterClient) -> None:
    recorder.answer = call.answer_bytes
    await call.invoke(client)
    (received,) = recorder.received
    assert received.target == call.target
    assert received.headers["x-enapter-auth-token"] == TOKEN
    if call.body is None:
        assert received.body == b""
        assert "content-type" not in received.headers
    elif isinstance(call.body, bytes):
        assert received.body == call.body
        assert received.headers["content-type"] == "application/zip"
    else:
        assert received.headers["content-type"] == "application/json"
        assert call.body is ... or json.loads(received.body) == call.body


def has_raw_twin(call: Call) -> bool:
    service, method = call.operation.split(".")
    if "wait" in call.invoke.__code__.co_names:  # looks as often as it must
        return False
    return hasattr(getattr(EnapterClient().raw, service, None), method)


def test_every_raw_method_is_in_the_table() -> None:
    raw = EnapterClient().raw
    services = {name: getattr(raw, name) for name in dir(raw) if not name.startswith("_")}
    assert {call.operation for call in CALLS if has_raw_twin(call)} == {
        f"{name}.{method}"
        for name, service in services.items()
        for method in dir(service)
        if not method.startswith("_")
    }


@pytest.mark.parametrize("call", [*filter(has_raw_twin, CALLS)], ids=str)
async def test_the_raw_twin_sends_the_same_and_gives_a_response(
    call: Call, recorder: Recorder, client: EnapterClient
) -> None:
    recorder.answer = call.answer_bytes
    value = await call.invoke(client)
    response = await call.invoke(client.raw)  # type: ignore[arg-type]
    plain, raw = recorder.received
    assert (raw.target, raw.headers, raw.body) == (plain.target, plain.headers, plain.body)
    assert isinstance(response, Response)
    assert (response.status, response.attempts, response.value) == (200, 1, value)


def test_every_operation_stands_in_the_table() -> None:
    assert {call.operation for call in (*CALLS, *STREAMS)} == set(operations())


@pytest.mark.parametrize("call", [*CALLS, *STREAMS], ids=str)
def test_the_table_names_operations_by_their_method(call: Call) -> None:
    assert operations()[call.operation].method == call.method


async def test_identifiers_cannot_leave_their_place(recorder: Recorder, client: EnapterClient) -> None:
    recorder.answer = b'{"rule": {"id": "R"}}'
    await client.rules.get("../../devices?x#y", "a/b")
    assert recorder.received[0].target == "GET v3/sites/a%2Fb/rule_engine/rules/..%2F..%2Fdevices%3Fx%23y"
