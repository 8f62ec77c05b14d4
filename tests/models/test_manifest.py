"""The typed sections of a manifest: lazy, tolerant, and open about what is wrong."""

from __future__ import annotations

import copy
import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from enapter_async._protocol.decoding.converter import structure
from enapter_async.models.common import AccessRole
from enapter_async.models.declarations import AlertSeverity, EnumValue, ManifestProblem, ValueType
from enapter_async.models.devices import Device
from enapter_async.models.manifest import Manifest

INVERTER: dict[str, Any] = {
    "blueprint_spec": "device/3.0",
    "display_name": "Inverter",
    "vendor": "sunny",
    "implements": ["energy.solar_inverter"],
    "properties": {"serial_number": {"type": "string", "display_name": "Serial number"}},
    "telemetry": {
        "power": {
            "type": "float",
            "display_name": "Power",
            "unit": "W",
            "auto_scale": ["W", "kW"],
            "implements": "solar_inverter.power",
            "aliases": ["p", "active_power"],
            "access_level": "user",
        },
        "uptime": {"type": "integer", "unit": "s", "access_level": None},
        "status": {
            "type": "string",
            "enum": {"on": {"display_name": "On", "description": "It runs.", "color": "green"}, "off": None},
        },
        "alerts": {"type": "alerts", "display_name": "Alerts"},
    },
    "alerts": {
        "fan_slow": {
            "severity": "warning",
            "display_name": "Fan slow",
            "grace_period": "2m30s",
            "troubleshooting": ["Clean it."],
        }
    },
    "commands": {
        "limit": {
            "group": "power",
            "arguments": {
                "kw": {"type": "float", "required": True, "min": 0, "max": 12.5},
                "mode": {"type": "string", "enum": ["soft", "hard"], "default": "soft"},
            },
            "confirmation": {"severity": "warning", "title": "Sure?"},
            "read_access_level": "OWNER",
        }
    },
    "configuration": {
        "modbus": {
            "display_name": "Modbus",
            "access_level": "INSTALLER",
            "parameters": {"password": {"type": "string", "sensitive": True, "default": 5}},
        }
    },
    "runtime": {"type": "lua"},
}


def manifest(**sections: Any) -> Manifest:
    return Manifest({"display_name": "Odd", **sections})


def test_numeric_telemetry_with_units_is_one_line() -> None:
    device = structure({"id": "d1", "manifest": INVERTER}, Device)
    assert device.manifest is not None
    assert {name: one.unit for name, one in device.manifest.numeric_telemetry().items()} == {
        "power": "W",
        "uptime": "s",
    }


def test_the_sections_are_typed() -> None:
    inverter = Manifest(INVERTER)
    power = inverter.telemetry["power"]
    assert power.type is ValueType.FLOAT
    assert power.is_numeric
    assert power.auto_scale == ("W", "kW")
    assert power.implements == ("solar_inverter.power",)
    assert power.aliases == ("p", "active_power")
    alert = inverter.alerts["fan_slow"]
    assert alert.severity is AlertSeverity.WARNING
    assert alert.grace_period == timedelta(seconds=150)
    assert alert.troubleshooting == ("Clean it.",)
    command = inverter.commands["limit"]
    assert command.arguments["kw"].required
    assert (command.arguments["kw"].min, command.arguments["kw"].max) == (0, 12.5)
    assert command.arguments["mode"].default == "soft"
    assert command.confirmation is not None
    assert command.confirmation.title == "Sure?"
    password = inverter.configuration["modbus"].parameters["password"]
    assert password.sensitive
    assert password.default == 5
    assert inverter.properties["serial_number"].display_name == "Serial number"
    assert inverter.problems == ()


def test_the_head() -> None:
    inverter = Manifest(INVERTER)
    assert inverter.blueprint_spec == "device/3.0"
    assert inverter.display_name == "Inverter"
    assert inverter.vendor == "sunny"
    assert inverter.implements == ("energy.solar_inverter",)
    assert inverter.description is inverter.icon is inverter.category is None
    assert Manifest({"implements": "one", "display_name": 5}).implements == ("one",)
    assert Manifest({"display_name": 5}).display_name is None
    assert inverter.raw is INVERTER


