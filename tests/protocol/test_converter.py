"""From JSON to models: strict, tolerant where reference.md says so, and with the place of what is wrong."""

from __future__ import annotations

import copy
import enum
import json
import pickle
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from enapter_async._protocol.decoding.converter import structure, structurer, unstructure
from enapter_async.errors import SchemaError
from enapter_async.models.blueprints import Blueprint, BlueprintValidation
from enapter_async.models.commands import CommandExecution, CommandResponse, ExecutionState, StartedExecution
from enapter_async.models.common import AccessRole
from enapter_async.models.communication import CommunicationConfig, MqttProtocol, TimeSyncProtocol
from enapter_async.models.devices import (
    Communication,
    CommunicationType,
    Connectivity,
    ConnectivityStatus,
    Device,
    DeviceType,
)
from enapter_async.models.logs import LogRecord, LogSeverity, RuleLogRecord
from enapter_async.models.manifest import Manifest
from enapter_async.models.rules import Rule, RuleScript, RuntimeVersion
from enapter_async.models.sites import Location, Site
from enapter_async.models.streams import DeviceFrame, TelemetryFrame
from enapter_async.models.telemetry import LatestPoint

DEVICE: dict[str, Any] = {
    "id": "d1",
    "blueprint_id": "b1",
    "name": "Inverter",
    "site_id": "s1",
    "updated_at": "2026-03-14T09:26:53.589793Z",
    "slug": "inverter",
    "type": "LUA",
    "authorized_role": "OWNER",
}
TEN = datetime(2026, 3, 14, 10, tzinfo=UTC)
TEN_SECONDS = 1773482400


def test_a_device_that_is_not_expanded_has_none_there() -> None:
    device = structure(DEVICE, Device)
    assert device == Device(
        id="d1",
        blueprint_id="b1",
        name="Inverter",
        site_id="s1",
        updated_at=datetime(2026, 3, 14, 9, 26, 53, 589793, tzinfo=UTC),
        slug="inverter",
        type=DeviceType.LUA,
        authorized_role=AccessRole.OWNER,
    )
    assert device.site is device.manifest is device.properties is device.connectivity is None
    assert device.communication is device.raised_alert_names is None
    assert device.extra == {}


def test_what_was_read_is_frozen_hashable_comparable_and_picklable() -> None:
    device = structure({**DEVICE, "properties": {"a": []}, "manifest": {"x": {}}, "new": 1}, Device)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        device.name = "other"  # type: ignore[misc]
    assert type(device) is Device
    assert pickle.loads(pickle.dumps(device)) == device
    assert copy.deepcopy(device) == device
    assert hash(device) == hash(pickle.loads(pickle.dumps(device)))
    assert attrs.evolve(device, name="other").name == "other"


def test_only_the_identifier_is_required() -> None:
    assert structure({"id": "d1"}, Device) == Device(id="d1")
    with pytest.raises(SchemaError, match=r"^id: is missing$"):
        structure({"name": "Inverter"}, Device)
    with pytest.raises(SchemaError, match=r"^id: expected text, got null$"):
        structure({"id": None}, Device)


def test_null_counts_as_absent_everywhere_else() -> None:
    nulls = {field.name: None for field in attrs.fields(Device) if field.name not in ("id", "extra")}
    assert structure({"id": "d1", **nulls}, Device) == Device(id="d1")
    assert structure({"id": "e1", "request": {"arguments": None}}, CommandExecution).request is not None


def test_unknown_fields_are_kept() -> None:
    device = structure({**DEVICE, "colour": {"r": 1}, "slug": None}, Device)
    assert device.extra == {"colour": {"r": 1}}
    assert structure({"extra": 5, "id": "s1"}, Site).extra == {"extra": 5}


def test_unknown_enum_values_keep_their_text() -> None:
    device = structure({**DEVICE, "type": "QUANTUM", "authorized_role": "owner"}, Device)
    assert device.type == "QUANTUM"
    assert isinstance(device.type, DeviceType)
    assert not device.type.is_known
    assert device.authorized_role is AccessRole.OWNER


