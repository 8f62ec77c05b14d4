"""What users hold and build: open and ordered enums, outcomes of commands, locations, scripts, hidden secrets."""

from __future__ import annotations

import copy
import importlib
import inspect
import operator
import pickle
import pkgutil
import typing
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

import enapter_async.models
from enapter_async._protocol.decoding.converter import structure
from enapter_async.errors import CommandFailedError, ExecutionPendingError, InvalidArgumentError
from enapter_async.models.commands import CommandExecution, CommandRequest, ExecutionState
from enapter_async.models.common import UNSET, AccessRole, OpenEnum
from enapter_async.models.communication import CommunicationConfig, MqttCredentials
from enapter_async.models.declarations import AlertSeverity, ValueType
from enapter_async.models.devices import Device, DeviceType
from enapter_async.models.logs import LogSeverity
from enapter_async.models.provisioning import ProvisionedDevice
from enapter_async.models.rules import RuleScript, RuntimeVersion
from enapter_async.models.sites import Location
from enapter_async.models.telemetry import LatestPoint
from enapter_async.models.terminal import TerminalSession


def models_of_answers() -> list[type[Any]]:
    """Return every class that answers are read into: they keep what they do not know in `extra`."""
    modules = [
        importlib.import_module(f"enapter_async.models.{module.name}")
        for module in pkgutil.iter_modules(enapter_async.models.__path__)
    ]
    classes = {one for module in modules for one in vars(module).values() if isinstance(one, type) and attrs.has(one)}
    return sorted((one for one in classes if "extra" in attrs.fields_dict(one)), key=lambda one: one.__name__)


MODELS = models_of_answers()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_models_are_frozen_and_slotted(model: type[Any]) -> None:
    assert model.__setattr__ is not object.__setattr__
    assert model.__base__ is object
    assert "__slots__" in vars(model)
    assert "__dict__" not in dir(model)
    # The converter's writable twin needs the same memory layout (see models.common).
    assert "__weakref__" not in model.__slots__


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_models_are_documented_field_by_field(model: type[Any]) -> None:
    assert model.__doc__
    for field in attrs.fields(model):
        assert f"\n    {field.name}: " in inspect.cleandoc(model.__doc__), field.name


def test_only_identifiers_are_required() -> None:
    required = {
        f"{model.__name__}.{field.name}"
        for model in MODELS
        for field in attrs.fields(model)
        if field.default is attrs.NOTHING
    }
    assert required == {
        "AlertDeclaration.name",
        "ArgumentDeclaration.name",
        "Blueprint.id",
        "CommandDeclaration.name",
        "CommandExecution.id",
        "ConfigurationGroup.name",
        "Device.id",
        "DeviceFrame.device_id",
        "ProvisionedDevice.device_id",
        "Rule.id",
        "RuleEngine.id",
        "RuleScript.code",
        "Site.id",
        "StartedExecution.execution_id",
        "TerminalSession.channel_id",
        "TerminalSession.token",
        "TerminalSession.websocket_url",
        "ValueDeclaration.name",
    }


def test_no_field_is_typed_any_but_json() -> None:
    for model in MODELS:
        for name, hint in typing.get_type_hints(model).items():
            assert hint is not Any or name in ("value", "payload", "default"), (model, name)


# Open enums.


def test_a_known_value_in_any_case_is_its_one_member() -> None:
    assert DeviceType("lua") is DeviceType("LUA") is DeviceType.LUA
    assert DeviceType.LUA == "LUA"
    assert DeviceType.LUA.is_known


def test_an_unknown_value_keeps_its_text() -> None:
    unknown = DeviceType("Quantum")
    assert isinstance(unknown, DeviceType)
    assert not unknown.is_known
    assert unknown == "Quantum" == str(unknown) == unknown.value == f"{unknown}"
    assert unknown == DeviceType("Quantum")
    assert unknown != DeviceType("QUANTUM")
    assert hash(unknown) == hash("Quantum")
    assert repr(unknown) == "<DeviceType 'Quantum'>"
    assert unknown not in list(DeviceType)


@pytest.mark.parametrize("member", [DeviceType.LUA, DeviceType("Quantum"), AccessRole.OWNER, ExecutionState("PAUSED")])
def test_members_survive_pickling_and_copying(member: OpenEnum) -> None:
    for twin in (pickle.loads(pickle.dumps(member)), copy.copy(member), copy.deepcopy(member)):
        assert twin == member
        assert type(twin) is type(member)
        assert twin.is_known == member.is_known


