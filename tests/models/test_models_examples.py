"""Every example of openapi.yaml becomes models, with nothing left over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from enapter_async._protocol.decoding.converter import structure
from enapter_async.models.blueprints import Blueprint, BlueprintValidation
from enapter_async.models.commands import CommandExecution, StartedExecution
from enapter_async.models.communication import CommunicationConfig
from enapter_async.models.devices import Connectivity, Device
from enapter_async.models.logs import LogRecord
from enapter_async.models.manifest import Manifest
from enapter_async.models.provisioning import ProvisionedDevice
from enapter_async.models.rule_engine import RuleEngine
from enapter_async.models.rules import Rule, RuleScript
from enapter_async.models.sites import Location, Site
from enapter_async.models.telemetry import LatestPoint
from enapter_async.models.terminal import TerminalSession

SPECIFICATION: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[1] / "data" / "openapi.yaml").read_text(encoding="utf-8")
)

TYPES: dict[str, Any] = {
    "Blueprint": Blueprint,
    "BlueprintUploadResult": Blueprint,
    "CommandExecution": CommandExecution,
    "CommunicationConfig": CommunicationConfig,
    "Device": Device,
    "DeviceTelemetry": dict[str, LatestPoint],
    "ExecutionCreated": StartedExecution,
    "Location": Location,
    "LogRecord": LogRecord,
    "Manifest": Manifest,
    "ProvisioningResult": ProvisionedDevice,
    "Rule": Rule,
    "RuleEngine": RuleEngine,
    "RuleScript": RuleScript,
    "Site": Site,
}
WHOLE_ANSWERS: dict[str, Any] = {
    "getConnectivityStatus": Connectivity,
    "runTerminal": TerminalSession,
    "validateBlueprint": BlueprintValidation,
}
# Answers that are plain values by name, which services hand on as they are.
PLAIN = {
    "getDeviceConfiguration",
    "updateDeviceConfiguration",
    "resetDeviceConfiguration",
    "getDeviceProperties",
    "getSiteDeviceProperties",
}


def examples() -> Iterator[Any]:
    """Give (operation, schema, example) of every JSON answer and request body with an example."""
    for operations in SPECIFICATION["paths"].values():
        for operation in operations.values():
            if not isinstance(operation, dict) or "operationId" not in operation:
                continue
            for place in (operation.get("requestBody", {}), *operation["responses"].values()):
                content = place.get("content", {}).get("application/json", {})
                named = {name: one["value"] for name, one in content.get("examples", {}).items()}
                if "example" in content:
                    named["example"] = content["example"]
                for name, example in named.items():
                    yield pytest.param(
                        operation["operationId"],
                        place is operation.get("requestBody"),
                        content["schema"],
                        example,
                        id=f"{operation['operationId']}-{name}",
                    )


def parts(schema: dict[str, Any], value: Any) -> Iterator[tuple[Any, Any]]:
    """Give each part of an example that is a model, with its type."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name in TYPES:
            yield TYPES[name], value
            return
        schema = SPECIFICATION["components"]["schemas"][name]
    for one in schema.get("allOf", ()):
        yield from parts(one, value)
    if isinstance(value, dict):
        for name, one in value.items():
            inner = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if isinstance(inner, dict):
                yield from parts(inner, one)
    if isinstance(value, list) and "items" in schema:
        for one in value:
            yield from parts(schema["items"], one)


def left_over(model: Any) -> dict[str, Any]:
    """Return what stands in `extra`, of the model and of the models in it."""
    found: dict[str, Any] = {}
    if attrs.has(type(model)):
        found.update(getattr(model, "extra", {}))
        for field in attrs.fields(type(model)):
            found.update(left_over(getattr(model, field.name)))
    if isinstance(model, dict) and all(attrs.has(type(one)) for one in model.values()):
        for one in model.values():
            found.update(left_over(one))
    if isinstance(model, tuple):
        for one in model:
            found.update(left_over(one))
    return found


@pytest.mark.parametrize(("operation", "is_request", "schema", "example"), list(examples()))
def test_an_example_becomes_models(operation: str, is_request: bool, schema: dict[str, Any], example: Any) -> None:
    found = [(WHOLE_ANSWERS[operation], example)] if operation in WHOLE_ANSWERS else list(parts(schema, example))
    assert found or is_request or operation in PLAIN
    for type_, value in found:
        model = structure(value, type_)
        assert left_over(model) == {}
        if isinstance(model, Manifest):
            assert model.problems == ()


def test_there_are_examples_of_every_model() -> None:
    seen: set[str] = set()
    for parameters in examples():
        _, _, schema, example = parameters.values
        seen.update(str(type_) for type_, _ in parts(schema, example))
    in_others = {RuleScript, Location, CommunicationConfig}
    assert {str(type_) for type_ in TYPES.values()} - seen <= {str(type_) for type_ in in_others}


MODELS_BY_SCHEMA = {
    "Site": Site,
    "Location": Location,
    "Device": Device,
    "CommunicationConfig": CommunicationConfig,
    "CommandExecution": CommandExecution,
    "LogRecord": LogRecord,
    "ProvisioningResult": ProvisionedDevice,
    "Blueprint": Blueprint,
    "Rule": Rule,
    "RuleScript": RuleScript,
    "RuleEngine": RuleEngine,
    "TelemetryValue": LatestPoint,
}


@pytest.mark.parametrize(("schema", "model"), list(MODELS_BY_SCHEMA.items()), ids=list(MODELS_BY_SCHEMA))
def test_a_model_has_every_field_of_its_schema(schema: str, model: type[Any]) -> None:
    documented = set(SPECIFICATION["components"]["schemas"][schema]["properties"])
    assert documented <= {field.name for field in attrs.fields(model)}


ENUMS = {
    "AccessRole": "enapter_async.models.common.AccessRole",
    "DeviceType": "enapter_async.models.devices.DeviceType",
    "ConnectivityStatus": "enapter_async.models.devices.ConnectivityStatus",
    "ExecutionState": "enapter_async.models.commands.ExecutionState",
    "ResponseState": "enapter_async.models.commands.ResponseState",
    "LogSeverity": "enapter_async.models.logs.LogSeverity",
    "MqttProtocol": "enapter_async.models.communication.MqttProtocol",
}


@pytest.mark.parametrize(("schema", "path"), list(ENUMS.items()), ids=list(ENUMS))
def test_an_enum_has_every_value_of_its_schema(schema: str, path: str) -> None:
    module, _, name = path.rpartition(".")
    enum = getattr(__import__(module, fromlist=[name]), name)
    assert {member.value for member in enum} == set(SPECIFICATION["components"]["schemas"][schema]["enum"])