WRONG_DEVICES = [
    ({"id": 5}, "id", "text, got a number"),
    ({"name": 5}, "name", "text, got a number"),
    ({"slug": True}, "slug", "text, got a boolean"),
    ({"type": ["LUA"]}, "type", "text, got an array"),
    ({"type": {"LUA": 1}}, "type", "text, got an object"),
    ({"type": 1}, "type", "text, got a number"),
    ({"site_id": 0}, "site_id", "text, got a number"),
    ({"updated_at": "yesterday"}, "updated_at", "a time"),
    ({"updated_at": False}, "updated_at", "a time"),
    ({"updated_at": {}}, "updated_at", "a time"),
    ({"properties": []}, "properties", "an object, got an array"),
    ({"manifest": "text"}, "manifest", "an object, got text"),
    ({"site": []}, "site", "an object, got an array"),
    ({"site": {"id": 1}}, "site.id", "text, got a number"),
    ({"site": {}}, "site.id", "is missing"),
    ({"site": {"id": "s", "archived": "false"}}, "site.archived", "a boolean, got text"),
    ({"site": {"id": "s", "archived": 0}}, "site.archived", "a boolean, got a number"),
    ({"site": {"id": "s", "location": 1}}, "site.location", "an object, got a number"),
    ({"site": {"id": "s", "location": {"latitude": "north"}}}, "site.location.latitude", "a number"),
    ({"site": {"id": "s", "location": {"latitude": True}}}, "site.location.latitude", "a number"),
    ({"site": {"id": "s", "location": {"longitude": float("nan")}}}, "site.location.longitude", "finite"),
    ({"site": {"id": "s", "location": {"longitude": 10**400}}}, "site.location.longitude", "finite"),
    ({"connectivity": 1}, "connectivity", "an object, got a number"),
    ({"connectivity": {"status": 1}}, "connectivity.status", "text, got a number"),
    ({"communication": "UCM_LUA"}, "communication", "an object, got text"),
    ({"communication": {"upstream_id": 1}}, "communication.upstream_id", "text, got a number"),
    ({"raised_alert_names": "a"}, "raised_alert_names", "an array, got text"),
    ({"raised_alert_names": {"a": 1}}, "raised_alert_names", "an array, got an object"),
    ({"raised_alert_names": ["a", None]}, "raised_alert_names[1]", "text, got null"),
]


