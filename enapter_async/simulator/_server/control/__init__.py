"""The control API of the simulator: change its world over HTTP, from a page or from any language.

It is served under `/_simulator` with its own token, and described in `openapi.json` next to this file.
"""

from __future__ import annotations

from .client import ControlError, SimulatorControl
from .models import (
    AlertInfo,
    ClockInfo,
    DeviceInfo,
    FaultInfo,
    OperationInfo,
    Reading,
    RequestInfo,
    SettingsInfo,
    SiteInfo,
    StatusInfo,
)

__all__ = [
    "AlertInfo",
    "ClockInfo",
    "ControlError",
    "DeviceInfo",
    "FaultInfo",
    "OperationInfo",
    "Reading",
    "RequestInfo",
    "SettingsInfo",
    "SimulatorControl",
    "SiteInfo",
    "StatusInfo",
]