def test_access_levels_and_their_defaults() -> None:
    inverter = Manifest(INVERTER)
    assert inverter.telemetry["power"].access_level is AccessRole.USER
    assert inverter.telemetry["uptime"].access_level is AccessRole.READONLY
    assert inverter.properties["serial_number"].access_level is AccessRole.READONLY
    assert inverter.commands["limit"].access_level is AccessRole.USER
    assert inverter.commands["limit"].read_access_level is AccessRole.OWNER
    assert inverter.configuration["modbus"].access_level is AccessRole.INSTALLER
    assert manifest(configuration={"g": {}}).configuration["g"].access_level is AccessRole.USER


def test_names_fall_back_to_the_key() -> None:
    inverter = Manifest(INVERTER)
    assert inverter.telemetry["uptime"].display_name == "uptime"
    assert inverter.commands["limit"].display_name == "limit"
    assert inverter.commands["limit"].arguments["kw"].display_name == "kw"


def test_an_active_alert_that_is_not_declared_counts_as_an_error() -> None:
    inverter = Manifest(INVERTER)
    assert inverter.alert("fan_slow").display_name == "Fan slow"
    assert inverter.alert("fire").severity is AlertSeverity.ERROR
    assert inverter.alert("fire").display_name == "fire"


@pytest.mark.parametrize(
    ("declaration", "values"),
    [
        ({"type": "string"}, None),
        ({"type": "string", "enum": None}, None),
        ({"type": "string", "enum": []}, ()),
        (
            {"type": "string", "enum": ["on", "off"]},
            (EnumValue(value="on", display_name="on"), EnumValue(value="off", display_name="off")),
        ),
        (
            {"type": "string", "enum": {"on": {"display_name": "On", "color": "green"}, "off": {}}},
            (EnumValue(value="on", display_name="On", color="green"), EnumValue(value="off", display_name="off")),
        ),
        (
            {"type": "integer", "enum": {"1": {"display_name": "One"}, "x": {}}},
            (EnumValue(value=1, display_name="One"), EnumValue(value="x", display_name="x")),
        ),
        ({"type": "float", "enum": {"0.5": {}}}, (EnumValue(value=0.5, display_name="0.5"),)),
        ({"type": "integer", "enum": [1]}, (EnumValue(value=1, display_name="1"),)),
        (
            {"type": "string", "enum": ["on"], "enum_with_metainfo": [{"value": "on", "display_name": "On"}]},
            (EnumValue(value="on", display_name="On"),),
        ),
        (
            {"type": "string", "enum": ["on"], "enum_with_metainfo": []},
            (EnumValue(value="on", display_name="on"),),
        ),
    ],
)
def test_enums_in_their_three_forms(declaration: Any, values: Any) -> None:
    odd = manifest(telemetry={"x": declaration})
    assert odd.telemetry["x"].enum == values
    assert odd.problems == ()


def test_missing_and_null_sections_are_empty() -> None:
    for odd in (
        Manifest({}),
        manifest(telemetry=None, alerts=None, commands=None, properties=None, configuration=None),
    ):
        assert not odd.telemetry
        assert not odd.properties
        assert not odd.alerts
        assert not odd.commands
        assert not odd.configuration
        assert odd.numeric_telemetry() == {}
        assert odd.problems == ()


BROKEN = [
    ({"telemetry": []}, "telemetry", "expected an object"),
    ({"telemetry": {"x": None}}, "telemetry.x", "expected an object; left out"),
    ({"telemetry": {"x": "float"}}, "telemetry.x", "expected an object; left out"),
    ({"telemetry": {"x": {}}}, "telemetry.x.type", "is missing"),
    ({"telemetry": {"x": {"type": 5}}}, "telemetry.x.type", "expected text"),
    ({"telemetry": {"x": {"type": "float", "unit": 5}}}, "telemetry.x.unit", "expected text"),
    ({"telemetry": {"x": {"type": "float", "enum": 5}}}, "telemetry.x.enum", "expected an array or an object"),
    (
        {"telemetry": {"x": {"type": "float", "enum": [[1]]}}},
        "telemetry.x.enum[0]",
        "expected text or a number; left out",
    ),
    ({"telemetry": {"x": {"type": "float", "enum": {"a": 5}}}}, "telemetry.x.enum.a", "expected an object"),
    (
        {"telemetry": {"x": {"type": "float", "enum_with_metainfo": 5}}},
        "telemetry.x.enum_with_metainfo",
        "expected an array",
    ),
    ({"telemetry": {"x": {"type": "float", "aliases": 5}}}, "telemetry.x.aliases", "expected text or an array of text"),
    (
        {"telemetry": {"x": {"type": "float", "aliases": [5]}}},
        "telemetry.x.aliases",
        "expected an array of text only",
    ),
    ({"properties": {"x": {"type": "json", "access_level": 5}}}, "properties.x.access_level", "expected text"),
    ({"alerts": {"x": {}}}, "alerts.x.severity", "is missing"),
    (
        {"alerts": {"x": {"severity": "info", "grace_period": "soon"}}},
        "alerts.x.grace_period",
        "expected a duration such as 2m30s",
    ),
    ({"alerts": {"x": {"severity": "info", "grace_period": 5}}}, "alerts.x.grace_period", "expected text"),
    ({"commands": {"x": {"arguments": []}}}, "commands.x.arguments", "expected an object"),
    ({"commands": {"x": {"arguments": {"y": 5}}}}, "commands.x.arguments.y", "expected an object; left out"),
    (
        {"commands": {"x": {"arguments": {"y": {"type": "float", "min": "0"}}}}},
        "commands.x.arguments.y.min",
        "expected a number",
    ),
    (
        {"commands": {"x": {"arguments": {"y": {"type": "float", "required": "yes"}}}}},
        "commands.x.arguments.y.required",
        "expected a boolean",
    ),
    ({"commands": {"x": {"confirmation": {"title": 5}}}}, "commands.x.confirmation.title", "expected text"),
    ({"configuration": {"x": {"parameters": 5}}}, "configuration.x.parameters", "expected an object"),
]