@pytest.mark.parametrize(("fields", "path", "message"), WRONG_DEVICES)
def test_a_wrong_type_names_its_place(fields: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        structure([DEVICE, {**DEVICE, **fields}], list[Device], at="devices")
    assert caught.value.path == f"devices[1].{path}"
    assert message in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("value", [None, 1, 1.5, True, "text", {}, "[]"])
def test_a_list_is_an_array_and_nothing_else(value: Any) -> None:
    with pytest.raises(SchemaError, match=r"^devices: expected an array, got "):
        structure(value, list[Device], at="devices")


@pytest.mark.parametrize("value", [None, 1, 1.5, True, "text", [], [["id", "d1"]]])
def test_a_model_is_an_object_and_nothing_else(value: Any) -> None:
    with pytest.raises(SchemaError, match=r"^device: expected an object, got ") as caught:
        structure(value, Device, at="device")
    assert caught.value.path == "device"


def test_without_a_place_the_path_begins_inside() -> None:
    with pytest.raises(SchemaError) as caught:
        structure({"id": "s1", "name": 1}, Site)
    assert caught.value.path == "name"
    with pytest.raises(SchemaError) as caught:
        structure([1], list[str])
    assert caught.value.path == "[0]"


def test_keys_in_a_path_are_quoted_where_they_are_no_names_and_cut_where_they_are_long() -> None:
    with pytest.raises(SchemaError) as caught:
        structure({"7b1e-4c": {"power": 5}}, dict[str, dict[str, LatestPoint]], at="telemetry")
    assert caught.value.path == "telemetry['7b1e-4c'].power"
    with pytest.raises(SchemaError) as caught:
        structure({"x" * 1000: 5}, dict[str, str])
    assert len(caught.value.path) < 100


def test_an_error_never_shows_a_value() -> None:
    secrets = {"mqtt_credentials": {"password": ["hunter2"]}, "hardware_id": {"token": "hunter2"}}
    for wrong in (secrets, {"mqtt_port": "hunter2"}, {"mqtt_credentials": "hunter2"}, {"mqtt_protocol": ["hunter2"]}):
        with pytest.raises(SchemaError) as caught:
            structure(wrong, CommunicationConfig, at="config")
        assert "hunter2" not in repr(caught.value)


# Strict leaves.


@pytest.mark.parametrize(
    ("type_", "value", "result"),
    [
        (str, "", ""),
        (int, 3, 3),
        (int, 3.0, 3),
        (int, 10**30, 10**30),
        (float, 3, 3.0),
        (float, 3.5, 3.5),
        (bool, True, True),
        (list[int], [], []),
        (list[str], ["a"], ["a"]),
        (list[list[int]], [[1], []], [[1], []]),
        (tuple[int, ...], [1, 2], (1, 2)),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (dict[str, Any], {"a": [None]}, {"a": [None]}),
        (list[Any], [1, "a", None], [1, "a", None]),
        (list[str | None], ["a", None], ["a", None]),
        (dict, {"a": 1}, {"a": 1}),
        (list, [{}], [{}]),
        (list[LogSeverity], ["WARNING", "odd"], [LogSeverity.WARNING, "odd"]),
        (DeviceType, "lua", DeviceType.LUA),
        (timedelta, "2m30s", timedelta(seconds=150)),
        (datetime, TEN_SECONDS, TEN),
    ],
)
def test_a_right_type_is_taken(type_: Any, value: Any, result: Any) -> None:
    found = structure(value, type_)
    assert found == result
    assert type(found) is type(result) or isinstance(result, enum.Enum)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (str, None),
        (str, 5),
        (int, True),
        (int, "5"),
        (int, 3.5),
        (int, float("inf")),
        (int, None),
        (float, "3.5"),
        (float, False),
        (float, float("nan")),
        (float, float("-inf")),
        (float, 10**400),
        (bool, 0),
        (bool, "false"),
        (bool, None),
        (list[int], "123"),
        (list[int], {"1": 2}),
        (list[str], ["a", 1]),
        (tuple[int, ...], (1, 2)),
        (dict[str, int], [["a", 1]]),
        (dict[str, int], {"a": "1"}),
        (dict[str, Any], None),
        (timedelta, 5),
        (timedelta, "5"),
        (datetime, "5 o'clock"),
        (DeviceType, None),
        (Manifest, []),
    ],
)
def test_nothing_is_coerced(type_: Any, value: Any) -> None:
    with pytest.raises(SchemaError):
        structure(value, type_)


def test_a_type_without_a_strict_rule_is_refused_when_asked_for() -> None:
    for type_ in (bytes | str | int, str | int, complex, object, set[str]):
        with pytest.raises(TypeError):
            structurer(type_)  # type: ignore[arg-type]


def test_the_function_of_a_type_is_made_once() -> None:
    assert structurer(list[Device], at="devices") is structurer(list[Device], at="devices")
    assert structurer(list[Device]) is not structurer(list[Site])


# The two forms of one thing.


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        ({"status": "ONLINE"}, ConnectivityStatus.ONLINE),
        ({"status": "offline"}, ConnectivityStatus.OFFLINE),
        ({}, ConnectivityStatus.UNKNOWN),
        ({"status": None}, ConnectivityStatus.UNKNOWN),
        ("ONLINE", ConnectivityStatus.ONLINE),
        ("SLEEPING", "SLEEPING"),
    ],
)
def test_connectivity_in_both_forms(wire: Any, status: str) -> None:
    device = structure({"id": "d1", "connectivity": wire}, Device)
    assert device.connectivity == Connectivity(status=status)  # type: ignore[arg-type]


def test_empty_identifiers_of_unassigned_devices_are_none() -> None:
    device = structure({**DEVICE, "site_id": "", "blueprint_id": ""}, Device)
    assert device.site_id is device.blueprint_id is None
    assert structure({"upstream_id": ""}, Communication).upstream_id is None


@pytest.mark.parametrize(
    ("wire", "degrees"), [("41.5", 41.5), (41.5, 41.5), (41, 41.0), ("-8", -8.0), (None, None), ("", None)]
)
def test_coordinates_in_both_forms(wire: Any, degrees: float | None) -> None:
    location = structure({"name": "Porto", "latitude": wire, "longitude": wire}, Location)
    assert location.latitude == location.longitude == degrees
    assert degrees is None or type(location.latitude) is float


