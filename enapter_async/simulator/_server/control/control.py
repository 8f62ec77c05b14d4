"""The control API: everything under `/_simulator`."""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
from collections.abc import Collection
from typing import TYPE_CHECKING

from aiohttp import web

from ..errors import Refusal
from ..exchange.body import read_content
from ..exchange.responses import refusal_response
from ..texts import require_token
from . import devices, faults, settings, state, traffic
from .access import check_host, check_origin, check_token
from .clock import AdjustableClock
from .routing import PREFIX, Exchange, Route, find_route, render, require_json
from .static import HEADERS, StaticFiles

if TYPE_CHECKING:
    from ..simulator import Simulator

logger = logging.getLogger("enapter_async.simulator")

ROUTES: list[Route] = [route for module in (traffic, faults, settings, devices, state) for route in module.routes.all]


@functools.cache
def _static_files() -> StaticFiles:
    return StaticFiles()


class Control:
    """The control API of one simulator.

    Args:
        simulator: The simulator to control.
        token: The control token, by default a random one.
        hosts: Names of this machine that are accepted in addition to `localhost` and IP addresses.
    """

    def __init__(self, simulator: Simulator, token: str | None = None, hosts: Collection[str] = ()) -> None:
        self.token = secrets.token_urlsafe(24) if token is None else require_token("control_token", token)
        if " " in self.token:
            raise ValueError("control_token must not contain spaces")
        self._simulator = simulator
        self._hosts = hosts
        self._clock = AdjustableClock(simulator.world.clock)
        self._initial = settings.show_settings(simulator)

    def add_to(self, app: web.Application, stopping: asyncio.Event) -> None:
        """Serve the control API in an application.

        Args:
            app: The application.
            stopping: Set when the simulator stops.
        """

        async def serve(request: web.Request) -> web.StreamResponse:
            response = await self._serve(request, stopping)
            response.headers.update(HEADERS)
            return response

        app.router.add_route("*", PREFIX, serve)
        app.router.add_route("*", f"{PREFIX}/{{rest:.*}}", serve)

    async def _serve(self, request: web.Request, stopping: asyncio.Event) -> web.StreamResponse:
        try:
            check_host(request, self._hosts)
            if request.method in ("GET", "HEAD"):
                if request.path == PREFIX:
                    return web.Response(status=308, headers={"Location": f"{PREFIX}/"})
                file = _static_files().find(request.path.removeprefix(f"{PREFIX}/"))
                if file is not None:
                    return file
            check_origin(request)
            check_token(request, self.token)
            return await self._answer(request, stopping)
        except Refusal as refusal:
            return refusal_response(refusal)
        except Exception:
            logger.exception("defect in %s %s", request.method, request.path)
            return refusal_response(Refusal(500, "internal server error", code="internal"))

    async def _answer(self, request: web.Request, stopping: asyncio.Event) -> web.Response:
        route, path = find_route(ROUTES, request.method, request.rel_url.raw_path)
        content = await read_content(request)
        require_json(request, content)
        payload = await route.handler(
            Exchange(self._simulator, self._clock, self._initial, stopping, request, content, path)
        )
        if payload is None:
            return web.Response(status=route.status)
        return web.Response(body=render(payload), status=route.status, content_type="application/json")
