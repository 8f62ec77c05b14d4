"""A weather station and a hydrogen tank."""

from __future__ import annotations

from .declarations import Stock, alert, command, identity, manifest, value

WEATHER_STATION = Stock(
    name="weather_station",
    device_type="STANDALONE",
    communication="MQTT_V1_TLS",
    manifest=manifest(
        "Weather station",
        category="sensors",
        vendor="skyline",
        properties=identity("skyline", "S1"),
        telemetry={
            "air_temperature": value("float", "Air temperature", "°C"),
            "humidity": value("float", "Humidity", "%"),
            "air_pressure": value("float", "Air pressure", "hPa"),
            "wind_speed": value("float", "Wind speed", "m/s"),
            "wind_direction": value("integer", "Wind direction", "°"),
            "solar_irradiance": value("float", "Irradiance", "W/m2"),
            "raining": value("boolean", "It rains"),
            "summary": value("string", "Summary", enum=["clear", "cloudy", "rain, light", 'so-called "drizzle"']),
        },
        alerts={"storm": alert("warning", "Storm warning", grace_period="10m")},
        commands={
            "set_interval": command(
                "Set the reporting interval",
                arguments={"seconds": {"type": "integer", "required": True, "enum": [1, 5, 10, 60]}},
            ),
            "heat_sensor": command("Heat the sensor"),
        },
    ),
)

HYDROGEN_TANK = Stock(
    name="hydrogen_tank",
    device_type="STANDALONE",
    communication="MQTT_V1_PLAINTEXT",
    manifest=manifest(
        "Hydrogen tank",
        category="hydrogen_storage",
        vendor="tankworks",
        properties={**identity("tankworks", "T50"), "volume": value("float", "Volume", "l")},
        telemetry={
            "tank_pressure": value("float", "Pressure", "bar"),
            "tank_temperature": value("float", "Temperature", "°C"),
            "fill_level": value("integer", "Fill level", "%"),
            "valve_open": value("boolean", "Valve is open"),
            "leak_rate": value("float", "Leak rate", "kg/s"),
        },
        alerts={"overpressure": alert("error", "Pressure is too high", grace_period="2s")},
        commands={"open_valve": command("Open the valve"), "close_valve": command("Close the valve")},
    ),
)