@pytest.mark.parametrize(("wire", "port"), [(8883, 8883), ("8883", 8883)])
def test_ports_in_both_forms(wire: Any, port: int) -> None:
    config = structure({"mqtt_port": wire, "time_sync_port": wire}, CommunicationConfig)
    assert config.mqtt_port == config.time_sync_port == port


@pytest.mark.parametrize("wire", ["", "ssl", "8883.0", "-1", "888388838883", 8883.5, True, [8883]])
def test_what_is_no_port(wire: Any) -> None:
    with pytest.raises(SchemaError, match="mqtt_port"):
        structure({"mqtt_port": wire}, CommunicationConfig)


def test_the_mqtt_protocol_is_taken_from_where_it_stands() -> None:
    inside = structure({"mqtt_credentials": {"protocol": "MQTTS"}, "time_sync_protocol": "ntp"}, CommunicationConfig)
    beside = structure({"mqtt_protocol": "mqtts", "mqtt_credentials": {"username": "u"}}, CommunicationConfig)
    assert inside.mqtt_protocol is beside.mqtt_protocol is MqttProtocol.MQTTS
    assert inside.time_sync_protocol is TimeSyncProtocol.NTP


def test_names_of_older_servers() -> None:
    device = structure({"id": "d1", "communication_info": {"communication_type": "LINK"}}, Device)
    assert device.communication == Communication(type=CommunicationType.LINK)
    assert device.extra == {}


def test_an_old_name_beside_the_new_one_is_kept_as_unknown() -> None:
    communication = structure({"type": "LINK", "communication_type": "UCM_LUA"}, Communication)
    assert communication.type is CommunicationType.LINK
    assert communication.extra == {"communication_type": "UCM_LUA"}


@pytest.mark.parametrize(
    "wire",
    [
        {"blueprint": {"id": "b1", "created_at": TEN_SECONDS}},
        {"id": "b1", "created_at": "2026-03-14T10:00:00Z"},
        {"blueprint_id": "b1", "created_at": TEN_SECONDS},
        {"blueprint": {"id": "b1", "created_at": "2026-03-14T10:00:00Z"}},
    ],
)
def test_the_answer_to_an_upload_in_its_three_forms(wire: Any) -> None:
    assert structure(wire, Blueprint) == Blueprint(id="b1", created_at=TEN)


def test_a_valid_blueprint_in_both_forms() -> None:
    assert structure({}, BlueprintValidation).is_valid
    assert structure({"validation_errors": []}, BlueprintValidation).is_valid
    assert structure({"validation_errors": None}, BlueprintValidation).is_valid
    invalid = structure({"validation_errors": ["missed file manifest.yml"]}, BlueprintValidation)
    assert not invalid.is_valid
    assert invalid.errors == ("missed file manifest.yml",)


def test_a_started_execution_may_come_whole() -> None:
    whole = structure({"execution": {"id": "e1", "state": "NEW"}}, StartedExecution)
    assert whole.execution_id == structure({"execution_id": "e1"}, StartedExecution).execution_id == "e1"
    with pytest.raises(SchemaError, match="execution_id"):
        structure({"execution": {}}, StartedExecution)


def test_an_execution_with_all_its_parts() -> None:
    execution = structure(
        {
            "id": "e1",
            "state": "SUCCESS",
            "created_at": "2026-03-14T10:00:00Z",
            "request": {"name": "go", "arguments": {"x": 1}, "manifest_name": "go"},
            "response": {"state": "SUCCEEDED", "payload": [1, 2]},
            "log": [{"state": "SUCCEEDED"}, {"state": "STARTED", "received_at": TEN_SECONDS}],
        },
        CommandExecution,
    )
    assert execution.state is ExecutionState.SUCCESS
    assert execution.response is not None
    assert execution.response.payload == [1, 2]  # free-form
    assert execution.log is not None
    assert execution.log[1] == CommandResponse(state="STARTED", received_at=TEN)  # type: ignore[arg-type]