@pytest.mark.parametrize("value", [None, 5, ["LUA"], b"LUA"])
def test_only_text_can_be_a_member(value: object) -> None:
    with pytest.raises(ValueError, match="is not a valid DeviceType"):
        DeviceType(value)


# Roles and other orders.


def test_roles_are_ordered_lowest_first() -> None:
    assert list(AccessRole) == sorted(AccessRole)
    assert AccessRole.READONLY < AccessRole.USER < AccessRole.OWNER < AccessRole.INSTALLER
    assert AccessRole.INSTALLER < AccessRole.VENDOR < AccessRole.SYSTEM
    assert AccessRole.OWNER >= AccessRole.OWNER
    assert not AccessRole.USER > AccessRole.OWNER
    assert max(AccessRole.USER, AccessRole.OWNER) is AccessRole.OWNER


def test_roles_compare_with_their_text() -> None:
    assert AccessRole.INSTALLER >= "owner"
    assert operator.lt("USER", AccessRole.OWNER)
    assert AccessRole.OWNER == "OWNER"


def test_both_spellings_of_the_lowest_role() -> None:
    assert AccessRole("READ_ONLY") is AccessRole("readonly") is AccessRole.READONLY


@pytest.mark.parametrize("other", ["JANITOR", AccessRole("JANITOR"), LogSeverity.ERROR, 5, None])
def test_what_has_no_place_in_the_order_does_not_compare(other: Any) -> None:
    for compare in (operator.lt, operator.le, operator.gt, operator.ge):
        with pytest.raises(TypeError):
            compare(AccessRole.OWNER, other)
        with pytest.raises(TypeError):
            compare(other, AccessRole.OWNER)
    assert other != AccessRole.OWNER


def test_severities_are_ordered_by_what_they_mean_and_not_by_the_alphabet() -> None:
    assert LogSeverity.DEBUG < LogSeverity.INFO < LogSeverity.WARNING < LogSeverity.ERROR
    assert AlertSeverity.INFO < AlertSeverity.WARNING < AlertSeverity.ERROR


def test_numeric_types() -> None:
    assert {type_ for type_ in ValueType if type_.is_numeric} == {ValueType.INTEGER, ValueType.FLOAT}


def test_unset_is_false_and_one() -> None:
    assert not UNSET
    assert repr(UNSET) == "UNSET"
    assert pickle.loads(pickle.dumps(UNSET)) is UNSET


# Commands.


@pytest.mark.parametrize(
    ("state", "is_final"),
    [
        (None, False),
        ("NEW", False),
        ("in_progress", False),
        ("SUCCESS", True),
        ("ERROR", True),
        ("TIMEOUT", True),
        ("UNSYNC", True),
        ("EVAPORATED", True),
    ],
)
def test_final_states(state: str | None, is_final: bool) -> None:
    execution = CommandExecution(id="e1", state=None if state is None else ExecutionState(state))
    assert execution.is_final is is_final


def test_success_gives_the_execution_back() -> None:
    execution = CommandExecution(id="e1", state=ExecutionState.SUCCESS)
    assert execution.raise_for_state() is execution


@pytest.mark.parametrize("state", ["ERROR", "TIMEOUT", "UNSYNC", "EVAPORATED"])
def test_any_other_end_raises_with_the_execution(state: str) -> None:
    execution = CommandExecution(id="e1", state=ExecutionState(state), request=CommandRequest(name="go"))
    with pytest.raises(CommandFailedError, match=f"'go' ended in state {state}") as caught:
        execution.raise_for_state()
    assert caught.value.state == state
    assert caught.value.execution is execution
    assert pickle.loads(pickle.dumps(caught.value)).execution == execution


@pytest.mark.parametrize("state", [None, ExecutionState.NEW, ExecutionState.IN_PROGRESS])
def test_no_end_yet_is_another_error(state: ExecutionState | None) -> None:
    with pytest.raises(ExecutionPendingError, match="has not ended") as caught:
        CommandExecution(id="e1", state=state).raise_for_state()
    assert caught.value.execution_id == "e1"
    assert caught.value.state == state


# What users build.


