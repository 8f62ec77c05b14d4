"""Differences between the wire and the models: older names, alternative forms, encodings.

Every entry has its source in reference.md or in a note of openapi.yaml. Anything else must match the model. Functions
raise TypeError (with the expected type) for a value of the wrong type, and ValueError for invalid content. The
converter adds the position.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from enapter_async.models.blueprints import Blueprint, BlueprintValidation
from enapter_async.models.commands import StartedExecution
from enapter_async.models.common import JSON
from enapter_async.models.communication import CommunicationConfig
from enapter_async.models.devices import Communication, Connectivity, Device
from enapter_async.models.logs import LogRecord
from enapter_async.models.rules import RuleScript
from enapter_async.models.sites import Location, Site
from enapter_async.models.streams import DeviceFrame, TelemetryFrame

Reader: TypeAlias = Callable[[JSON], object]
Reshape: TypeAlias = Callable[[JSON], JSON]


def identifier(value: JSON) -> str | None:
    """Read an identifier. An empty one means None (Known quirks 18)."""
    if isinstance(value, str):
        return value or None
    raise TypeError("text")


def coordinate(value: JSON) -> float | None:
    """Read degrees, as a number or text (Known quirks 6)."""
    if isinstance(value, str):
        if not value:
            return None
        try:
            number = float(value)
        except ValueError:
            raise ValueError("expected a number, got text that is not a number") from None
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    else:
        raise TypeError("a number or numeric text")
    if not math.isfinite(number):
        raise ValueError("expected a finite number")
    return number


def port(value: JSON) -> int:
    """Read a port, as an integer or text (openapi.yaml, generate_config)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 5:
        return int(value)
    raise TypeError("a port number")


def base64_text(value: JSON) -> str:
    """Read the script of a rule (Known quirks 12)."""
    if not isinstance(value, str):
        raise TypeError("text in base64")
    try:
        return base64.b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise ValueError("expected UTF-8 text in base64") from None


def to_base64(text: str) -> str:
    """Encode the script of a rule."""
    return base64.b64encode(text.encode("utf-8")).decode("ascii")


def _communication_config(value: JSON) -> JSON:
    # The documentation has the protocol inside the credentials, the vendor's SDK next to them.
    if isinstance(value, dict) and value.get("mqtt_protocol") is None:
        credentials = value.get("mqtt_credentials")
        if isinstance(credentials, dict) and credentials.get("protocol") is not None:
            return {**value, "mqtt_protocol": credentials["protocol"]}
    return value


def _blueprint(value: JSON) -> JSON:
    # Known quirks 4: wrapped, flat, or with blueprint_id.
    if isinstance(value, dict) and "id" not in value:
        wrapped = value.get("blueprint")
        if isinstance(wrapped, dict):
            return wrapped
        if "blueprint_id" in value:
            return {"id" if name == "blueprint_id" else name: item for name, item in value.items()}
    return value


def _started_execution(value: JSON) -> JSON:
    # openapi.yaml, createExecution: the server may return the whole execution.
    if isinstance(value, dict) and "execution_id" not in value:
        execution = value.get("execution")
        if isinstance(execution, dict):
            return {**value, "execution_id": execution.get("id")}
    return value


def _log_record(value: JSON) -> JSON:
    # reference.md, section 10: severity and message are inside `log` on current servers, flat on older ones.
    if isinstance(value, dict) and "log" in value:
        log = value["log"]
        if not isinstance(log, dict):
            raise TypeError("an object under log")
        return {**{name: item for name, item in value.items() if name != "log"}, **log}
    return value


def _frame_fields(frame: dict[str, JSON]) -> dict[str, JSON]:
    return {name: frame[name] for name in ("device_id", "timestamp", "received_at") if name in frame}


def _device_frame(value: JSON) -> JSON:
    if isinstance(value, dict):
        log = value.get("log")
        if isinstance(log, dict):
            return {**value, "log": {**_frame_fields(value), **log}}
    return value


def _telemetry_frame(value: JSON) -> JSON:
    if isinstance(value, dict) and "telemetry" not in value:
        frame = _frame_fields(value)
        return {**frame, "telemetry": {name: item for name, item in value.items() if name not in frame}}
    return value


RESHAPES: Final[Mapping[type, Reshape]] = {
    CommunicationConfig: _communication_config,
    Blueprint: _blueprint,
    StartedExecution: _started_execution,
    LogRecord: _log_record,
    DeviceFrame: _device_frame,
    TelemetryFrame: _telemetry_frame,
}
"""Functions applied to the whole value of a class before its fields are read."""

BARE_FIELDS: Final[Mapping[type, str]] = {Connectivity: "status"}
"""Fields to fill if the value is text instead of an object (Known quirks 7)."""

READERS: Final[Mapping[type, Mapping[str, Reader]]] = {
    Device: {"site_id": identifier, "blueprint_id": identifier},
    Communication: {"upstream_id": identifier, "hardware_id": identifier, "channel_id": identifier},
    Location: {"latitude": coordinate, "longitude": coordinate},
    CommunicationConfig: {"mqtt_port": port, "time_sync_port": port},
    RuleScript: {"code": base64_text},
}
"""Fields whose form on the wire differs from their type."""

OTHER_NAMES: Final[Mapping[type, Mapping[str, str]]] = {
    Device: {"communication": "communication_info"},
    Communication: {"type": "communication_type"},
    BlueprintValidation: {"errors": "validation_errors"},
}
"""Fields with another name on the wire or on older servers."""

REPEATED: Final[Mapping[type, str]] = {Site: "id", Connectivity: "status"}
"""Classes whose objects repeat within a response, and the field that distinguishes most of them."""
