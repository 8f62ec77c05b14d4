"""Gateways and UCMs: what other devices run on."""

from __future__ import annotations

from .declarations import Declaration, Stock, alert, command, identity, manifest, value

_TELEMETRY = {
    "cpu_load": value("float", "CPU load", "%"),
    "memory_used": value("float", "Memory used", "%"),
    "uptime": value("integer", "Uptime", "s"),
    "wifi_rssi": value("integer", "Signal strength", "dBm"),
    "lan_connected": value("boolean", "LAN is connected"),
}
_ALERTS = {"disk_full": alert("warning", "Disk is nearly full")}
_COMMANDS = {"reboot": command("Reboot", "service", access_level="owner"), "identify": command("Blink")}


def _manifest(display_name: str, category: str, model: str) -> Declaration:
    return manifest(
        display_name,
        category=category,
        vendor="enapter",
        properties={**identity("enapter", model), "ip_addresses": value("array_of_strings", "Addresses")},
        telemetry=_TELEMETRY,
        alerts=_ALERTS,
        commands=_COMMANDS,
    )


GATEWAY = Stock(
    name="gateway",
    device_type="GATEWAY",
    communication="MQTT_V1_LOCALHOST",
    manifest=_manifest("Gateway", "gateways", "Gateway 3"),
)
VIRTUAL_UCM = Stock(
    name="virtual_ucm",
    device_type="VIRTUAL_UCM",
    communication="MQTT_V1_LOCALHOST",
    manifest=_manifest("Virtual UCM", "ucms", "Virtual UCM"),
)
HARDWARE_UCM = Stock(
    name="hardware_ucm",
    device_type="HARDWARE_UCM",
    communication="MQTT_V1_TLS",
    manifest=_manifest("UCM", "ucms", "ENP-KVM7"),
)
