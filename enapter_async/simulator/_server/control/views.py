"""How the world looks in the responses of the control API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any, Literal

from ..faults import PlannedFault
from ..ledger import RequestRecord
from ..world.entities import Blueprint, Device, Site
from ..world.signals import AUTOMATIC
from ..world.world import World
from .models import AlertInfo, DeviceInfo, FaultInfo, Reading, RequestInfo, SiteInfo

Telemetry = Literal["none", "headline", "all"]
_HEADLINES = 2


def show_site(world: World, site: Site) -> SiteInfo:
    """Describe a site."""
    return SiteInfo(id=site.id, name=site.name, timezone=site.timezone, devices=len(world.devices.ordered(site.id)))


def show_device(world: World, device: Device, telemetry: Telemetry = "none", samples: int = 0) -> DeviceInfo:
    """Describe a device.

    Args:
        world: Its world.
        device: The device.
        telemetry: Which of its attributes to show.
        samples: Number of earlier values to add for each number, one a second.
    """
    readings: tuple[Reading, ...] = ()
    if telemetry != "none":
        device.note()
        names = headline(device) if telemetry == "headline" else [*device.blueprint.signals, *device.telemetry]
        readings = tuple(_read(world, device, name, samples) for name in dict.fromkeys(names))
    return DeviceInfo(
        id=device.id,
        name=device.name,
        slug=device.slug,
        type=device.type,
        blueprint=_text(device.blueprint.manifest.get("display_name"), device.blueprint.id),
        site_id=device.site_id,
        connectivity=device.connectivity,
        alerts=tuple(_alerts(device)),
        properties=device.properties,
        telemetry=readings,
    )


def headline(device: Device) -> list[str]:
    """Choose the attributes that tell most: the first numbers that go up and down."""
    signals = device.blueprint.signals.values()
    numbers = [signal for signal in signals if signal.data_type in ("float", "integer") and not signal.choices]
    moving = [signal.name for signal in numbers if signal.shape != "counter"]
    return (moving or [signal.name for signal in numbers])[:_HEADLINES]


def _alerts(device: Device) -> Iterator[AlertInfo]:
    declared = device.blueprint.section("alerts")
    for name in dict.fromkeys([*declared, *device.raised_alert_names]):
        entry = _declaration(device.blueprint, "alerts", name)
        yield AlertInfo(
            name=name,
            display_name=_text(entry.get("display_name"), name),
            severity=_text(entry.get("severity"), "info"),
            raised=name in device.raised_alert_names,
        )


def _read(world: World, device: Device, name: str, samples: int) -> Reading:
    entry = _declaration(device.blueprint, "telemetry", name) or AUTOMATIC.get(name, {})
    value, timestamp = world.peek(device, name) or (None, int(world.now()))
    value = device.telemetry.get(name, value)  # what was set is shown for a device that is offline, too
    unit = entry.get("unit")
    return Reading(
        name=name,
        display_name=_text(entry.get("display_name"), name),
        type=_text(entry.get("type"), "unknown"),
        unit=unit if isinstance(unit, str) and unit else None,
        value=value,
        timestamp=timestamp,
        overridden=name in device.telemetry,
        samples=_samples(world, device, name, samples),
    )


def _samples(world: World, device: Device, name: str, count: int) -> tuple[float, ...] | None:
    track = world.track(device, name)
    if not count or name in device.telemetry or track is None or track.signal.data_type not in ("float", "integer"):
        return None
    now = int(world.now())
    return tuple(track.latest(second)[0] for second in range(now - count + 1, now + 1))


def show_request(record: RequestRecord, sequence: int) -> RequestInfo:
    """Describe a request."""
    age = asyncio.get_running_loop().time() - record.received_at
    return RequestInfo(
        sequence=sequence,
        received_at=round(time.time() - age, 3),
        method=record.method,
        path=record.path,
        query=dict(record.query),
        headers=dict(record.headers),
        user=record.user,
        body=record.body.decode("utf-8", "replace"),
        operation=record.operation,
        status=record.status,
        applied=record.applied,
        fault=record.fault,
        streamed=record.streamed,
        duration=record.duration,
    )


def show_fault(planned: PlannedFault) -> FaultInfo:
    """Describe a rule of the fault plan."""
    rule = planned.rule
    return FaultInfo(
        number=planned.number,
        name=rule.fault.name,
        operation=rule.operation,
        method=rule.method,
        path=rule.path,
        nth=None if rule.nth is None else tuple(sorted(rule.nth)),
        when=rule.when,
        seen=planned.seen,
        remaining=planned.remaining,
    )


def _declaration(blueprint: Blueprint, section: str, name: str) -> dict[str, Any]:
    """Return an entry of a manifest. Users may have uploaded anything."""
    entry: object = blueprint.section(section).get(name)
    return entry if isinstance(entry, dict) else {}


def _text(value: object, default: str) -> str:
    return value if isinstance(value, str) and value else default