def test_a_rule_script_is_text_for_the_user() -> None:
    code = 'enapter.log("Здравствуй")'
    body = unstructure(RuleScript(code=code, runtime_version=RuntimeVersion.V1, exec_interval=60))
    assert body["exec_interval"] == "1m"
    assert json.loads(json.dumps(body))["code"].isascii()
    rule = structure({"id": "r1", "script": body}, Rule)
    assert rule.script == RuleScript(code=code, runtime_version=RuntimeVersion.V1, exec_interval=timedelta(minutes=1))


@pytest.mark.parametrize("code", ["not base64!", "w6k", "/w==", "w6k=\n", 5, None])
def test_a_script_that_is_not_utf8_in_base64(code: Any) -> None:
    with pytest.raises(SchemaError) as caught:
        structure([{"id": "r1", "script": {"code": code}}], list[Rule], at="rules")
    assert caught.value.path == "rules[0].script.code"


def test_a_script_of_a_first_party_client_can_be_changed_and_sent_back() -> None:
    script = structure({"code": "", "runtime_version": "V3", "exec_interval": "0s"}, RuleScript)
    assert unstructure(attrs.evolve(script, code="x")) == {"code": "eA==", "runtime_version": "V3"}


def test_what_is_not_set_in_a_location_is_not_sent() -> None:
    assert unstructure(Location("Porto")) == {"name": "Porto"}
    assert unstructure(Location("Null Island", latitude=0, longitude=0.0)) == {
        "name": "Null Island",
        "latitude": 0,
        "longitude": 0.0,
    }


# Telemetry, logs and streams.


def test_latest_points() -> None:
    wire = {
        "d1": {
            "power": {"value": 4210.5, "timestamp": TEN_SECONDS},
            "alerts": {"value": ["a"], "timestamp": TEN_SECONDS},
            "odd": {"value": None, "timestamp": TEN_SECONDS},
            "none": {"warning": "Telemetry attribute is not found."},
        },
        "d2": {},
    }
    points = structure(wire, dict[str, dict[str, LatestPoint]], at="telemetry")
    assert points == {
        "d1": {
            "power": LatestPoint(4210.5, TEN),
            "alerts": LatestPoint(["a"], TEN),
            "odd": LatestPoint(None, TEN),
            "none": LatestPoint(warning="Telemetry attribute is not found."),
        },
        "d2": {},
    }
    assert points["d1"]["power"].number == 4210.5
    assert points["d1"]["alerts"].number is None


@pytest.mark.parametrize(
    "wire",
    [
        {
            "timestamp": TEN_SECONDS,
            "received_at": "2026-03-14T10:00:00Z",
            "log": {"severity": "warning", "message": "m"},
        },
        {"timestamp": TEN_SECONDS, "received_at": "2026-03-14T10:00:00Z", "severity": "warning", "message": "m"},
        {"timestamp": str(TEN_SECONDS), "received_at": TEN_SECONDS, "severity": "WARNING", "message": "m"},
    ],
)
def test_a_log_frame_in_every_form(wire: Any) -> None:
    assert structure(wire, LogRecord) == LogRecord(
        timestamp=TEN, received_at=TEN, severity=LogSeverity.WARNING, message="m"
    )


def test_a_log_frame_whose_log_is_nonsense() -> None:
    with pytest.raises(SchemaError, match="log"):
        structure({"log": 5}, LogRecord)
    with pytest.raises(SchemaError, match="message"):
        structure({"log": {"message": 5}}, LogRecord)


def test_a_rule_log_frame() -> None:
    record = structure({"timestamp": TEN_SECONDS, "severity": "info", "message": "m"}, RuleLogRecord)
    assert record == RuleLogRecord(timestamp=TEN, severity=LogSeverity.INFO, message="m")


def test_frames_of_the_device_stream() -> None:
    place = {"device_id": "d1", "received_at": "2026-03-14T10:00:00Z", "timestamp": TEN_SECONDS}
    telemetry = structure({**place, "telemetry": {"power": 1.5}}, DeviceFrame)
    assert telemetry == DeviceFrame(device_id="d1", received_at=TEN, timestamp=TEN, telemetry={"power": 1.5})
    properties = structure({**place, "properties": {"serial": "x"}}, DeviceFrame)
    assert properties.properties == {"serial": "x"}
    log = structure({**place, "log": {"severity": "error", "message": "m"}}, DeviceFrame)
    assert log.log == LogRecord(device_id="d1", received_at=TEN, timestamp=TEN, severity=LogSeverity.ERROR, message="m")
    news = structure({**place, "weather": {"sun": True}}, DeviceFrame)
    assert news.extra == {"weather": {"sun": True}}
    with pytest.raises(SchemaError, match="device_id"):
        structure({"telemetry": {}}, DeviceFrame)


