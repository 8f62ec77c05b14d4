"""Any JSON into any model gives the model or a `SchemaError`, and nothing else."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from enapter_async._protocol.decoding.converter import structure, unstructure
from enapter_async.errors import SchemaError
from enapter_async.models.blueprints import Blueprint, BlueprintValidation
from enapter_async.models.commands import CommandExecution, StartedExecution
from enapter_async.models.communication import CommunicationConfig
from enapter_async.models.devices import Device
from enapter_async.models.logs import LogRecord, RuleLogRecord
from enapter_async.models.manifest import Manifest
from enapter_async.models.provisioning import ProvisionedDevice
from enapter_async.models.rule_engine import RuleEngine
from enapter_async.models.rules import Rule, RuleScript
from enapter_async.models.sites import Location, Site
from enapter_async.models.streams import DeviceFrame, TelemetryFrame
from enapter_async.models.telemetry import LatestPoint
from enapter_async.models.terminal import TerminalSession

MODELS: list[type[Any]] = [
    Blueprint,
    BlueprintValidation,
    CommandExecution,
    CommunicationConfig,
    Device,
    DeviceFrame,
    LatestPoint,
    Location,
    LogRecord,
    Manifest,
    ProvisionedDevice,
    Rule,
    RuleEngine,
    RuleLogRecord,
    RuleScript,
    Site,
    StartedExecution,
    TelemetryFrame,
    TerminalSession,
]

# Names that models know, so that values end up in fields.
NAMES = sorted(
    {field.name for model in MODELS for field in attrs.fields(model)}
    | {"status", "log", "blueprint", "blueprint_id", "execution", "communication_info", "latitude", "enum", "type"}
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["ONLINE", "lua", "2026-03-14T09:26:53Z", "2m30s", "w6k=", "8883", "41.5", "id", ""])
)
JSON_VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), inner, max_size=6)
    ),
    max_leaves=20,
)
NEARLY_RIGHT = st.dictionaries(st.sampled_from(NAMES), JSON_VALUES, max_size=8).map(
    lambda fields: {"id": "x", "device_id": "x", "execution_id": "x", **fields}
)


@pytest.fixture(autouse=True)
def _quiet_manifests() -> Iterator[None]:
    logging.getLogger("enapter_async.models.manifest").setLevel(logging.ERROR)
    yield
    logging.getLogger("enapter_async.models.manifest").setLevel(logging.NOTSET)


def attempt(value: Any, type_: type[Any], at: str) -> tuple[Any, SchemaError | None]:
    """Return the model, or the error; any other exception fails the test."""
    try:
        return structure(value, type_, at=at), None
    except SchemaError as error:
        return None, error


@given(model=st.sampled_from(MODELS), value=JSON_VALUES | NEARLY_RIGHT)
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_json_gives_the_model_or_a_schema_error(model: type[Any], value: Any) -> None:
    before = copy.deepcopy(value)
    found, error = attempt(value, model, at="here")
    if error is None:
        assert type(found) is model
        repr(found)
    else:
        assert error.path.startswith("here")
    assert repr(value) == repr(before)  # what was given is left as it is


@given(value=NEARLY_RIGHT)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_list_fails_where_its_item_fails(value: Any) -> None:
    alone, error = attempt(value, Device, at="devices[1]")
    listed, error_in_list = attempt([{"id": "first"}, value], list[Device], at="devices")
    assert str(error_in_list) == str(error)
    assert error is not None or repr(listed[1]) == repr(alone)


@given(value=NEARLY_RIGHT)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_that_came_is_lost(value: Any) -> None:
    """Every field that is not null stands in its attribute or in `extra`."""
    for model in (Site, RuleEngine, Blueprint, ProvisionedDevice, LatestPoint):
        try:
            found = structure(value, model)
        except SchemaError:
            continue
        fields = {field.name for field in attrs.fields(model)} - {"extra"}
        for name, one in value.items():
            if name not in fields:
                assert repr(found.extra[name]) == repr(one)
            elif one is not None:
                assert getattr(found, name) is not None


@given(
    sections=st.dictionaries(
        st.sampled_from(["telemetry", "alerts", "commands", "properties", "configuration"]), JSON_VALUES
    )
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_manifest_can_be_read(sections: dict[str, Any]) -> None:
    manifest = Manifest(sections)
    for section in (
        manifest.telemetry,
        manifest.alerts,
        manifest.commands,
        manifest.properties,
        manifest.configuration,
    ):
        assert all(one.name == name and isinstance(one.display_name, str) for name, one in section.items())
    kept = sum(
        map(len, (manifest.telemetry, manifest.alerts, manifest.commands, manifest.properties, manifest.configuration))
    )
    came = sum(len(one) for one in sections.values() if isinstance(one, dict))
    left_out = sum("left out" in one.message and one.path.count(".") == 1 for one in manifest.problems)
    named_oddly = any("." in name for one in sections.values() if isinstance(one, dict) for name in one)
    assert named_oddly or kept + left_out == came
    assert set(manifest.numeric_telemetry()) <= set(manifest.telemetry)


@given(
    name=st.text(),
    latitude=st.none() | st.floats(-90, 90),
    longitude=st.none() | st.floats(-180, 180),
)
@settings(deadline=None)
def test_a_location_comes_back_as_it_was_sent(name: str, latitude: float | None, longitude: float | None) -> None:
    location = Location(name, latitude=latitude, longitude=longitude)
    assert structure(json.loads(json.dumps(unstructure(location))), Location) == location


@given(code=st.text(), seconds=st.integers(1, 10**6))
@settings(deadline=None)
def test_a_script_comes_back_as_it_was_sent(code: str, seconds: int) -> None:
    assume(not any("\ud800" <= letter <= "\udfff" for letter in code))
    script = RuleScript(code=code, runtime_version="V1", exec_interval=seconds)  # type: ignore[arg-type]
    assert structure(json.loads(json.dumps(unstructure(script))), RuleScript) == script