def test_a_location() -> None:
    location = Location("Porto", latitude=41.15, longitude=-8.61)
    assert (location.name, location.latitude, location.longitude) == ("Porto", 41.15, -8.61)
    assert Location("Pole", latitude=-90, longitude=180).latitude == -90


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("name", 5),
        ("name", None),
        ("latitude", 90.1),
        ("latitude", "41"),
        ("latitude", float("nan")),
        ("latitude", 10**400),
        ("longitude", -181),
        ("longitude", True),
        ("longitude", float("inf")),
    ],
)
def test_a_location_that_cannot_be(argument: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        Location(**{"name": "Porto", argument: value})
    assert caught.value.argument == argument


def test_a_script() -> None:
    script = RuleScript(code="x", runtime_version="v1", exec_interval=90)  # type: ignore[arg-type]
    assert script.runtime_version is RuntimeVersion.V1
    assert script.exec_interval == timedelta(seconds=90)
    assert RuleScript(code="x") == RuleScript(code="x", runtime_version=RuntimeVersion.V3)


@pytest.mark.parametrize(
    ("fields", "argument"),
    [
        ({"code": b"x"}, "code"),
        ({"code": "\ud800"}, "code"),
        ({"runtime_version": 3}, "runtime_version"),
        ({"runtime_version": "V1"}, "exec_interval"),
        ({"runtime_version": "V1", "exec_interval": 0}, "exec_interval"),
        ({"runtime_version": "V1", "exec_interval": -5}, "exec_interval"),
        ({"runtime_version": "V1", "exec_interval": "1m"}, "exec_interval"),
        ({"runtime_version": "V1", "exec_interval": float("nan")}, "exec_interval"),
        ({"runtime_version": "V3", "exec_interval": 60}, "exec_interval"),
    ],
)
def test_a_script_that_cannot_be(fields: dict[str, Any], argument: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        RuleScript(**{"code": "x", **fields})
    assert caught.value.argument == argument


def test_numbers_of_points() -> None:
    now = datetime(2026, 3, 14, tzinfo=UTC)
    assert LatestPoint(5, now).number == 5
    assert LatestPoint(0.5).number == 0.5
    for value in (True, None, "5", [5]):
        assert LatestPoint(value, now).number is None


# Secrets.

SECRET = "hunter2"


@pytest.mark.parametrize(
    "holder",
    [
        MqttCredentials(username=SECRET, password=SECRET, private_key=SECRET, certificate=SECRET, ca_chain=SECRET),
        CommunicationConfig(mqtt_credentials=MqttCredentials(password=SECRET), extra={"new_secret": SECRET}),
        ProvisionedDevice(
            device_id="d1",
            config=CommunicationConfig(mqtt_credentials=MqttCredentials(password=SECRET)),
            extra={"password": SECRET},
        ),
        TerminalSession(channel_id="c", token=SECRET, websocket_url=f"wss://example.net/{SECRET}"),
        structure({"mqtt_credentials": {"password": SECRET, "pin": SECRET}, "pin": SECRET}, CommunicationConfig),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_secrets_stand_in_no_repr(holder: object) -> None:
    assert SECRET not in repr(holder)
    assert SECRET not in str(holder)
    assert SECRET not in f"{[holder]}"


def test_hashes_agree_with_equality_whatever_is_inside() -> None:
    one = Device(id="d1", properties={"a": [1]}, extra={"b": {}})
    assert hash(one) == hash(Device(id="d1", properties={"a": [1]}, extra={"b": {}}))
    assert len({one, Device(id="d1"), Device(id="d2")}) == 3


def test_extra_without_unknown_fields_is_one_empty_dict_that_stays_empty() -> None:
    device = structure({"id": "d1"}, Device)
    assert device.extra == {}
    assert isinstance(device.extra, dict)
    assert device.extra is Device(id="d2").extra
    assert pickle.loads(pickle.dumps(device)).extra is device.extra
    assert copy.deepcopy(device).extra is device.extra
    assert {**device.extra, "a": 1} == {"a": 1}
    for change in (
        lambda: device.extra.__setitem__("a", 1),
        lambda: device.extra.update(a=1),
        lambda: device.extra.setdefault("a", 1),
        lambda: operator.ior(device.extra, {"a": 1}),
    ):
        with pytest.raises(TypeError, match="frozen"):
            change()
    assert device.extra == {}