def test_frames_of_the_telemetry_stream_with_and_without_an_envelope() -> None:
    wrapped = structure({"device_id": "d1", "timestamp": TEN_SECONDS, "telemetry": {"power": 1.5}}, TelemetryFrame)
    assert wrapped == TelemetryFrame(device_id="d1", timestamp=TEN, telemetry={"power": 1.5})
    bare = structure({"timestamp": TEN_SECONDS, "power": 1.5, "status": "on"}, TelemetryFrame)
    assert bare == TelemetryFrame(timestamp=TEN, telemetry={"power": 1.5, "status": "on"})
    assert structure({}, TelemetryFrame) == TelemetryFrame()


# Shared sites.


def test_devices_of_a_list_share_their_site() -> None:
    site = {"id": "s1", "name": "Harbour", "location": {"name": "Porto"}}
    devices = structure([{"id": str(n), "site": copy.deepcopy(site)} for n in range(3)], list[Device])
    assert devices[0].site is devices[1].site is devices[2].site
    assert devices[0].site == structure(site, Site)


def test_objects_of_different_classes_are_not_shared_however_equal() -> None:
    same = {"id": "ONLINE", "status": "ONLINE"}
    devices = structure([{"id": "d1", "site": same, "connectivity": same}] * 2, list[Device])
    assert devices[1].site == Site(id="ONLINE", extra={"status": "ONLINE"})
    assert devices[1].connectivity == Connectivity(status=ConnectivityStatus.ONLINE, extra={"id": "ONLINE"})


def test_sites_that_differ_are_not_shared() -> None:
    sites = [{"id": "s1", "name": "a"}, {"id": "s1", "name": "b"}, {"id": "s2", "name": "a"}, {"id": "s1", "name": "a"}]
    assert [(site.id, site.name) for site in structure(sites, list[Site])] == [
        ("s1", "a"),
        ("s1", "b"),
        ("s2", "a"),
        ("s1", "a"),
    ]
    first, second = structure([sites[0]], list[Site])[0], structure([sites[0]], list[Site])[0]
    assert first is not second  # nothing is remembered from one answer to the next


# Depth.


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize("levels", [100, 50_000])
def test_free_form_json_of_any_depth_is_not_walked(levels: int) -> None:
    bomb = deep(levels)
    device = structure({"id": "d1", "properties": bomb, "manifest": bomb, "new": bomb}, Device)
    assert device.extra["new"] is bomb
    for field in ("id", "type", "site", "connectivity", "raised_alert_names", "updated_at"):
        with pytest.raises(SchemaError):
            structure([{"id": "d1", field: [bomb]}], list[Device])
    site = {"id": "s1", "new": bomb}
    twin = {"id": "s1", "new": deep(levels)}
    assert len(structure([{"id": "d1", "site": site}, {"id": "d2", "site": twin}], list[Device])) == 2
    _take_apart(bomb)
    _take_apart(twin["new"])


def _take_apart(value: Any) -> None:
    """Free a deep value level by level: freeing it at once may use up the C stack."""
    while isinstance(value, dict):
        value = value.pop("a").pop()


def test_hooks_are_made_when_first_needed() -> None:
    """Importing the converter makes no hook: that would cost every program the start-up time."""
    import subprocess

    program = (
        "import enapter_async._protocol.decoding.converter as converter\n"
        "import enapter_async._protocol.decoding.model_reader as model_reader\n"
        "made = []\n"
        "original = converter.model_reader\n"
        "converter.model_reader = lambda *a: made.append(a[0].__name__) or original(*a)\n"
        "from enapter_async.models.sites import Site\n"
        "assert made == [] and converter._structurers == {}\n"
        "converter.structure({'id': 's'}, Site)\n"
        "assert made == ['Location', 'Site'], made\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