@pytest.mark.parametrize(("sections", "path", "message"), BROKEN)
def test_a_broken_declaration_breaks_nothing_and_is_told(
    sections: dict[str, Any], path: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    device = structure({"id": "d1", "manifest": {"display_name": "Odd", **sections}}, Device)
    assert device.manifest is not None
    with caplog.at_level(logging.WARNING):
        problems = device.manifest.problems
        assert device.manifest.problems == problems
    assert problems == (ManifestProblem(path, message),)
    assert [record.getMessage() for record in caplog.records] == [f"manifest 'Odd': {path}: {message}"]


def test_a_broken_field_costs_only_itself() -> None:
    odd = manifest(telemetry={"x": {"type": "float", "unit": 5, "display_name": "X"}, "y": {"type": "integer"}})
    assert set(odd.numeric_telemetry()) == {"x", "y"}
    assert odd.telemetry["x"].display_name == "X"
    assert odd.telemetry["x"].unit is None
    assert odd.raw["telemetry"]["x"]["unit"] == 5  # type: ignore[call-overload,index]


def test_types_that_are_not_known_are_kept_and_not_numeric() -> None:
    odd = manifest(telemetry={"x": {"type": "quaternion"}, "y": {"type": "FLOAT"}})
    assert odd.telemetry["x"].type == "quaternion"
    assert set(odd.numeric_telemetry()) == {"y"}
    assert odd.problems == ()


def test_fields_that_are_not_known_are_kept() -> None:
    odd = manifest(commands={"x": {"cost": 5, "confirmation": {"tone": "stern"}}})
    assert odd.commands["x"].extra == {"cost": 5}
    assert odd.commands["x"].confirmation is not None
    assert odd.commands["x"].confirmation.extra == {"tone": "stern"}


def test_sections_are_parsed_once_and_when_asked_for() -> None:
    telemetry = {"x": {"type": "float"}}
    lazy = manifest(telemetry=telemetry)
    telemetry["late"] = {"type": "float"}  # not parsed yet
    assert set(lazy.telemetry) == {"x", "late"}
    assert lazy.telemetry is lazy.telemetry
    with pytest.raises(TypeError):
        lazy.telemetry["z"] = lazy.telemetry["x"]  # type: ignore[index]


def test_a_manifest_is_frozen_and_can_be_compared_copied_and_pickled() -> None:
    inverter = Manifest(INVERTER)
    assert inverter.numeric_telemetry()
    for twin in (pickle.loads(pickle.dumps(inverter)), copy.deepcopy(inverter), copy.copy(inverter)):
        assert twin == inverter
        assert hash(twin) == hash(inverter)
        assert twin.numeric_telemetry() == inverter.numeric_telemetry()
    with pytest.raises(AttributeError):
        inverter.raw = {}  # type: ignore[misc]
    assert repr(inverter) == "Manifest('Inverter')"


def test_threads_may_share_a_manifest() -> None:
    big = manifest(telemetry={f"a{n}": {"type": "float", "unit": "W"} for n in range(200)})
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: big.numeric_telemetry(), range(64)))
    assert all(result == results[0] for result in results)
    assert len(results[0]) == 200
