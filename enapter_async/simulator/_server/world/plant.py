"""Build a realistic plant: sites, each with a Gateway, UCMs, and the equipment on them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from ..catalogue import EQUIPMENT, GATEWAY, HARDWARE_UCM, VIRTUAL_UCM, Stock
from .entities import Blueprint, Device, Site
from .tracks import key

_SITES = (
    ("Harbour Microgrid", "Europe/Lisbon", "Porto", 41.1496, -8.611),
    ("Alpine Hut", "Europe/Zurich", "Zermatt", 46.0207, 7.7491),
    ("Desert Station", "Asia/Dubai", "Liwa", 23.13, 53.78),
    ("Island Grid", "Atlantic/Reykjavik", "Heimaey", 63.44, -20.27),
)
_PER_UCM = 12


def make_id(seed: int, kind: str, number: object) -> str:
    """Return a version 4 UUID that is the same for the same seed, kind and number."""
    high, low = key(seed, kind, number, "high"), key(seed, kind, number, "low")
    return str(uuid.UUID(int=high << 64 | low, version=4))


def hardware_id(seed: int, number: object) -> str:
    """Return the 32 upper-case hex digits of a hardware ID."""
    return f"{key(seed, 'hardware', number, 1):016X}{key(seed, 'hardware', number, 2):016X}"


def build_sites(seed: int, count: int) -> list[Site]:
    """Create sites. More than four repeat the places under other names."""
    sites: list[Site] = []
    for number in range(count):
        name, timezone, place, latitude, longitude = _SITES[number % len(_SITES)]
        sites.append(
            Site(
                id=make_id(seed, "site", number),
                name=name if number < len(_SITES) else f"{name} {number // len(_SITES) + 1}",
                timezone=timezone,
                location={"name": place, "latitude": latitude, "longitude": longitude},
            )
        )
    return sites


def build_devices(
    seed: int, count: int, sites: list[Site], blueprints: dict[str, Blueprint], now: float
) -> Iterator[Device]:
    """Create devices and spread them evenly over the sites.

    A site of three devices or more has a Gateway and UCMs on which its Lua devices run.
    """
    for place, site in enumerate(sites):
        first, end = count * place // len(sites), count * (place + 1) // len(sites)
        yield from _build_site(seed, range(first, end), site, blueprints, now)


def _build_site(
    seed: int, numbers: range, site: Site, blueprints: dict[str, Blueprint], now: float
) -> Iterator[Device]:
    names: dict[str, int] = {}
    ucm: Device | None = None
    on_ucm = equipment = 0
    for number in numbers:
        stock: Stock
        if len(numbers) >= 3 and number == numbers.start:
            stock = GATEWAY
        elif len(numbers) >= 3 and (ucm is None or on_ucm >= _PER_UCM):
            stock = VIRTUAL_UCM if ucm is None or ucm.type == HARDWARE_UCM.device_type else HARDWARE_UCM
        else:
            stock = EQUIPMENT[equipment % len(EQUIPMENT)]
            equipment += 1
        names[stock.name] = names.get(stock.name, 0) + 1
        device = _build_device(
            stock,
            blueprints[stock.name],
            seed=seed,
            number=number,
            ordinal=names[stock.name],
            site=site,
            ucm=ucm,
            now=now,
        )
        if stock in (VIRTUAL_UCM, HARDWARE_UCM):
            ucm, on_ucm = device, 0
        elif device.upstream_id:
            on_ucm += 1
        yield device


def _build_device(
    stock: Stock,
    blueprint: Blueprint,
    *,
    seed: int,
    number: int,
    ordinal: int,
    site: Site,
    ucm: Device | None,
    now: float,
) -> Device:
    device_id = make_id(seed, "device", number)
    chance = key(device_id, "chance")
    device_type, communication = stock.device_type, {"type": stock.communication}
    if stock.communication in ("UCM_LUA", "UCM_EMBEDDED", "LINK"):
        if ucm is None:
            device_type, communication = "STANDALONE", {"type": "MQTT_V1_TLS"}
        else:
            communication["upstream_id"] = ucm.id
    if "upstream_id" not in communication:
        prefix = "V" if stock is VIRTUAL_UCM else ""
        communication["hardware_id"] = prefix + hardware_id(seed, number)
        communication["channel_id"] = f"ch-{number}"
    alerts = list(blueprint.section("alerts"))
    return Device(
        id=device_id,
        name=f"{stock.manifest['display_name']} {ordinal}",
        slug=f"{stock.name.replace('_', '-')}-{ordinal}",
        type=device_type,
        blueprint=blueprint,
        site_id=site.id,
        # Some time in the thirty days before, to the microsecond.
        updated_at=now - 1 - chance % 2_592_000_000_000 / 1e6,
        communication=communication,
        # With the usual twenty devices everything is online.
        connectivity="OFFLINE" if number % 40 == 39 else "ONLINE",
        properties=report_properties(blueprint, number),
        raised_alert_names=[alerts[chance % len(alerts)]] if alerts and chance % 11 == 0 else [],
        clock=lambda: now,
    )


def report_properties(blueprint: Blueprint, number: int) -> dict[str, Any]:
    """Return property values that fit the manifest."""
    values: dict[str, Any] = {}
    for name, declaration in blueprint.section("properties").items():
        enum = declaration.get("enum")
        kind = declaration.get("type")
        if enum:
            values[name] = next(iter(enum))
        elif name == "serial_number":
            values[name] = f"SN-{number:05d}"
        elif name == "firmware_version":
            values[name] = f"2.{number % 7}.{number % 3}"
        else:
            values[name] = _PROPERTY_VALUES.get(str(kind), "unknown")
    return values


_PROPERTY_VALUES: dict[str, Any] = {
    "float": 500.5,
    "integer": 23,
    "boolean": True,
    "array_of_strings": ["modbus", "can"],
    "json": {"dhcp": True, "dns": ["10.0.0.1"]},
    "string": "unknown",
}
