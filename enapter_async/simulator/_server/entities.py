"""The entities of the world."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, cast

import attrs

from .roles import Role, access_level
from .signals import AUTOMATIC, Signal, signal
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


def _note_connectivity(device: Device, _: object, connectivity: str) -> str:
    """Remember when a device goes offline and comes back. It measures nothing in between."""
    if (connectivity == "OFFLINE") != (device.offline_since is not None):
        now = device.clock()
        if device.offline_since is not None:
            device.past_outages.append((device.offline_since, now))
        device.offline_since = now if connectivity == "OFFLINE" else None
    return connectivity


@attrs.define(eq=False)
class Device:
    """A device. Tests may change any of this while the simulator runs.

    Attributes:
        connectivity: `ONLINE`, `OFFLINE` or `UNKNOWN`. While it is `OFFLINE`, a device sends nothing: `latest`, streams
            and its log have nothing of it, and neither has history later on (but see `store_and_forward` of
            `Behaviour`). One that is built `OFFLINE` has never been online.
        raised_alert_names: The alerts that are active now; see also `World.raise_alert`.
        telemetry: Latest values that override the simulated ones.
        properties: Last reported properties.
        configuration: Values that were set, by group.
        offline_since: Unix seconds when it went offline; None while it is not.
        past_outages: When it was offline before: Unix seconds of the beginning and of the end.
        clock: Unix seconds; the world's clock.
    """

    id: str
    name: str
    slug: str
    type: str
    blueprint: Blueprint
    site_id: str | None
    updated_at: float
    communication: dict[str, Any] = attrs.field(factory=dict[str, Any])
    connectivity: str = attrs.field(default="ONLINE", on_setattr=_note_connectivity)
    properties: dict[str, Any] = attrs.field(factory=dict[str, Any])
    raised_alert_names: list[str] = attrs.field(factory=list[str])
    telemetry: dict[str, Any] = attrs.field(factory=dict[str, Any])
    configuration: dict[str, dict[str, Any]] = attrs.field(factory=dict[str, dict[str, Any]])
    logs: list[LogRecord] = attrs.field(factory=list[LogRecord])
    offline_since: float | None = attrs.field(
        default=attrs.Factory(lambda device: -math.inf if device.connectivity == "OFFLINE" else None, takes_self=True)
    )
    past_outages: list[tuple[float, float]] = attrs.field(factory=list[tuple[float, float]])
    clock: Callable[[], float] = attrs.field(default=time.time, repr=False)

    def outages(self, *, past: bool = True) -> tuple[tuple[float, float], ...]:
        """Return the spans of time without values, including the one that has not ended.

        Args:
            past: Include the outages that are over.
        """
        now = () if self.offline_since is None else ((self.offline_since, math.inf),)
        return (*self.past_outages, *now) if past else now

    def was_online(self, at: float) -> bool:
        """Return whether the device was online at a time in Unix seconds."""
        return not any(begin <= at < end for begin, end in self.outages())

    @property
    def upstream_id(self) -> str | None:
        """The device that this one runs on."""
        upstream = self.communication.get("upstream_id")
        return upstream if isinstance(upstream, str) else None
