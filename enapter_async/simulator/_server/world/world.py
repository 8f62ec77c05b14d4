"""The world: the state of the simulator, without a server."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from ..catalogue import STOCK
from ..errors import conflict
from ..manifests.validation import require_shape
from ..roles import Role
from ..texts import require_text
from ..times import format_time, parse_time
from .entities import Blueprint, Device, LogRecord, Site
from .executions import ExecutionStore
from .plant import build_devices, build_sites, make_id, report_properties
from .rules import SAMPLES, Rule, RuleEngine, sample_rules
from .stated import SIMULATED, Record, build_record, stated_value
from .store import DeviceStore
from .timeline import BEGINNING, END
from .tracks import Track, track_of

Listener = Callable[[Any], None]


def minute_of(seconds: float) -> int:
    """Return the beginning of a minute in Unix seconds."""
    return math.floor(seconds / 60) * 60


class World:
    """Sites, devices and blueprints, built from a seed. Tests may change them while the simulator runs.

    Args:
        seed: The same seed gives the same world.
        devices: Number of devices to build.
        sites: Number of sites to build.
        clock: Returns the current time in Unix seconds, for everything that happens.
        dropouts: Whether devices and attributes fall silent for some minutes now and then, as they did before the
            start.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        devices: int = 20,
        sites: int = 1,
        clock: Callable[[], float] = time.time,
        dropouts: bool = False,
    ) -> None:
        self.seed = seed
        self.clock = clock
        self.started_at: float = clock()
        self.gaps_until: float = END if dropouts else minute_of(self.started_at)
        self.made: int = 0
        self.sites: dict[str, Site] = {site.id: site for site in build_sites(seed, sites)}
        self.built_sites: set[str] = set(self.sites)
        self.rule_engines: dict[str, RuleEngine] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self.blueprints: dict[str, Blueprint] = {}
        stock: dict[str, Blueprint] = {}
        for number, entry in enumerate(STOCK):
            blueprint = stock[entry.name] = Blueprint(
                id=make_id(seed, "blueprint", entry.name),
                manifest=entry.manifest,
                created_at=self.started_at - 86_400 * (30 + number),
                full_names=[{"namespace": "enapter", "name": entry.name, "tag": "latest"}],
            )
            self.blueprints[blueprint.id] = blueprint
        self.blank: Blueprint = Blueprint(
            "", {"blueprint_spec": "device/3.0", "display_name": "Unassigned", "runtime": {}}, 0
        )
        self.terminals: dict[str, tuple[str, str]] = {}  # by channel: the token, and the name of the Gateway
        self.device_profiles: bytes | None = None
        self.executions: ExecutionStore = ExecutionStore()
        self.devices: DeviceStore = DeviceStore()
        for device in build_devices(seed, devices, list(self.sites.values()), stock, self.started_at):
            device.clock = self.now
            self.devices.add(device)

    def now(self) -> float:
        """Return the time in Unix seconds."""
        return self.clock()

    def adopt(self, other: World) -> None:
        """Replace the content with that of another world. Clock, listeners and options stay."""
        for name, value in vars(other).items():
            if name not in ("clock", "gaps_until", "_listeners"):
                setattr(self, name, value)
        if self.gaps_until < END:  # what was served without gaps has none later on
            self.gaps_until = min(self.gaps_until, minute_of(other.started_at))
        for device in self.devices.values():
            device.clock = self.now

    def move_clock(self, move: Callable[[], None]) -> None:
        """Set the clock with a function. Devices remember which time was skipped, and which is seen again."""
        for device in self.devices.values():
            device.note()
        move()
        for device in self.devices.values():
            device.timeline.skip(self.now())
            device.note()

    def new_id(self, kind: str) -> str:
        """Return a new ID for an entity that is created at run time."""
        self.made += 1
        return make_id(self.seed, f"made/{kind}", self.made)

    # Sites

    @property
    def own_site(self) -> Site | None:
        """The Gateway's own site: the first one."""
        return next(iter(self.sites.values()), None)

    def add_site(self, name: str, timezone: str = "UTC", location: dict[str, Any] | None = None) -> Site:
        """Add a site.

        Raises:
            ValueError: The name is empty.
        """
        site = Site(id=self.new_id("site"), name=require_text("name", name), timezone=timezone, location=location)
        self.sites[site.id] = site
        return site

    def remove_site(self, site_id: str) -> None:
        """Remove a site. Its devices then belong to no site."""
        for device in list(self.devices.ordered(site_id)):
            device.site_id = None
        del self.sites[site_id]
        self.devices.changed()

    # Blueprints

    def find_blueprint(self, name: str, namespace: str = "enapter", tag: str = "latest") -> Blueprint | None:
        """Find a blueprint by name. Of several with the same name and tag, the newest wins."""
        wanted = {"namespace": namespace, "name": name, "tag": tag}
        named = [blueprint for blueprint in self.blueprints.values() if wanted in blueprint.full_names]
        return max(named, key=lambda blueprint: blueprint.created_at, default=None)

    def require_blueprint(self, blueprint: str) -> Blueprint:
        """Return a blueprint by its ID, or by its name in the namespace `enapter`.

        Raises:
            KeyError: The blueprint does not exist.
        """
        found = self.blueprints.get(blueprint) or self.find_blueprint(blueprint)
        if found is None:
            names = {name["name"] for known in self.blueprints.values() for name in known.full_names}
            raise KeyError(f"there is no blueprint {blueprint!r}; known are {', '.join(sorted(names))}")
        return found

    def add_blueprint(
        self, manifest: dict[str, Any], *, archive: bytes | None = None, name: str | None = None
    ) -> Blueprint:
        """Add a blueprint made from a manifest.

        Raises:
            ValueError: A part of the manifest that must be a mapping is not one.
        """
        require_shape(manifest)
        full_names = [] if name is None else [{"namespace": "enapter", "name": name, "tag": "latest"}]
        blueprint = Blueprint(self.new_id("blueprint"), manifest, self.now(), full_names, archive)
        self.blueprints[blueprint.id] = blueprint
        return blueprint

    # Devices

    def add_device(
        self,
        name: str = "Device",
        *,
        blueprint: Blueprint | str | None = "weather_station",
        site: Site | str | None = None,
        slug: str | None = None,
        type: str = "STANDALONE",  # noqa: A002 - the API's own word
        communication: dict[str, Any] | None = None,
        device_id: str | None = None,
    ) -> Device:
        """Add a device.

        Args:
            name: Display name.
            blueprint: A blueprint, its ID, its name in the namespace `enapter`, or None.
            site: A site or its ID; None is the first site.
            slug: Unique on the site; by default made from the name.
            type: Device type.
            communication: How it is connected.
            device_id: ID; by default a new UUID.

        Raises:
            Refusal: The slug is taken (409).
            KeyError: The blueprint or the site does not exist.
            ValueError: The name or the slug is empty.
        """
        require_text("name", name)
        if slug is not None:
            require_text("slug", slug)
        if isinstance(site, str):
            site = self.sites[site]
        site = site or self.own_site
        site_id = None if site is None else site.id
        if blueprint is None:
            blueprint = self.blank
        if isinstance(blueprint, str):
            blueprint = self.require_blueprint(blueprint)
        device = Device(
            id=device_id or self.new_id("device"),
            name=name,
            slug=self.free_slug(name, site_id) if slug is None else slug,
            type=type,
            blueprint=blueprint,
            site_id=site_id,
            updated_at=self.now(),
            communication=communication or {"type": "MQTT_V1_TLS"},
            properties=report_properties(blueprint, len(self.devices)),
            clock=self.now,
        )
        self.check_slug(device.slug, site_id, device.id)
        self.devices.add(device)
        return device

    def check_slug(self, slug: str, site_id: str | None, device_id: str) -> None:
        """Refuse a slug that another device of the site has."""
        other = self.devices.find(slug, site_id)
        if other is not None and other.id != device_id and other.site_id == site_id:
            raise conflict(f"slug {slug!r} is taken")

    def free_slug(self, name: str, site_id: str | None) -> str:
        """Return a slug made from a name, unique on the site."""
        base = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "device"
        slug, number = base, 1
        while self.devices.find(slug, site_id) is not None:
            number += 1
            slug = f"{base}-{number}"
        return slug

    def touch(self, device: Device) -> None:
        """Note that a device was changed."""
        device.updated_at = self.now()
        self.devices.changed()

    def raise_alert(self, device: Device, name: str) -> None:
        """Raise an alert, declared or not."""
        if name not in device.raised_alert_names:
            device.raised_alert_names = [*device.raised_alert_names, name]

    def clear_alert(self, device: Device, name: str) -> None:
        """End an alert."""
        if name in device.raised_alert_names:
            device.raised_alert_names = [other for other in device.raised_alert_names if other != name]

    def log(self, device: Device, message: str, severity: str = "info", *, persistent: bool = True) -> LogRecord:
        """Write a record to a device's log."""
        now = self.now()
        record = LogRecord(int(now), parse_time(format_time(now)), severity, message, persistent)
        device.logs.append(record)
        self._publish(f"device/{device.id}", record)
        return record

    # Rules

    def rule_engine(self, site_id: str) -> RuleEngine:
        """Return a site's rule engine. Sites that were built with the world start with some rules."""
        engine = self.rule_engines.get(site_id)
        if engine is None:
            engine = self.rule_engines[site_id] = RuleEngine(make_id(self.seed, "rule_engine", site_id))
            if site_id in self.built_sites:
                ids = [make_id(self.seed, f"rule/{site_id}", number) for number in range(SAMPLES)]
                engine.rules = {rule.id: rule for rule in sample_rules(ids)}
        return engine

    def rule_log(self, rule: Rule, message: str, severity: str = "info") -> None:
        """Write to a rule's log, for those who follow it."""
        frame = {"timestamp": int(self.now()), "severity": severity, "message": message}
        self._publish(f"rule/{rule.id}", frame)

    # Events

    def listen(self, topic: str, listener: Listener) -> None:
        """Call a listener with every event of a topic: `device/<id>` or `rule/<id>`."""
        self._listeners.setdefault(topic, []).append(listener)

    def unlisten(self, topic: str, listener: Listener) -> None:
        """Stop calling a listener."""
        self._listeners[topic].remove(listener)
        if not self._listeners[topic]:
            del self._listeners[topic]

    def _publish(self, topic: str, event: Any) -> None:
        for listener in list(self._listeners.get(topic, ())):
            listener(event)

    # Telemetry

    def track(self, device: Device, attribute: str) -> Track | None:
        """Return the simulated telemetry of an attribute, or None if the device does not declare it."""
        profile = device.blueprint.signals.get(attribute)
        return None if profile is None else track_of(profile, self.seed, device.id, self.gaps_until)

    def latest(self, device: Device, attribute: str) -> tuple[Any, int] | None:
        """Return an attribute's newest value and its timestamp, or None if there is none."""
        return self.serve_latest(device, [attribute])[attribute]

    def serve_latest(self, device: Device, attributes: Iterable[str]) -> dict[str, tuple[Any, int] | None]:
        """Return the newest values of attributes and their timestamps, for a client. History keeps them."""
        device.note().serve()
        return {name: self.peek(device, name) for name in attributes}

    def peek(self, device: Device, attribute: str) -> tuple[Any, int] | None:
        """Return what `latest` would return, without making it final: changes within this second still count."""
        timeline, track = device.timeline, self.track(device, attribute)
        second = timeline.newest
        while second > BEGINNING:
            stretch = timeline.at(second)
            earlier = math.ceil(stretch.begin) - 1
            dropout = track.gaps(second, second + 1) if track is not None and second < self.gaps_until else []
            if not stretch.online:
                second = earlier
            elif dropout:
                second = dropout[0][0] - 1
            else:
                value = stated_value(device, stretch, attribute)
                if value is not SIMULATED:
                    return value, second
                sample = earlier if track is None else second - second % track.signal.period
                if track is not None and sample > earlier:
                    return track.signal.value(track.level(sample)), sample
                second = earlier
        return None

    def record(self, device: Device, attribute: str, *, store_and_forward: bool) -> Record | None:
        """Return the values of an attribute over time, or None if the device never had the attribute.

        Args:
            device: The device.
            attribute: The attribute.
            store_and_forward: Whether the device uploaded its values from past outages when it reconnected.
        """
        stretches = device.note().stretches()
        if store_and_forward:
            stretches = [attrs.evolve(one, online=one.online or one.end < END) for one in stretches]
        return build_record(device, stretches, attribute, self.track(device, attribute), self.seed)

    def readable(self, device: Device, role: Role) -> list[str]:
        """List the attributes that a role may read."""
        names = dict.fromkeys([*device.blueprint.signals, *device.telemetry])
        return [name for name in names if device.blueprint.attribute_role(name) <= role]
