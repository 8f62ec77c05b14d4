"""Batteries, inverters, PV arrays and energy meters."""

from __future__ import annotations

from .declarations import Stock, alert, command, connection_group, identity, manifest, states, value

BATTERY = Stock(
    name="battery",
    device_type="LUA",
    communication="UCM_LUA",
    manifest=manifest(
        "Battery",
        category="batteries",
        vendor="voltaic",
        implements=["battery"],
        properties={
            **identity("voltaic", "VB-48"),
            "nominal_capacity": value("float", "Nominal capacity", "kWh"),
            "modules": value("integer", "Modules"),
        },
        telemetry={
            "soc": value("float", "State of charge", "%", implements=["lib.battery.soc"]),
            "soh": value("integer", "State of health", "%"),
            "power": value("float", "Power", "W"),
            "voltage": value("float", "Voltage", "V"),
            "current": value("float", "Current", "A"),
            "temperature": value("float", "Temperature", "°C"),
            "energy_discharged": value("float", "Energy discharged", "kWh"),
            "status": states("Status", idle="grey", charging="green", discharging="blue", fault="red"),
            "contactor_closed": value("boolean", "Contactor is closed"),
            "alerts": value("alerts", "Alerts"),
        },
        alerts={
            "cell_imbalance": alert("warning", "Cells are out of balance", grace_period="5m"),
            "overtemperature": alert("error", "Battery is too hot"),
        },
        commands={
            "set_power_limit": command(
                "Set power limit",
                arguments={
                    "limit_kw": {
                        "type": "float",
                        "display_name": "Limit, kW",
                        "required": True,
                        "min": 0,
                        "max": 50,
                    }
                },
            ),
            "open_contactor": command("Open the contactor", access_level="owner"),
            "balance_cells": command("Balance the cells", "service", access_level="installer"),
        },
        configuration={
            "connection": connection_group("can://0"),
            "reserve": {
                "display_name": "Reserve",
                "parameters": {
                    "soc_min": {
                        "type": "integer",
                        "display_name": "Lowest charge, %",
                        "min": 0,
                        "max": 100,
                        "default": 20,
                    }
                },
            },
        },
    ),
)

INVERTER = Stock(
    name="inverter",
    device_type="LUA",
    communication="UCM_LUA",
    manifest=manifest(
        "Inverter",
        category="power_converters",
        vendor="gridwise",
        properties={**identity("gridwise", "GW-20T"), "nominal_power": value("float", "Nominal power", "W")},
        telemetry={
            "power": value("float", "Power", "W"),
            "reactive_power": value("float", "Reactive power", "VA"),
            "voltage": value("float", "Grid voltage", "V"),
            "frequency": value("float", "Grid frequency", "Hz"),
            "efficiency": value("float", "Efficiency", "%"),
            "fan_speed": value("integer", "Fan speed", "rpm"),
            "status": states("Status", off="grey", on_grid="green", island="yellow", fault="red"),
            "grid_connected": value("boolean", "Connected to the grid"),
            "alerts": value("alerts", "Alerts"),
        },
        alerts={
            "grid_overvoltage": alert("error", "Grid voltage is too high", code="GO_1"),
            "fan_slow": alert("warning", "Fan is slow", telemetry=["fan_speed"]),
        },
        commands={
            "enable": command("Enable"),
            "disable": command("Disable"),
            "set_power_limit": command(
                "Set power limit",
                arguments={"limit_kw": {"type": "float", "required": True, "min": 0, "max": 20}},
            ),
        },
        configuration={"connection": connection_group("tcp://10.0.0.20:502")},
    ),
)

PV_ARRAY = Stock(
    name="pv_array",
    device_type="NATIVE",
    communication="UCM_EMBEDDED",
    manifest=manifest(
        "PV array",
        category="solar",
        vendor="helios",
        properties={**identity("helios", "HX-400"), "peak_power": value("float", "Peak power", "W")},
        telemetry={
            "solar_power": value("float", "Power", "W"),
            "solar_irradiance": value("float", "Irradiance", "W/m2"),
            "panel_temperature": value("float", "Panel temperature", "°C"),
            "energy_total": value("float", "Energy since commissioning", "kWh"),
            "strings_online": value("integer", "Strings online"),
            "shaded": value("boolean", "Partly shaded"),
        },
        alerts={"string_open": alert("warning", "A string is open")},
        commands={"restart_tracker": command("Restart the tracker")},
    ),
)

# The compiled form of older systems: a plain list next to `enum_with_metainfo`.
ENERGY_METER = Stock(
    name="energy_meter",
    device_type="CHILD",
    communication="LINK",
    manifest=manifest(
        "Energy meter",
        category="energy_meters",
        vendor="metron",
        properties=identity("metron", "M3"),
        telemetry={
            "power": value("float", "Active power", "W"),
            "energy_imported": value("float", "Energy imported", "kWh"),
            "energy_exported": value("float", "Energy exported", "kWh"),
            "current_l1": value("float", "Current L1", "A"),
            "phase_order": value(
                "string",
                "Phase order",
                enum=["cw", "ccw"],
                enum_with_metainfo=[
                    {"value": "cw", "display_name": "Clockwise", "description": ""},
                    {"value": "ccw", "display_name": "Counter-clockwise", "description": "Swap two phases."},
                ],
            ),
            "tariff": value("integer", "Tariff", enum=[1, 2, 3]),
            "readings": {"type": "object", "display_name": "Raw readings"},
        },
        alerts={"phase_lost": alert("error", "A phase is lost")},
        commands={"reset_meter": {"group": "service"}},
    )
    | {"blueprint_spec": "device_compiled/1.0", "configuration": None},
)
