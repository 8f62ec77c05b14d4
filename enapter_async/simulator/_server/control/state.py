"""The whole state of a simulator as JSON: saved, loaded, and as it was at the start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import attrs

from ..errors import Refusal
from ..faults import FaultPlan, FaultRule
from ..shapes import as_mapping
from ..world.entities import Blueprint, Device, Site
from ..world.executions import Execution
from ..world.rules import RuleEngine
from ..world.world import World
from .clock import AdjustableClock
from .models import SettingsInfo
from .routing import Exchange, Payload, Routes
from .settings import apply_settings, install_clock, read_settings, show_settings
from .structure import ShapeError, structure, unstructure

if TYPE_CHECKING:
    from ..simulator import Simulator

routes = Routes()

FORMAT = "enapter-simulator-state/1"


@attrs.frozen(kw_only=True)
class SavedWorld:
    """A world in a state. Devices name their blueprint by ID."""

    seed: int
    started_at: float
    made: int
    built_sites: list[str]
    sites: list[Site]
    blueprints: list[Blueprint]
    devices: list[Any]
    executions: list[Execution]
    rule_engines: dict[str, RuleEngine]
    device_profiles: bytes | None = None


@attrs.frozen(kw_only=True)
class SavedClock:
    """The clock in a state: an offset, or the time at which it stands still."""

    offset: float = 0.0
    frozen_at: float | None = None


@attrs.frozen(kw_only=True)
class SavedState:
    """Everything in a state but the requests."""

    format: str
    world: SavedWorld
    settings: SettingsInfo
    clock: SavedClock = attrs.field(factory=SavedClock)
    faults: list[FaultRule] = attrs.field(factory=list[FaultRule])


@routes.add("GET", "/state")
async def save_state(exchange: Exchange) -> Payload:
    """Return the whole state, for `PUT /state` here or in another simulator."""
    return dump_state(exchange.simulator, exchange.clock)


@routes.add("PUT", "/state", status=204)
async def load_state(exchange: Exchange) -> Payload:
    """Load a state that `GET /state` returned."""
    restore_state(exchange.simulator, exchange.clock, exchange.body().fields())
    return None


@routes.add("POST", "/reset", status=204)
async def reset(exchange: Exchange) -> Payload:
    """Restore the initial world, settings and clock, and forget requests and faults."""
    simulator = exchange.simulator
    exchange.clock.reset()
    simulator.world.adopt(simulator.build_world())
    simulator.faults.clear()
    simulator.ledger.clear()
    apply_settings(simulator, exchange.initial)
    simulator.limiter.change(exchange.initial.rate_limit, exchange.initial.burst)
    return None


def dump_state(simulator: Simulator, clock: AdjustableClock) -> dict[str, Any]:
    """Return the JSON of a simulator's state."""
    world = simulator.world
    installed = world.clock is clock
    saved = SavedWorld(
        seed=world.seed,
        started_at=world.started_at,
        made=world.made,
        built_sites=sorted(world.built_sites),
        sites=list(world.sites.values()),
        blueprints=list(world.blueprints.values()),
        devices=[_dump_device(device) for device in world.devices.ordered()],
        executions=list(world.executions),
        rule_engines=world.rule_engines,
        device_profiles=world.device_profiles,
    )
    state = SavedState(
        format=FORMAT,
        world=saved,
        settings=show_settings(simulator),
        clock=SavedClock(
            offset=clock.offset if installed else 0.0,
            frozen_at=clock() if installed and clock.frozen else None,
        ),
        faults=[planned.rule for planned in simulator.faults.planned],
    )
    return cast("dict[str, Any]", unstructure(state))


def _dump_device(device: Device) -> dict[str, Any]:
    device.note()
    return {**unstructure(device, leave_out={"blueprint", "clock"}), "blueprint_id": device.blueprint.id}


def restore_state(simulator: Simulator, clock: AdjustableClock, document: Mapping[str, Any]) -> None:
    """Load a saved state into the simulator. The requests so far are kept.

    Raises:
        Refusal: The state is invalid (400). Nothing is changed then.
    """
    if document.get("format") != FORMAT:
        raise Refusal(400, f"format: expected {FORMAT!r}", code="invalid_field", details={"field": "format"})
    try:
        state = structure(SavedState, dict(document))
        world = _build_world(state.world)
    except ShapeError as error:
        raise Refusal(400, str(error), code="invalid_field", details={"field": error.path}) from None
    read_settings(document["settings"], "settings")
    install_clock(simulator, clock)
    clock.restore(state.clock.offset, state.clock.frozen_at)
    simulator.world.adopt(world)
    for device in world.devices.values():
        device.timeline.resume(clock())
    apply_settings(simulator, state.settings)
    _restore_faults(simulator.faults, state.faults)


def _build_world(saved: SavedWorld) -> World:
    world = World(seed=saved.seed, devices=0, sites=0)
    world.started_at = saved.started_at
    world.made = saved.made
    world.sites = {site.id: site for site in saved.sites}
    world.built_sites = set(saved.built_sites)
    world.rule_engines = saved.rule_engines
    world.blueprints = {blueprint.id: blueprint for blueprint in saved.blueprints}
    world.device_profiles = saved.device_profiles
    for execution in saved.executions:
        world.executions.add(execution)
    for number, loaded in enumerate(saved.blueprints):
        _check_manifest(loaded, f"world.blueprints[{number}].manifest")
    blueprints = {**world.blueprints, world.blank.id: world.blank}
    for number, fields in enumerate(saved.devices):
        path = f"world.devices[{number}]"
        if not isinstance(fields, dict):
            raise ShapeError(path, "expected an object")
        known = cast("dict[str, Any]", fields)
        blueprint = blueprints.get(str(known.get("blueprint_id")))
        if blueprint is None:
            raise ShapeError(f"{path}.blueprint_id", "the blueprint does not exist")
        rest = {name: value for name, value in known.items() if name != "blueprint_id"}
        world.devices.add(structure(Device, rest, path, given={"blueprint": blueprint, "clock": world.now}))
    return world


def _check_manifest(blueprint: Blueprint, path: str) -> None:
    """Refuse manifests that the simulator could not serve. Otherwise a manifest may be incomplete."""
    for section in ("telemetry", "properties", "alerts", "commands", "configuration"):
        entries: dict[str, Any] = blueprint.section(section)
        for name, entry in entries.items():
            if as_mapping(entry) is None:
                raise ShapeError(f"{path}.{section}.{name}", "expected an object")
    try:
        signals = blueprint.signals.values()
        readable = all(signal.range[0] <= signal.range[1] for signal in signals)
    except (AttributeError, KeyError, TypeError, ValueError):
        readable = False
    if not readable:
        raise ShapeError(f"{path}.telemetry", "expected attributes that can be simulated")


def _restore_faults(plan: FaultPlan, rules: list[FaultRule]) -> None:
    plan.clear()
    for rule in rules:
        plan.add(rule)
