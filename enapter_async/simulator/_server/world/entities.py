"""The entities of the world."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, cast

import attrs

from ..roles import Role, access_level
from .signals import AUTOMATIC, Signal, signal
from .timeline import BEGINNING, END, Stretch, Timeline
from .wire_manifest import settle_manifest


@attrs.define(eq=False)
class Site:
    """A site."""

    id: str
    name: str
    timezone: str = "UTC"
    location: dict[str, Any] | None = None
    archived: bool = False


@attrs.define(eq=False)
class Blueprint:
    """A blueprint: a manifest that devices share."""

    id: str
    manifest: dict[str, Any] = attrs.field(repr=False, converter=settle_manifest)
    created_at: float
    full_names: list[dict[str, str]] = attrs.field(factory=list[dict[str, str]])
    archive: bytes | None = attrs.field(default=None, repr=False)
    _signals: dict[str, Signal] | None = attrs.field(default=None, init=False, repr=False)

    def section(self, name: str) -> dict[str, dict[str, Any]]:
        """Return a section of the manifest, empty if it is missing or null."""
        section = self.manifest.get(name)
        return cast("dict[str, dict[str, Any]]", section) if isinstance(section, dict) else {}

    @property
    def signals(self) -> dict[str, Signal]:
        """The telemetry attributes, those that every device has included."""
        if self._signals is None:
            alerts = tuple(self.section("alerts"))
            declared = self.section("telemetry") | {
                name: entry for name, entry in AUTOMATIC.items() if name not in self.section("telemetry")
            }
            self._signals = {name: signal(name, entry, alerts) for name, entry in declared.items()}
        return self._signals

    def attribute_role(self, attribute: str) -> Role:
        """Return the lowest role that may read a telemetry attribute."""
        return access_level(self.section("telemetry").get(attribute, {}).get("access_level"), Role.READONLY)


@attrs.define(eq=False)
class LogRecord:
    """One record of a device's log."""

    timestamp: int
    received_at: float
    severity: str
    message: str
    persistent: bool = True


def _note_change(device: Device, attribute: attrs.Attribute[Any], value: Any) -> Any:
    """Note a new connectivity, or new alerts or values, in the timeline."""
    state: dict[str, Any] = {
        "connectivity": device.connectivity,
        "raised_alert_names": device.raised_alert_names,
        "telemetry": device.telemetry,
        attribute.name: value,
    }
    device.timeline.note(
        device.clock(),
        online=state["connectivity"] != "OFFLINE",
        alerts=state["raised_alert_names"],
        telemetry=state["telemetry"],
    )
    return value


def _begin_timeline(device: Device) -> Timeline:
    now = device.clock()
    online = device.connectivity != "OFFLINE"
    begin = math.floor(now) if online else BEGINNING  # one that is built offline has never been online
    state = Stretch(begin, END, online, list(device.raised_alert_names), dict(device.telemetry))
    timeline = Timeline(state)
    timeline.seen = now
    return timeline


@attrs.define(eq=False)
class Device:
    """A device. Tests may change any of this while the simulator runs.

    Attributes:
        connectivity: `ONLINE`, `OFFLINE` or `UNKNOWN`. While it is `OFFLINE`, a device sends nothing: `latest`, streams
            and its log have nothing of it, and neither has history later on (but see `store_and_forward` of
            `Behaviour`). One that is built `OFFLINE` has never been online.
        raised_alert_names: The alerts that are active now. `World.raise_alert` notes the time at once; a change of the
            list itself is noted when values of the device are read the next time.
        telemetry: Values that override the simulated ones, noted like alerts. History has those that fit the type of
            the attribute.
        properties: Last reported properties.
        configuration: Values that were set, by group.
        clock: Unix seconds; the world's clock.
        timeline: Its states over time.
    """

    id: str
    name: str
    slug: str
    type: str
    blueprint: Blueprint
    site_id: str | None
    updated_at: float
    communication: dict[str, Any] = attrs.field(factory=dict[str, Any])
    connectivity: str = attrs.field(default="ONLINE", on_setattr=_note_change)
    properties: dict[str, Any] = attrs.field(factory=dict[str, Any])
    raised_alert_names: list[str] = attrs.field(factory=list[str], on_setattr=_note_change)
    telemetry: dict[str, Any] = attrs.field(factory=dict[str, Any], on_setattr=_note_change)
    configuration: dict[str, dict[str, Any]] = attrs.field(factory=dict[str, dict[str, Any]])
    logs: list[LogRecord] = attrs.field(factory=list[LogRecord])
    clock: Callable[[], float] = attrs.field(default=time.time, repr=False)
    timeline: Timeline = attrs.field(default=attrs.Factory(_begin_timeline, takes_self=True), repr=False)

    def note(self) -> Timeline:
        """Note the state of now in the timeline, and return that."""
        self.timeline.note(
            self.clock(),
            online=self.connectivity != "OFFLINE",
            alerts=self.raised_alert_names,
            telemetry=self.telemetry,
        )
        return self.timeline

    def was_online(self, at: float) -> bool:
        """Return whether the device was online at a time in Unix seconds."""
        return all(part.online for part in self.timeline.stretches() if part.begin <= at < part.end)

    @property
    def upstream_id(self) -> str | None:
        """The device that this one runs on."""
        upstream = self.communication.get("upstream_id")
        return upstream if isinstance(upstream, str) else None
