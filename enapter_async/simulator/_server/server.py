"""The pipeline that every request goes through, and the routes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import attrs
from aiohttp import web

from .errors import Refusal, envelope, no_telemetry
from .exchange.body import read_content
from .exchange.call import Call
from .exchange.connections import TRUNCATE_AT, break_connection, is_broken, peer_port
from .exchange.query import Query
from .exchange.responses import json_response, refusal_response
from .exchange.sockets import Sockets
from .faults import Chaos, Fault, FaultPlan, FaultRule
from .ledger import Ledger, RequestRecord, mask_headers
from .operations import Mode, Operation
from .options import Behaviour
from .ratelimit import RateLimiter, retry_after
from .resources import OPERATIONS, UNLISTED
from .roles import Grant, Role
from .world.world import World

logger = logging.getLogger("enapter_async.simulator")

MAX_BODY = 64 * 1024 * 1024
_KEPT_BODY = 64 * 1024
_ANONYMOUS = Grant(token="", role=Role.READONLY)


@attrs.define(kw_only=True)
class Server:
    """The steps of a request: record, faults, https, latency, rate limit, token, role, handler."""

    world: World
    behaviour: Behaviour
    grants: dict[str, Grant]
    users: dict[str, Role] | None
    ledger: Ledger
    plan: FaultPlan
    chaos: Chaos
    limiter: RateLimiter
    latency: Callable[[], float]
    stopping: asyncio.Event
    sockets: Sockets
    _acting: dict[tuple[str, str], Grant] = attrs.field(factory=dict[tuple[str, str], Grant], init=False)

    def application(self) -> web.Application:
        """Build the aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._unmatched])
        prefixes = {"any": ("", "/api"), "cloud": ("",), "gateway": ("/api",)}[self.behaviour.mode]
        for prefix in prefixes:
            for operation in (*OPERATIONS, *UNLISTED):
                if operation.served_in(self.behaviour.mode):
                    app.router.add_route(operation.method, prefix + operation.path, self._endpoint(operation))
        return app

    def _endpoint(self, operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def endpoint(request: web.Request) -> web.StreamResponse:
            return await self._serve(request, operation)

        return endpoint

    @web.middleware
    async def _unmatched(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Treat unknown paths and methods like any other request, with the same envelope."""
        if request.match_info.http_exception is None:
            return await handler(request)
        return await self._serve(request, None)

    async def _serve(self, request: web.Request, operation: Operation | None) -> web.StreamResponse:
        started = time.perf_counter()
        record = self._record(request, operation)
        self.ledger.open(record)
        try:
            response = await self._serve_recorded(request, operation, record)
            if response.status == 101 or not is_broken(request):  # a stream was answered when it began
                record.status = response.status
        finally:
            record.duration = time.perf_counter() - started
            self.ledger.close(record)
        return response

    def _record(self, request: web.Request, operation: Operation | None) -> RequestRecord:
        query: dict[str, list[str]] = {}
        for name, value in request.query.items():
            query.setdefault(name, []).append(value)
        return RequestRecord(
            method=request.method,
            path=request.path,
            raw_path=request.raw_path,
            query=query,
            headers=mask_headers(request.headers),
            token=request.headers.get("X-Enapter-Auth-Token"),
            user=request.headers.get("X-Enapter-Auth-User"),
            body=b"",
            connection=peer_port(request),
            received_at=asyncio.get_running_loop().time(),
            operation=None if operation is None else operation.id,
        )

    async def _serve_recorded(
        self, request: web.Request, operation: Operation | None, record: RequestRecord
    ) -> web.StreamResponse:
        try:
            content = await read_content(request)
        except Refusal as refusal:
            return refusal_response(refusal)
        record.body = content[:_KEPT_BODY]
        rule = self.plan.next(record.operation, record.method, record.path) or self.chaos.next()
        if rule is not None:
            record.fault = rule.fault.name
            if rule.fault.kind == "truncate":
                request[TRUNCATE_AT] = rule.fault.count
            elif rule.fault.kind not in ("delay", "drip") and rule.when == "before":
                return await self._break(request, rule.fault)
        delay = self.latency() + (rule.fault.seconds if rule and rule.fault.kind == "delay" else 0.0)
        if delay > 0:
            await self._sleep(delay)
        try:
            response = await self._answer(request, operation, content, record)
        except Refusal as refusal:
            response = refusal_response(refusal)
        except web.HTTPException:
            raise
        except ConnectionError:
            return web.Response(status=500)  # never seen: the client has disconnected
        except Exception:
            logger.exception("defect in %s", record.operation)
            response = json_response(envelope("internal server error", code="internal"), 500)
        return response if rule is None else await self._spoil(request, response, rule)

    async def _answer(
        self, request: web.Request, operation: Operation | None, content: bytes, record: RequestRecord
    ) -> web.StreamResponse:
        self._insist_on_https(request)
        wait = self.limiter.wait(record.token if record.token in self.grants else "")
        if wait:
            raise Refusal(
                429, "too many requests", code="too_many_requests", headers={"Retry-After": retry_after(wait)}
            )
        if operation is None:
            raise self._no_operation(request)
        call = Call(
            world=self.world,
            behaviour=self.behaviour,
            grant=self._authenticate(record, operation),
            request=request,
            content=content,
            query=Query(record.query, self.behaviour.clamp_limit),
            role=operation.role or Role.READONLY,
            stopping=self.stopping,
            sockets=self.sockets,
            ledger=self.ledger,
            record=record,
        )
        response = await operation.handler(call)
        record.applied = response.status < 400
        return response

    def _insist_on_https(self, request: web.Request) -> None:
        """Redirect plain http unless the client asks for it (reference.md, section 14)."""
        allowed = self.behaviour.allow_http or request.headers.get("X-Enapter-Allow-HTTP", "").lower() == "true"
        if self.behaviour.mode != "any" and not request.secure and not allowed:
            location = f"https://{request.host}{request.raw_path}"
            raise Refusal(308, "use https", code="permanent_redirect", headers={"Location": location})

    def _no_operation(self, request: web.Request) -> Refusal:
        if isinstance(request.match_info.http_exception, web.HTTPMethodNotAllowed):
            allowed = ", ".join(allowed_methods(request.path.removeprefix("/api"), self.behaviour.mode))
            return Refusal(405, "method not allowed", code="method_not_allowed", headers={"Allow": allowed})
        return Refusal(404, "no such path")

    def _authenticate(self, record: RequestRecord, operation: Operation) -> Grant:
        if not record.token:
            if operation.role is None:
                return _ANONYMOUS
            raise Refusal(401, "Authentication token is missing.", code="missing_header", details=_TOKEN_HEADER)
        grant = self.grants.get(record.token)
        if grant is None or grant.expired:
            raise Refusal(403, "Authentication token is invalid.", code="invalid_header", details=_TOKEN_HEADER)
        if record.user and self.users is not None:
            role = self.users.get(record.user)
            if role is None and operation.id == "queryTimeseries":
                raise no_telemetry()  # history does not tell who exists (reference.md, section 6)
            if role is None:
                raise Refusal(403, "the user does not exist", code="invalid_header", details=_USER_HEADER)
            # Keep the grant: a user who creates a site becomes its installer.
            acting = self._acting.setdefault((record.token, record.user), Grant(token=grant.token))
            acting.role = min(role, grant.role)
            return acting
        return grant

    async def _break(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        """Answer wrongly, or not at all."""
        if fault.kind == "answer":
            if fault.body is None:
                payload = envelope(f"injected fault {fault.status}", code="injected_fault")
                return json_response(payload, fault.status, fault.headers)
            return web.Response(
                status=fault.status, body=fault.body, content_type=fault.content_type, headers=fault.headers
            )
        if fault.kind == "hang":
            await self._sleep(fault.seconds)
        break_connection(request, reset=fault.kind == "reset")
        return web.Response(status=500)  # never seen: the connection is closed

    async def _spoil(self, request: web.Request, response: web.StreamResponse, rule: FaultRule) -> web.StreamResponse:
        """Do to a finished response what the rule says."""
        fault = rule.fault
        if fault.kind == "delay" or response.prepared or not isinstance(response, web.Response):
            return response
        if fault.kind not in ("truncate", "drip"):
            return await self._break(request, fault)
        body = response.body if isinstance(response.body, bytes) else b""
        spoiled = web.StreamResponse(status=response.status, headers=response.headers)
        spoiled.content_length = len(body)
        await spoiled.prepare(request)
        if fault.kind == "truncate":
            await spoiled.write(body[: fault.count])
            break_connection(request, reset=False)
            return spoiled
        for place in range(len(body)):
            if place:  # nor after the last byte: with it the response is complete
                await self._sleep(fault.seconds)
            if self.stopping.is_set():
                break
            await spoiled.write(body[place : place + 1])
        return spoiled

    async def _sleep(self, seconds: float) -> None:
        """Wait, but not past the end of the simulator."""
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            pass


_TOKEN_HEADER = {"header": "X-Enapter-Auth-Token"}
_USER_HEADER = {"header": "X-Enapter-Auth-User"}


def allowed_methods(path: str, mode: Mode) -> list[str]:
    """List the methods of a path: `/v3/blueprints/upload` is also the path of a blueprint, but is not meant so."""
    found: dict[int, set[str]] = {}
    segments = path.split("/")
    for operation in OPERATIONS:
        template = operation.path.split("/")
        pairs = list(zip(template, segments, strict=False))
        if operation.served_in(mode) and len(template) == len(segments):
            literal = sum(pattern == segment for pattern, segment in pairs)
            if all(pattern == segment or pattern.startswith("{") for pattern, segment in pairs):
                found.setdefault(literal, set()).add(operation.method)
    return sorted(found[max(found)]) if found else []
