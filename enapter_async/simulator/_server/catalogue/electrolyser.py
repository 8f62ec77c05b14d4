"""An AEM electrolyser: the blueprint with one of everything."""

from __future__ import annotations

from .declarations import Stock, alert, command, connection_group, identity, manifest, states, value

ELECTROLYSER = Stock(
    name="electrolyser",
    device_type="LUA",
    communication="UCM_LUA",
    manifest=manifest(
        "Electrolyser",
        category="electrolysers",
        vendor="enapter",
        description="Makes hydrogen from water and electricity.",
        implements=["electrolyser", "lib.device"],
        units={"Nl/h": {"display_name": "normal litres an hour"}},
        properties={
            **identity("enapter", "EL 4.1"),
            "nominal_flow": value("float", "Nominal hydrogen flow", "Nl/h"),
            "cell_count": value("integer", "Cells in the stack"),
            "dryer_installed": value("boolean", "Dryer installed"),
            "fieldbus_modes": value("array_of_strings", "Supported field buses"),
            "network": value("json", "Network settings", access_level="owner"),
            "production_key": value("string", "Production key", access_level="vendor"),
        },
        telemetry={
            "power": value("float", "Power", "W", auto_scale=["W", "kW"], implements="lib.energy.power"),
            "h2_flow": value("float", "Hydrogen flow", "Nl/h"),
            "outlet_pressure": value("float", "Outlet pressure", "bar", aliases=["pressure"]),
            "stack_temperature": value("float", "Stack temperature", "°C", aliases="temperature"),
            "leak_rate": value("float", "Leak rate", "kg/s"),
            "production_rate": value("integer", "Production rate", "%"),
            "starts_total": value("integer", "Starts since commissioning"),
            "status": states(
                "Status",
                idle="grey",
                steady="green-darker",
                ramp_up="green",
                ramp_down="blue",
                standby="yellow",
                error="red",
            ),
            "operator_note": value("string", "Last note of the operator"),
            "dryer_on": value("boolean", "Dryer is on"),
            "water_low": value("boolean", "Water level is low"),
            "active_modules": value("array_of_strings", "Active modules"),
            "diagnostics": value("json", "Diagnostics", json_schema='{"type": "object"}'),
            "board_temperature": value("float", "Board temperature", "°C", access_level="installer"),
            "alerts": value("alerts", "Alerts"),
        },
        alerts={
            "water_low": alert(
                "warning",
                "Water is low",
                code="WR_20",
                grace_period="30s",
                description="The tank holds less water than a start needs.",
                troubleshooting=["Check the water supply.", "Check the inlet filter."],
                telemetry=["water_low"],
                components=["water_tank"],
                conditions=["water_low == true"],
            ),
            "stack_overheated": alert("error", "Stack is too hot", code="FE_40", telemetry=["stack_temperature"]),
            "3v3_brownout": alert("error", "3.3 V supply is weak"),
            "maintenance-due": alert("info", "Maintenance is due"),
        },
        command_groups={
            "control": {"display_name": "Control"},
            "service": {"display_name": "Service"},
        },
        commands={
            "start": command(
                "Start",
                confirmation={
                    "severity": "info",
                    "title": "Start the electrolyser?",
                    "description": "It begins to make hydrogen.",
                },
                aliases=["turn_on"],
                implements="lib.device.start",
                ui={"icon": "play", "quick_access": True},
            ),
            "stop": command("Stop", aliases="turn_off"),
            "set_production_rate": command(
                "Set production rate",
                aliases=["set_rate"],
                populate_values_command="read_settings",
                arguments={
                    "rate": {
                        "type": "integer",
                        "display_name": "Rate, %",
                        "required": True,
                        "min": 60,
                        "max": 100,
                    },
                    "ramp": {"type": "float", "display_name": "Ramp, %/s", "min": 0, "default": 1.5},
                },
                response={"applied_rate": {"type": "integer", "display_name": "Applied rate"}},
            ),
            "set_mode": command(
                "Set mode",
                arguments={
                    "mode": {
                        "type": "string",
                        "required": True,
                        "enum": {"auto": {"display_name": "Auto"}, "manual": {"display_name": "Manual"}},
                    },
                    "pin": {"type": "string", "display_name": "PIN", "sensitive": True},
                    "modules": {"type": "array_of_strings", "display_name": "Modules"},
                    "eco": {"type": "boolean", "display_name": "Save energy", "default": False},
                },
            ),
            "read_settings": command("Read settings", "service", read_access_level="readonly"),
            "self_test": command(
                "Self test",
                "service",
                description="Always fails in the simulator.",
                simulation={"state": "ERROR", "payload": {"error": "water tank is empty"}},
            ),
            "flush_stack": command(
                "Flush the stack",
                "service",
                description="The simulated device never answers it.",
                simulation={"state": "TIMEOUT"},
            ),
            "reset_counters": command(
                "Reset counters", "service", access_level="installer", read_access_level="installer"
            ),
            "write_eeprom": command("Write EEPROM", "service", access_level="vendor"),
        },
        configuration={
            "connection": connection_group("port://rs485"),
            "limits": {
                "display_name": "Limits",
                "access_level": "owner",
                "parameters": {
                    "max_pressure": {
                        "type": "float",
                        "display_name": "Highest pressure, bar",
                        "min": 0,
                        "max": 35,
                        "default": 30.0,
                    },
                    "night_mode": {"type": "boolean", "display_name": "Quiet at night", "default": False},
                    "profile": {
                        "type": "string",
                        "display_name": "Profile",
                        "enum": ["eco", "balanced", "boost"],
                        "default": "balanced",
                    },
                    "contacts": {"type": "array_of_strings", "display_name": "Who to call"},
                    "schedule": {"type": "json", "display_name": "Schedule", "default": {"weekdays": "06:00-22:00"}},
                },
            },
            "factory": {
                "display_name": "Factory",
                "access_level": "vendor",
                "parameters": {"offset": {"type": "float", "display_name": "Sensor offset", "default": 0.0}},
            },
        },
    ),
)
