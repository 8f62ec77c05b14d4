"""What the methods make of answers: every shape that is known of a server, and the nonsense refused by its place."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from enapter_async import EnapterClient, InvalidBodyError, NotFoundError, PollFailed, SchemaError, WatchEvent
from enapter_async.models.communication import MqttProtocol
from enapter_async.models.rule_engine import RuleEngineState
from enapter_async.models.rules import RuntimeVersion
from tests.recorder import Recorder
from tests.service_calls import LUA, LUA_BASE64, ZIP

pytestmark = pytest.mark.anyio

SECRET = "s3cr3t"


def answer(recorder: Recorder, body: Any) -> None:
    recorder.answer = body if isinstance(body, bytes) else json.dumps(body).encode()


# -- blueprints ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"blueprint": {"id": "B", "created_at": "2026-01-20T08:15:30.010827Z"}},
        {"id": "B", "created_at": "2026-01-20T08:15:30.010827Z"},
        {"blueprint_id": "B", "created_at": "2026-01-20T08:15:30.010827Z"},
    ],
)
async def test_an_upload_is_answered_in_three_shapes(body: Any, recorder: Recorder, client: EnapterClient) -> None:
    answer(recorder, body)
    blueprint = await client.blueprints.upload(ZIP)
    assert blueprint.id == "B"
    assert blueprint.created_at == datetime(2026, 1, 20, 8, 15, 30, 10827, tzinfo=UTC)


async def test_an_upload_without_an_id_is_a_schema_error(recorder: Recorder, client: EnapterClient) -> None:
    answer(recorder, {"created_at": "2026-01-20T08:15:30Z"})
    with pytest.raises(SchemaError, match="id"):
        await client.blueprints.upload(ZIP)


@pytest.mark.parametrize("body", [{}, {"validation_errors": []}, {"validation_errors": None}])
async def test_a_blueprint_that_is_right(body: Any, recorder: Recorder, client: EnapterClient) -> None:
    answer(recorder, body)
    result = await client.blueprints.validate(ZIP)
    assert result.is_valid
    assert result.errors == ()


async def test_a_blueprint_that_is_wrong_is_a_result(recorder: Recorder, client: EnapterClient) -> None:
    answer(recorder, {"validation_errors": ["missed file manifest.yml", "no firmware"]})
    result = await client.blueprints.validate(ZIP)
    assert not result.is_valid
    assert result.errors == ("missed file manifest.yml", "no firmware")
    answer(recorder, {"validation_errors": [5]})
    with pytest.raises(SchemaError, match=r"errors\[0\]"):
        await client.blueprints.validate(ZIP)


async def test_device_profiles_of_older_servers(recorder: Recorder, client: EnapterClient) -> None:
    recorder.answers_with((404, b"{}"), (200, ZIP))
    assert await client.blueprints.download_device_profiles() == ZIP
    recorder.answers_with((404, b"{}"), (404, b"{}"))
    with pytest.raises(NotFoundError, match="download_device_profiles"):
        await client.blueprints.download_device_profiles()
    assert len(recorder.received) == 4


# -- rules -----------------------------------------------------------------------------------------------------


def rule(code: str = LUA_BASE64, **script: Any) -> dict[str, Any]:
    return {"id": "R", "slug": "night-charge", "script": {"code": code, "runtime_version": "V3", **script}}


async def test_code_is_text_on_our_side(recorder: Recorder, client: EnapterClient) -> None:
    answer(recorder, {"rule": rule(runtime_version="V1", exec_interval="1m30s")})
    script = (await client.rules.get("R")).script
    assert script is not None
    assert script.code == LUA
    assert script.runtime_version is RuntimeVersion.V1
    assert script.exec_interval is not None
    assert script.exec_interval.total_seconds() == 90
    answer(recorder, {"rule": rule()})
    await client.rules.update_script("R", script=script)
    assert json.loads(recorder.received[-1].body)["script"]["code"] == LUA_BASE64


@pytest.mark.parametrize("code", ["not base64!", "YWJ", base64.b64encode(b"\xff\xfe").decode(), 5, None])
async def test_code_that_is_none_is_refused_by_its_place(code: Any, recorder: Recorder, client: EnapterClient) -> None:
    answer(recorder, {"rule": rule(code)})
    with pytest.raises(SchemaError) as caught:
        await client.rules.get("R")
    assert caught.value.path == "rule.script.code"
    assert "rules.get (GET v3/site/rule_engine/rules/R): rule.script.code: " in str(caught.value)
    answer(recorder, {"rules": [rule(), rule(code)], "total_count": 2})
    with pytest.raises(SchemaError) as caught:
        await client.rules.list().collect()
    assert caught.value.path == "rules[1].script.code"


def legacy(count: int) -> dict[str, Any]:
    return {"rules": [{"id": f"R{number}", "slug": f"r{number}"} for number in range(count)]}


@pytest.mark.parametrize("total", [{}, {"total_count": 0}])
async def test_a_legacy_engine_is_asked_once_and_without_a_query(
    total: dict[str, int], recorder: Recorder, client: EnapterClient
) -> None:
    answer(recorder, legacy(120) | total)
    assert len(await client.rules.list().collect()) == 120
    assert [one.id async for one in client.rules.list("S", offset=118, page_size=1, concurrency=1)] == ["R118", "R119"]
    assert len(await client.rules.list(max_items=7).collect()) == 7
    first = await client.rules.list().first()
    assert first is not None
    assert first.id == "R0"
    assert [received.target for received in recorder.received] == [
        "GET v3/site/rule_engine/rules",
        "GET v3/sites/S/rule_engine/rules",
        "GET v3/site/rule_engine/rules",
        "GET v3/site/rule_engine/rules",
    ]


async def test_a_modern_engine_is_asked_for_pages_after_the_first(recorder: Recorder, client: EnapterClient) -> None:
    rules = legacy(60)["rules"]
    for page in (rules[:50], rules[50:]):
        recorder.answers_with((200, json.dumps({"rules": page, "total_count": 60}).encode()))
    assert len(await client.rules.list().collect()) == 60
    assert [received.target for received in recorder.received] == [
        "GET v3/site/rule_engine/rules",
        "GET v3/site/rule_engine/rules?limit=50&offset=50",
    ]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"rules": []}', b"done"])
async def test_what_is_said_of_many_rules_means_nothing(body: bytes, recorder: Recorder, client: EnapterClient) -> None:
    answer(recorder, body)
    assert await client.rules.enable_many(["R"]) is None  # type: ignore[func-returns-value]
    assert await client.rules.delete("R") is None  # type: ignore[func-returns-value]


async def test_engine(recorder: Recorder, client: EnapterClient) -> None:
    answer(recorder, {"engine": {"id": "RE", "state": "suspended", "timezone": "Europe/Lisbon"}})
    engine = await client.rule_engine.suspend()
    assert (engine.state, engine.timezone) == (RuleEngineState.SUSPENDED, "Europe/Lisbon")


# -- devices, configuration, provisioning ----------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{}", b'{"device": null}', b"[]"])
async def test_a_device_that_is_not_told_is_asked_for(body: bytes, recorder: Recorder, client: EnapterClient) -> None:
    recorder.answers_with((200, body), (200, b'{"device": {"id": "D", "blueprint_id": "B"}}'))
    assert (await client.devices.assign_blueprint("D", "B", site_id="S")).blueprint_id == "B"
    assert [received.target for received in recorder.received] == [
        "POST v3/sites/S/devices/D/assign_blueprint",
        "GET v3/sites/S/devices/D",
    ]
    recorder.answers_with((200, body))
    response = await client.raw.devices.assign_blueprint("D", "B")
    assert (response.status, response.value) == (200, None)


async def test_values_of_a_configuration_are_as_they_come(recorder: Recorder, client: EnapterClient) -> None:
    values = {"uri": "port://rs485", "unit_id": 3, "none": None, "list": ["a"], "nested": {"a": [1.5, True]}}
    answer(recorder, {"configuration": values})
    assert await client.configuration.get("D", "modbus") == values
    answer(recorder, {})
    with pytest.raises(SchemaError, match="configuration"):
        await client.configuration.get("D", "modbus")


async def test_properties_may_be_missing(recorder: Recorder, client: EnapterClient) -> None:
    answer(recorder, {})
    assert await client.properties.get("D") == {}
    answer(recorder, {"properties": ["a"]})
    with pytest.raises(SchemaError, match="properties"):
        await client.properties.get("D")


@pytest.mark.parametrize("inside", [True, False])
async def test_secrets_are_there_and_never_shown(inside: bool, recorder: Recorder, client: EnapterClient) -> None:
    credentials = {"private_key": SECRET, "certificate": SECRET, "ca_chain": SECRET, "new_secret": SECRET}
    config: dict[str, Any] = {"mqtt_host": "mqtt.example.net", "mqtt_port": "8883", "token": SECRET}
    if inside:
        config["mqtt_credentials"] = {**credentials, "protocol": "mqtts"}
    else:
        config |= {"mqtt_credentials": credentials, "mqtt_protocol": "MQTTS"}
    answer(recorder, {"config": config, "device_id": "D", "slug": "d", "secret": SECRET})
    provisioned = await client.provisioning.ucm(name="N", hardware_id="A1")
    generated = await client.devices.generate_communication_config("D", protocol="MQTTS")
    assert (provisioned.device_id, provisioned.slug, provisioned.config) == ("D", "d", generated)
    assert (generated.mqtt_port, generated.mqtt_protocol) == (8883, MqttProtocol.MQTTS)
    assert generated.mqtt_credentials is not None
    assert generated.mqtt_credentials.private_key == SECRET
    assert SECRET not in f"{provisioned!r} {generated!r} {generated.mqtt_credentials!r} {provisioned} {generated}"


async def test_a_terminal_never_shows_its_token(recorder: Recorder, client: EnapterClient) -> None:
    answer(recorder, {"channel_id": "ch", "token": SECRET, "websocket_url": f"wss://x/?t={SECRET}", "more": SECRET})
    terminal = await client.devices.run_terminal("D")
    assert terminal.token == SECRET
    assert SECRET not in repr(terminal)
    answer(recorder, {"channel_id": "ch", "token": [SECRET], "websocket_url": ""})
    with pytest.raises(SchemaError) as caught:
        await client.devices.run_terminal("D")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("start", ["", "\n  ", "\ufeff", "["])
async def test_a_body_that_is_no_whole_json_is_not_quoted(
    start: str, recorder: Recorder, client: EnapterClient
) -> None:
    """What is secret in it cannot be told from the rest."""
    answer(recorder, f'{start}{{"token": "{SECRET}", "channel_id"'.encode())
    with pytest.raises(InvalidBodyError, match="JSON") as caught:
        await client.devices.run_terminal("D")
    assert SECRET not in f"{caught.value} {caught.value!r} {caught.value.args}"


async def test_a_list_without_items_may_be_null(recorder: Recorder, client: EnapterClient) -> None:
    """So it is written by servers whose language has lists that are nil."""
    answer(recorder, {"devices": None, "total_count": 0})
    assert await client.devices.list().collect() == []
    assert await client.devices.list().first() is None
    recorder.answers_with((200, json.dumps({"logs": [{"message": "m"}]}).encode()), (200, b'{"logs": null}'))
    assert [record.message for record in await client.logs.list("D").collect()] == ["m"]
    answer(recorder, {"total_count": 0})
    with pytest.raises(SchemaError, match="devices: is missing"):
        await client.devices.list().collect()


async def test_a_device_or_an_attribute_without_points_may_be_null(recorder: Recorder, client: EnapterClient) -> None:
    """One of a thousand must not cost the others their values."""
    answer(recorder, {"telemetry": {"A": None, "B": {"power": None, "voltage": {"value": 5, "timestamp": 0}}}})
    latest = await client.telemetry.latest({"A": ["power"], "B": ["power", "voltage"], "C": ["power"]})
    assert (latest["A"], list(latest["B"]), latest["C"]) == ({}, ["voltage"], {})
    answer(recorder, {"telemetry": {"power": None}})
    assert await client.telemetry.latest_for_device("A", attributes=["power"]) == {}


POINT = {"value": 4.5, "timestamp": 1773482400}


@pytest.mark.parametrize(
    "old", [{"A": {"power": POINT}}, {"A": {}}, {"A": None}, {"power": POINT}, {"power": 4.5}, {"A": {"power": 4.5}}]
)
async def test_latest_values_without_their_envelope_are_refused(
    recorder: Recorder, client: EnapterClient, old: object
) -> None:
    """So older servers answer; an empty answer would say that there are no values."""
    answer(recorder, old)
    with pytest.raises(SchemaError, match="telemetry: is missing"):
        await client.telemetry.latest({"A": ["power"]})
    with pytest.raises(SchemaError, match="telemetry: is missing"):
        await client.telemetry.latest_for_device("A", attributes=["power"])
    with pytest.raises(SchemaError, match="properties: is missing"):
        await client.properties.get("A")


async def test_an_answer_without_anything_in_it_has_no_values(recorder: Recorder, client: EnapterClient) -> None:
    for nothing in ({}, {"telemetry": None, "properties": None}, {"telemetry": {}, "properties": {}, "more": 1}):
        answer(recorder, nothing)
        assert await client.telemetry.latest({"A": ["power"]}) == {"A": {}}
        assert await client.telemetry.latest_for_device("A") == {}
        assert await client.properties.get("A") == {}


async def test_the_raw_twins_tell_the_facts_of_a_call(recorder: Recorder, client: EnapterClient) -> None:
    answer(recorder, {"execution_id": "E"})
    started = await client.raw.commands.start("D", "stop")
    assert (started.status, started.attempts, started.value) == (200, 1, "E")
    answer(recorder, ZIP)
    assert (await client.raw.blueprints.download("B")).value == ZIP
    assert (await client.raw.blueprints.download_device_profiles()).value == ZIP
    answer(recorder, {"rule": rule()})
    assert (await client.raw.rules.get("R")).value.id == "R"


async def test_a_web_page_is_no_answer(recorder: Recorder, client: EnapterClient) -> None:
    answer(recorder, b"<html>welcome</html>")
    with pytest.raises(InvalidBodyError, match="welcome"):
        await client.commands.get_execution("D", "E")


async def test_a_watch_reports_latest_values_without_their_envelope(recorder: Recorder, client: EnapterClient) -> None:
    answer(recorder, {"D": {"power": {"value": 1, "timestamp": 1}}})
    events: list[WatchEvent] = []

    def finish(event: WatchEvent) -> None:
        events.append(event)
        watch.finish()

    async with client.telemetry.watch({"D": ["power"]}, interval=0.05, on_event=finish) as watch:
        assert [found async for found in watch] == []
    [event] = events
    assert isinstance(event, PollFailed)
    assert isinstance(event.error, SchemaError)
