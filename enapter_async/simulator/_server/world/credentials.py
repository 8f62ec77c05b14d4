"""Communication configs with credentials that look real and open nothing."""

from __future__ import annotations

import base64
import secrets
from typing import Any

from .entities import Device

_LINE = 64


def _pem(label: str, size: int) -> str:
    text = base64.b64encode(b"\x30\x82" + secrets.token_bytes(size)).decode()
    lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def communication_config(device: Device, protocol: str) -> dict[str, Any]:
    """Create a config for a device that speaks MQTT itself. Every call creates new secrets."""
    credentials: dict[str, str] = {"protocol": protocol}
    if protocol == "MQTTS":
        credentials["private_key"] = _pem("PRIVATE KEY", 120)
        credentials["certificate"] = _pem("CERTIFICATE", 400)
        credentials["ca_chain"] = _pem("CERTIFICATE", 500) + _pem("CERTIFICATE", 500)
    else:
        credentials["username"] = device.id
        credentials["password"] = secrets.token_urlsafe(24)
    return {
        "mqtt_host": "mqtt.simulator.invalid",
        "mqtt_port": 8883 if protocol == "MQTTS" else 1883,
        "mqtt_protocol": protocol,
        "mqtt_credentials": credentials,
        "time_sync_protocol": "NTP",
        "time_sync_host": "time.simulator.invalid",
        "time_sync_port": 123,
        "hardware_id": device.communication.get("hardware_id") or device.id.replace("-", "").upper(),
        "channel_id": device.communication.get("channel_id") or "default",
    }
