"""Helpers to declare manifest entries."""

from __future__ import annotations

from typing import Any

import attrs

Declaration = dict[str, Any]


@attrs.frozen
class Stock:
    """A blueprint that every world has.

    Attributes:
        name: Its name in the blueprint library, namespace `enapter`.
        device_type: Type of the devices made from it.
        communication: How those devices talk to the platform.
        manifest: Shared by all devices made from it; never changed.
    """

    name: str
    device_type: str
    communication: str
    manifest: Declaration = attrs.field(repr=False)


def value(kind: str, display_name: str, unit: str | None = None, **more: Any) -> Declaration:
    """Declare a property or a telemetry attribute."""
    declaration: Declaration = {"type": kind, "display_name": display_name}
    if unit is not None:
        declaration["unit"] = unit
    return declaration | more


def states(display_name: str, **colors: str) -> Declaration:
    """Declare a string attribute with an enum in its map form."""
    return value(
        "string",
        display_name,
        enum={
            name: {"display_name": name.replace("_", " ").capitalize(), "color": color}
            for name, color in colors.items()
        },
    )


def alert(severity: str, display_name: str, **more: Any) -> Declaration:
    """Declare an alert."""
    return {"severity": severity, "display_name": display_name, **more}


def command(display_name: str, group: str = "control", **more: Any) -> Declaration:
    """Declare a command; `simulation` tells the simulator how it ends and is no part of the spec."""
    return {"display_name": display_name, "group": group, **more}


def connection_group(default_uri: str) -> Declaration:
    """Declare the configuration group that field devices share."""
    return {
        "display_name": "Connection",
        "description": "How the device is reached.",
        "parameters": {
            "uri": {"type": "string", "display_name": "URI", "required": True, "default": default_uri},
            "unit_id": {
                "type": "integer",
                "display_name": "Modbus unit",
                "min": 1,
                "max": 247,
                "default": 1,
            },
            "timeout": {"type": "float", "display_name": "Timeout, s", "min": 0.1, "max": 60, "default": 1.5},
            "password": {"type": "string", "display_name": "Password", "sensitive": True},
        },
    }


def identity(vendor: str, model: str) -> Declaration:
    """Declare the properties that every device reports."""
    return {
        "serial_number": value("string", "Serial number", implements="lib.device.serial_number"),
        "firmware_version": value("string", "Firmware version"),
        "vendor": value("string", "Vendor", enum=[vendor]),
        "model": value("string", "Model", enum=[model]),
    }


def manifest(
    display_name: str,
    *,
    category: str,
    vendor: str,
    description: str | None = None,
    implements: list[str] | None = None,
    **sections: Declaration,
) -> Declaration:
    """Assemble a manifest."""
    return {
        "blueprint_spec": "device/3.0",
        "display_name": display_name,
        "description": description,
        "icon": "enapter-module",
        "category": category,
        "vendor": vendor,
        "license": "MIT",
        "author": vendor,
        "implements": implements or [],
        "runtime": {"type": "lua", "options": {"dir": "src", "file": "main.lua"}},
        "communication_module": {"product": "ENP-VIRTUAL"},
        **sections,
    }
