"""Rate limit, latency, fault rate, and the clock."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from ..errors import Refusal
from ..exchange.body import Body
from ..times import format_time, parse_time
from .clock import AdjustableClock
from .models import ClockInfo, SettingsInfo
from .routing import Exchange, Payload, Routes
from .structure import ShapeError, as_number, structure, unstructure

if TYPE_CHECKING:
    from ..simulator import Simulator

routes = Routes()

_LONGEST_LATENCY = 3_600.0
_MOVES = ("now", "offset", "advance")
_LAST_TIME = 32_503_680_000.0  # the year 3000


@routes.add("GET", "/settings")
async def get_settings(exchange: Exchange) -> Payload:
    """Return rate limit, latency and fault rate."""
    return {"settings": unstructure(show_settings(exchange.simulator))}


@routes.add("PATCH", "/settings")
async def change_settings(exchange: Exchange) -> Payload:
    """Change the given settings and keep the others."""
    simulator = exchange.simulator
    current: dict[str, Any] = unstructure(show_settings(simulator))
    fields = exchange.body().fields()
    if isinstance(fields.get("latency"), int | float):
        fields["latency"] = [fields["latency"]] * 2
    if "rate_limit" in fields:
        current["burst"] = None
    apply_settings(simulator, read_settings(current | fields))
    return {"settings": unstructure(show_settings(simulator))}


def show_settings(simulator: Simulator) -> SettingsInfo:
    """Describe the settings for all requests."""
    latency = simulator.latency
    return SettingsInfo(
        rate_limit=simulator.limiter.rate,
        burst=simulator.limiter.burst,
        latency=latency if isinstance(latency, tuple) else (latency, latency),
        fault_rate=simulator.chaos.rate,
    )


def read_settings(value: object, path: str = "") -> SettingsInfo:
    """Read settings.

    Raises:
        Refusal: The settings are invalid (400).
    """
    try:
        settings = structure(SettingsInfo, value, path)
        if settings.rate_limit is not None and settings.rate_limit <= 0:
            raise ShapeError("rate_limit", "must be a positive number of requests per second, or null")
        if settings.burst is not None and settings.burst < 1:
            raise ShapeError("burst", "must be at least 1, or null")
        if not 0 <= settings.latency[0] <= settings.latency[1] <= _LONGEST_LATENCY:
            raise ShapeError("latency", "expected seconds from 0 to 3600, or the least and the most of them")
        if not 0 <= settings.fault_rate <= 1:
            raise ShapeError("fault_rate", "must be from 0 to 1")
    except ShapeError as error:
        raise Refusal(400, str(error), code="invalid_field", details={"field": error.path}) from None
    return settings


def apply_settings(simulator: Simulator, settings: SettingsInfo) -> None:
    """Apply settings from now on. An unchanged rate limit keeps its buckets."""
    least, most = settings.latency
    simulator.latency = least if least == most else (least, most)
    simulator.chaos.rate = settings.fault_rate
    if (settings.rate_limit, settings.burst) != (simulator.limiter.rate, simulator.limiter.burst):
        simulator.limiter.change(settings.rate_limit, settings.burst)


@routes.add("GET", "/clock")
async def get_clock(exchange: Exchange) -> Payload:
    """Return the time of the simulated world."""
    return {"clock": unstructure(show_clock(exchange.simulator, exchange.clock))}


@routes.add("PATCH", "/clock")
async def change_clock(exchange: Exchange) -> Payload:
    """Set the clock, move it on, stop it or let it run."""
    body, clock = exchange.body(), exchange.clock
    unknown = set(body.fields()) - {*_MOVES, "frozen"}
    if unknown:
        raise body.refuse(min(unknown), "unknown field; fields: now, offset, advance, frozen")
    chosen = [name for name in _MOVES if name in body]
    if len(chosen) > 1:
        raise body.refuse(chosen[1], f"give it or {chosen[0]}")
    frozen = body.boolean("frozen", clock.frozen)
    world = exchange.simulator.world
    install_clock(exchange.simulator, clock)
    for name in chosen:
        world.move_clock(functools.partial(_move, clock, name, body, frozen=frozen))
    if frozen != clock.frozen:
        (clock.freeze if frozen else clock.run)()
    return {"clock": unstructure(show_clock(exchange.simulator, clock))}


def _move(clock: AdjustableClock, name: str, body: Body, *, frozen: bool) -> None:
    base = clock.base()
    if name == "now":
        try:
            moment = parse_time(body.text("now"))
        except ValueError as error:
            raise body.refuse("now", str(error)) from None
    else:
        seconds = as_number(body.value(name))
        if seconds is None:
            raise body.refuse(name, "expected a number of seconds")
        # A stopped clock is moved from the time at which it was stopped.
        moment = seconds + (base if name == "offset" else clock())
    if not 0 <= moment <= _LAST_TIME:
        raise body.refuse(name, "the clock goes from 1970 to 3000")
    if frozen and not clock.frozen:
        clock.freeze()  # first, so that it has exactly the time that is set
    if name == "offset":
        clock.shift(moment - base)
    else:
        clock.set(moment)


def install_clock(simulator: Simulator, clock: AdjustableClock) -> None:
    """Make the world use the adjustable clock, which follows the world's previous clock."""
    if simulator.world.clock is not clock:
        clock.base = simulator.world.clock
        simulator.world.clock = clock


def show_clock(simulator: Simulator, clock: AdjustableClock) -> ClockInfo:
    """Describe the clock."""
    now = simulator.world.now()
    installed = simulator.world.clock is clock
    return ClockInfo(
        now=format_time(now),
        unix=now,
        offset=round(clock.offset, 6) if installed else 0.0,
        frozen=installed and clock.frozen,
    )
