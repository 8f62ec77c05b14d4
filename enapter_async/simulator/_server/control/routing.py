"""Routes of the control API, and the context of a handler."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote

import attrs
from aiohttp import web

from ..errors import Refusal, invalid_parameter, not_found
from ..exchange.body import Body
from ..world.entities import Device
from .clock import AdjustableClock
from .models import SettingsInfo

if TYPE_CHECKING:
    from ..simulator import Simulator

PREFIX = "/_simulator"
Payload: TypeAlias = "dict[str, Any] | None"
"""JSON of a response; None is a response without content."""
Handler: TypeAlias = "Callable[[Exchange], Awaitable[Payload]]"


@attrs.frozen
class Exchange:
    """One request to the control API.

    Attributes:
        simulator: The simulator to control.
        clock: The clock that replaces the world's as soon as it is changed.
        initial: The settings of the start.
        stopping: Set when the simulator stops.
        request: The request.
        content: Its body.
        path: Parameters of its path.
    """

    simulator: Simulator
    clock: AdjustableClock
    initial: SettingsInfo
    stopping: asyncio.Event
    request: web.Request
    content: bytes
    path: dict[str, str]

    def body(self) -> Body:
        """Read the body as a JSON object."""
        return Body.parse(self.content)

    def device(self) -> Device:
        """Find the device of the path, by ID or slug."""
        device = self.simulator.world.devices.find(self.path["device_id"])
        if device is None:
            raise not_found("device")
        return device

    def text(self, name: str) -> str | None:
        """Return a query parameter; an empty one counts as absent."""
        return self.request.query.get(name) or None

    def number(self, name: str, default: float, most: float) -> float:
        """Return a query parameter that is a number from 0 up to a limit."""
        text = self.text(name)
        if text is None:
            return default
        if not re.fullmatch(r"\d{1,15}(\.\d{1,9})?", text, re.ASCII) or float(text) > most:
            raise invalid_parameter(name, f"expected a number from 0 to {most:g}")
        return float(text)


@attrs.frozen
class Route:
    """One operation of the control API.

    Attributes:
        method: HTTP method.
        path: Path template below the prefix.
        handler: Answers it.
        status: Status of a successful response.
    """

    method: str
    path: str
    handler: Handler
    status: int

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """Return the parameters of a path, or None if the path does not match."""
        template = self.path[1:].split("/")
        if len(template) != len(segments):
            return None
        found: dict[str, str] = {}
        for pattern, segment in zip(template, segments, strict=True):
            if pattern.startswith("{"):
                found[pattern[1:-1]] = segment
            elif pattern != segment:
                return None
        return found


class Routes:
    """Routes, collected by decorators."""

    def __init__(self) -> None:
        self.all: list[Route] = []

    def add(self, method: str, path: str, *, status: int = 200) -> Callable[[Handler], Handler]:
        """Register a handler."""

        def register(handler: Handler) -> Handler:
            self.all.append(Route(method, path, handler, status))
            return handler

        return register


def find_route(routes: list[Route], method: str, raw_path: str) -> tuple[Route, dict[str, str]]:
    """Find the route of a request.

    Raises:
        Refusal: The path does not exist (404) or does not support the method (405).
    """
    segments = [unquote(segment) for segment in raw_path.removeprefix(f"{PREFIX}/").split("/")]
    matches = [(route, path) for route in routes if (path := route.match(segments)) is not None]
    if not matches:
        raise Refusal(404, "no such path", code="not_found")
    for route, path in matches:
        if route.method == method:
            return route, path
    allowed = ", ".join(sorted({route.method for route, _ in matches}))
    raise Refusal(405, "method not allowed", code="method_not_allowed", headers={"Allow": allowed})


def require_json(request: web.Request, content: bytes) -> None:
    """Refuse bodies that a plain form of another site could send.

    Raises:
        Refusal: The request has a body that is not declared as JSON (415).
    """
    if content and request.content_type != "application/json":
        raise Refusal(415, "send the body as application/json", code="unsupported_media_type")


def render(payload: object) -> bytes:
    """Write JSON; NaN and infinities, which JSON does not have, become null."""
    try:
        text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(payload), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _finite(value: Any) -> Any:
    return json.loads(json.dumps(value), parse_constant=lambda _: None)
