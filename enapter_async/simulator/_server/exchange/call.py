"""One request on its way to a handler."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs
from aiohttp import web

from ..errors import Refusal, not_found
from ..ledger import Ledger, RequestRecord
from ..options import Behaviour
from ..roles import Grant, Role
from ..world.entities import Device, Site
from ..world.world import World
from .body import Body
from .query import Query
from .responses import json_response

if TYPE_CHECKING:
    from .sockets import Sockets


@attrs.frozen(kw_only=True)
class Call:
    """The context of a handler.

    Attributes:
        world: The simulated world.
        behaviour: How this server behaves.
        grant: The caller; anonymous ones have the lowest role.
        request: The request itself.
        content: Its whole body.
        query: Its query parameters.
        role: Lowest role of the operation.
        stopping: Set when the simulator stops.
        sockets: The open WebSockets.
        ledger: Where requests are counted.
        record: The record of this request.
    """

    world: World
    behaviour: Behaviour
    grant: Grant
    request: web.Request
    content: bytes
    query: Query
    role: Role
    stopping: asyncio.Event
    sockets: Sockets
    ledger: Ledger
    record: RequestRecord

    @property
    def operation(self) -> str | None:
        """The operationId."""
        return self.record.operation

    def begin_stream(self) -> None:
        """Count this request as an open stream, no longer as a request in flight."""
        self.ledger.begin_stream(self.record)

    def path(self, name: str) -> str:
        """Return a decoded path parameter."""
        return self.request.match_info[name]

    def body(self) -> Body:
        """Read the body as a JSON object."""
        return Body.parse(self.content)

    def require(self, role: Role, site_id: str | None) -> None:
        """Refuse a caller whose role on a site is too low."""
        if self.grant.role_on(site_id) < role:
            raise Refusal(
                403,
                f"the role {role.name} is needed",
                code="insufficient_role",
                details={"required_role": role.name},
            )

    def site(self, role: Role | None = None) -> Site:
        """Return the site of the path, or the Gateway's own site if the path names none."""
        site_id = self.request.match_info.get("site_id")
        site = self.world.own_site if site_id is None else self.world.sites.get(site_id)
        if site is None:
            raise not_found("site")
        self.require(role or self.role, site.id)
        return site

    def device(self, role: Role | None = None) -> Device:
        """Return the device of the path, by ID or, where slugs are accepted, by slug (reference.md, section 14)."""
        site = self.site(Role.READONLY) if "site_id" in self.request.match_info else None
        slugs = site is not None or self.behaviour.mode != "cloud"
        device = self.world.devices.find(self.path("device_id"), None if site is None else site.id, slugs=slugs)
        if device is None:
            raise not_found("device")
        self.require(role or self.role, device.site_id)
        return device

    def done(self) -> web.Response:
        """Answer a deletion: both forms are in use (reference.md, Known quirks 16)."""
        return web.Response(status=204) if self.behaviour.no_content else json_response({})

    def created(self, payload: object) -> web.Response:
        """Answer a creation."""
        return json_response(payload, 201 if self.behaviour.created else 200)
