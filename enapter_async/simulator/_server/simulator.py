"""The simulator: a server of the Enapter HTTP API on loopback."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import ssl
import time
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Self, Unpack
from urllib.parse import quote

import attrs
from aiohttp import web

from .control.control import Control
from .control.routing import PREFIX
from .exchange.sockets import Sockets
from .faults import Chaos, FaultPlan
from .ledger import Ledger, RequestRecord
from .operations import Mode
from .options import Behaviour, BehaviourOptions
from .ratelimit import RateLimiter
from .resources import require_operation
from .roles import Grant, Role, default_token
from .server import Server
from .texts import require_names, require_text, require_token
from .tls import RunCertificate, Tls, load_certificate
from .world.world import World

# The server logs our own defects. Messages of aiohttp are about clients that do not speak HTTP.
_http_logger = logging.getLogger("enapter_async.simulator.http")
_http_logger.setLevel(logging.CRITICAL)

Latency = float | tuple[float, float]


class Simulator:
    """A simulated Enapter Cloud or Gateway on loopback, with one world in memory.

        async with Simulator(devices=20, seed=1) as sim:
            client = EnapterClient(base_url=sim.url, token=sim.token)

    Args:
        host: Address to listen on.
        port: Port to listen on, or 0 for a free one.
        devices: Number of devices to build.
        sites: Number of sites, by default one for six devices and at most three, or the Gateway's one.
        mode: `any` serves the API of both. `cloud` and `gateway` serve only the API of that kind of
            server.
        seed: The same seed gives the same world, token and random faults.
        token: The API token, by default made from the seed.
        role: Role of that token.
        tokens: Further tokens and their roles.
        users: Names accepted in `X-Enapter-Auth-User` and their roles, or None to ignore the header.
        rate_limit: Requests per second of one token, or None for no limit.
        burst: Number of requests that may arrive at once, by default one second's worth.
        latency: Seconds before every response, or the minimum and maximum of a uniform distribution.
        fault_rate: Share of requests that fail in some way, from 0 to 1.
        faults: A fault plan. It is also `sim.faults`, which you can change while the simulator runs.
        clock: Returns the current time of the world in Unix seconds.
        tls: Serve https. True makes a certificate for the run (extra `tls`), and clients trust `sim.ca_file`. For your
            own certificate, pass the path of a PEM file with certificate and key, or a path for each.
        ssl_context: Serve https with this context.
        control: Serve the control API and its page under `/_simulator`.
        control_token: The control token, by default a random one.
        control_hosts: Names under which the control API may be used, in addition to `localhost` and IP addresses.
        record_limit: Number of requests that `sim.requests` keeps.
        **options: Fields of `Behaviour` by name, such as `legacy_rule_engine=True`.

    Raises:
        ValueError: An argument is invalid, or the certificate cannot be used.
        TypeError: The argument does not exist, or has the wrong type.
        ImportError: `tls=True` needs the extra `tls`.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        devices: int = 20,
        sites: int | None = None,
        mode: Mode = "any",
        seed: int = 1,
        token: str | None = None,
        role: Role | str = Role.OWNER,
        tokens: Mapping[str, Role | str] | None = None,
        users: Mapping[str, Role | str] | None = None,
        rate_limit: float | None = None,
        burst: float | None = None,
        latency: Latency = 0.0,
        fault_rate: float = 0.0,
        faults: FaultPlan | None = None,
        clock: Callable[[], float] = time.time,
        tls: Tls = False,
        ssl_context: ssl.SSLContext | None = None,
        control: bool = True,
        control_token: str | None = None,
        control_hosts: Collection[str] = (),
        record_limit: int = 20_000,
        **options: Unpack[BehaviourOptions],
    ) -> None:
        _require_known(options)
        least, most = latency if isinstance(latency, tuple) else (latency, latency)
        _require_numbers(
            devices=devices, sites=sites, port=port, rate_limit=rate_limit, burst=burst,
            fault_rate=fault_rate, latency=least, record_limit=record_limit,
        )  # fmt: skip
        if devices < 0:
            raise ValueError(f"devices must not be negative, got {devices}")
        if sites is None:
            sites = 1 if mode == "gateway" else max(1, min(3, devices // 6))
        if sites < 0 or (mode == "gateway" and sites != 1):
            raise ValueError(f"sites must not be negative, and exactly 1 for a Gateway, got {sites}")
        if not 0 <= port <= 65_535:
            raise ValueError(f"the port must be from 0 to 65535, got {port}")
        if not 0 <= least <= most < math.inf:
            raise ValueError(
                f"latency must be finite, not negative, and its minimum not above its maximum, got {latency}"
            )
        self._host = require_text("host", host)
        self._port = port
        self._certificate: RunCertificate | None = None
        if tls is not False:
            if ssl_context is not None:
                raise ValueError("give either tls or ssl_context")
            if tls is True:
                self._certificate = RunCertificate(host)
                ssl_context = self._certificate.context
            else:
                ssl_context = load_certificate(tls)
        self._ssl_context = ssl_context
        self.token: str = default_token(seed) if token is None else token
        self.behaviour: Behaviour = Behaviour(mode=mode, **options)
        self._shape = (seed, devices, sites)
        self._clock = clock
        self.world: World = self.build_world()
        self.faults: FaultPlan = FaultPlan() if faults is None else faults
        self.chaos: Chaos = Chaos(fault_rate, seed)
        self.limiter: RateLimiter = RateLimiter(rate_limit, burst, _loop_time)
        self.ledger: Ledger = Ledger(record_limit)
        self.sockets: Sockets = Sockets(self.behaviour.ping_interval)
        self.grants: dict[str, Grant] = {}
        for name, level in {self.token: role, **(tokens or {})}.items():
            self.add_token(name, level)
        self.latency: Latency = latency
        self._chance = random.Random(seed)  # noqa: S311 - chance, not secrecy
        require_names("users", users or ())
        self._users = None if users is None else {name: _role(level) for name, level in users.items()}
        hosts = {host, *require_names("control_hosts", control_hosts)}
        self._control = Control(self, control_token, hosts) if control else None
        self._runner: web.AppRunner | None = None
        self._stopping: asyncio.Event | None = None

    def __repr__(self) -> str:
        state = "stopped" if self._runner is None else self.url
        return f"<Simulator {state} devices={len(self.world.devices)}>"

    @property
    def url(self) -> str:
        """The base URL. In gateway mode it ends in `/api`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        scheme = "http" if self._ssl_context is None else "https"
        suffix = "/api" if self.behaviour.mode == "gateway" else ""
        return f"{scheme}://{host}:{self.port}{suffix}"

    @property
    def ca_file(self) -> Path | None:
        """The PEM file with the authority that clients have to trust, if the certificate was made for the run."""
        return None if self._certificate is None else self._certificate.ca_file

    @property
    def control_page(self) -> str | None:
        """Address of the control page with the control token, or None without a control API."""
        if self._control is None:
            return None
        return f"{self.url.removesuffix('/api')}{PREFIX}/#token={quote(self._control.token, safe='')}"

    @property
    def port(self) -> int:
        """The port of the simulator."""
        if self._runner is not None and self._runner.addresses:
            return int(self._runner.addresses[0][1])
        return self._port

    @property
    def requests(self) -> list[RequestRecord]:
        """The received requests, oldest first."""
        return self.ledger.records

    def requests_of(self, operation: str) -> list[RequestRecord]:
        """Return the requests of one operation.

        Raises:
            ValueError: The operation does not exist.
        """
        require_operation(operation)
        return [record for record in self.requests if record.operation == operation]

    def build_world(self) -> World:
        """Build the initial world."""
        seed, devices, sites = self._shape
        return World(seed=seed, devices=devices, sites=sites, clock=self._clock, dropouts=self.behaviour.dropouts)

    def add_token(self, token: str, role: Role | str = Role.OWNER) -> Grant:
        """Accept another token. You can change the returned grant while the simulator runs.

        Raises:
            ValueError: The token is empty or cannot be sent in a header, or the role does not exist.
            TypeError: The token is not a string.
        """
        grant = self.grants[require_token("token", token)] = Grant(token=token, role=_role(role))
        return grant

    async def start(self) -> None:
        """Start to listen.

        Raises:
            OSError: The address is taken.
            RuntimeError: The simulator is already running.
        """
        if self._runner is not None:
            raise RuntimeError("the simulator runs already")
        self._stopping = asyncio.Event()
        server = Server(
            world=self.world,
            behaviour=self.behaviour,
            grants=self.grants,
            users=self._users,
            ledger=self.ledger,
            plan=self.faults,
            chaos=self.chaos,
            limiter=self.limiter,
            latency=self._next_latency,
            stopping=self._stopping,
            sockets=self.sockets,
        )
        app = server.application()
        if self._control is not None:
            self._control.add_to(app, self._stopping)
        runner = web.AppRunner(
            app, access_log=None, logger=_http_logger, shutdown_timeout=0.5, handler_cancellation=False
        )
        await runner.setup()
        try:
            site = web.TCPSite(
                runner, self._host, self._port, ssl_context=self._ssl_context, backlog=4096, reuse_address=True
            )
            await site.start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        if self._runner is None or self._stopping is None:
            return
        # Another start takes the same port, so that a client can outlive an outage.
        self._port = self.port
        self._stopping.set()
        self.sockets.close()
        runner, self._runner = self._runner, None
        await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _next_latency(self) -> float:
        latency = self.latency
        return self._chance.uniform(*latency) if isinstance(latency, tuple) else latency


def _loop_time() -> float:
    """Return the time of the running loop. Loops of tests may have their own clock."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()


def _role(role: Role | str) -> Role:
    return role if isinstance(role, Role) else Role.parse(role)


def _require_known(options: Mapping[str, object]) -> None:
    fields = attrs.fields_dict(Behaviour)
    for name in options:
        if name not in fields:
            close = get_close_matches(name, {*fields, *(Simulator.__init__.__kwdefaults__ or ())}, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise TypeError(f"Simulator() got an unexpected keyword argument {name!r}{hint}")


def _require_numbers(**values: object) -> None:
    for name, value in values.items():
        if value is not None and not isinstance(value, int | float):
            raise TypeError(f"{name} must be a number, got {value!r}")
