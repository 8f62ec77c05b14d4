"""The API client, with the services as attributes."""

from __future__ import annotations

import asyncio
import os
import ssl
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Final, Literal, NoReturn, Self, TypedDict, Unpack, cast
from urllib.parse import urlsplit

import aiohttp
import attrs

from enapter_async._arguments import (
    describe_value,
    find_callback_fault,
    refuse_argument,
)
from enapter_async._catalogue import RawServices, Services, resource
from enapter_async._files import load_ca_file
from enapter_async._protocol import query as query_strings
from enapter_async._protocol.body import any_json, dumps
from enapter_async._protocol.request import JSON_TYPE, Operation, Request, Safety
from enapter_async._protocol.urls import relative_path
from enapter_async._protocol.values import require_timeout
from enapter_async._session import Session
from enapter_async._transport.client_state import ClientState
from enapter_async._transport.http import HttpTransport
from enapter_async._transport.lifetime import Lifetime, shielded
from enapter_async._transport.rate_limit.limiter import Gate, Limiter, RetryBudget
from enapter_async._transport.rate_limit.shared_limiter import SharedLimiter, Source
from enapter_async._transport.resolver import LocalNameResolver, is_local_name
from enapter_async._transport.token import TokenSource
from enapter_async.config import (
    CLOUD_URL,
    DEFAULT_MAX_IN_FLIGHT,
    DEFAULT_MAX_RESPONSE_BYTES,
    DEFAULT_MAX_STREAMS,
    ClientConfig,
    RateLimit,
    RetryPolicy,
    SharedRateLimit,
    Timeouts,
    TokenProvider,
    checked_header_value,
    settings_from_environment,
)
from enapter_async.errors import (
    ConfigurationError,
    InsecureConnectionWarning,
    MissingExtraError,
)
from enapter_async.hooks import Hook
from enapter_async.models.common import JSON, UNSET, Unset

_METHODS: Final = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE"})


class ClientOptions(TypedDict, total=False):
    """Keyword arguments of `EnapterClient`, `from_env` and `gateway`. `EnapterClient` describes them."""

    user: str | None
    app: str | None
    timeouts: Timeouts
    retry: RetryPolicy
    rate_limit: RateLimit
    shared_rate_limit: SharedRateLimit | None
    max_in_flight: int
    max_streams: int
    max_response_bytes: int
    http_session: aiohttp.ClientSession | None
    hooks: Iterable[Hook]
    trust_env: bool
    proxy: str | None
    ssl_context: ssl.SSLContext | None


@attrs.frozen
class Load:
    """Current load of a client and its `with_options` copies.

    Attributes:
        in_flight: Requests being sent or waiting for a response.
        waiting: Calls waiting for the rate limit or the in-flight limit.
        requests_per_second: Current rate limit, None while there is none.
        retry_budget: Number of retries that are allowed at the moment.
    """

    in_flight: int
    waiting: int
    requests_per_second: float | None
    retry_budget: float


class EnapterClient(Services):
    """An asyncio client for the Enapter HTTP API v3, in the Cloud or on a Gateway.

    Use it as `async with EnapterClient(token=...) as client:`, or close it with `aclose()`. It connects when needed.
    The client is bound to the event loop that it is first used in.

    Attributes:
        sites: Sites.
        devices: Devices.
        commands: Commands and their executions.
        properties: Properties of devices.
        configuration: Configuration of devices.
        logs: Log records of devices.
        telemetry: Latest values, history and live telemetry.
        streams: Live streams of everything that selected devices send.
        provisioning: Provisioning of new devices.
        blueprints: Blueprints and device profiles.
        rule_engine: Rule engines of sites.
        rules: Rules of sites.
    """

    def __init__(
        self,
        *,
        token: str | TokenProvider | None = None,
        user: str | None = None,
        base_url: str = CLOUD_URL,
        app: str | None = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        rate_limit: RateLimit | None = None,
        shared_rate_limit: SharedRateLimit | None = None,
        max_in_flight: int = DEFAULT_MAX_IN_FLIGHT,
        max_streams: int = DEFAULT_MAX_STREAMS,
        max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES,
        http_session: aiohttp.ClientSession | None = None,
        hooks: Iterable[Hook] = (),
        trust_env: bool = False,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Create a client. Nothing is opened or sent yet.

        Args:
            token: API token, or an async callable that returns one (called once more if the server rejects the
                token). None for anonymous calls (validating and downloading blueprints).
            user: Name of the user to act as. For trusted services only.
            base_url: Address without `/v3`. The address of a Gateway ends with `/api`.
            app: `name/version` of your program, for the User-Agent header.
            timeouts: Timeouts of calls and requests.
            retry: When and how failed requests are retried.
            rate_limit: Client-wide rate limit.
            shared_rate_limit: Rate limit shared with clients in other processes.
            max_in_flight: In-flight limit: maximum number of concurrent requests.
            max_streams: Maximum number of open streams, which do not count towards `max_in_flight`.
            max_response_bytes: Maximum size of a decoded response, in bytes. It does not apply to streams and
                downloads.
            http_session: An `aiohttp.ClientSession` to use. It is never closed, and its settings are never changed.
                The in-flight limit is at most the limit of its connector.
            hooks: Synchronous callables that receive every `Event`.
            trust_env: Read proxies from the environment.
            proxy: URL of an HTTP proxy.
            ssl_context: TLS settings, for example for a Gateway with its own certificate.

        Raises:
            ConfigurationError: A setting is invalid. The token is never shown.
            MissingExtraError: `shared_rate_limit` needs the extra `redis`.
        """
        config = ClientConfig(
            base_url=base_url,
            token=token,
            user=user,
            app=app,
            timeouts=Timeouts() if timeouts is None else timeouts,
            retry=RetryPolicy() if retry is None else retry,
            rate_limit=RateLimit() if rate_limit is None else rate_limit,
            shared_rate_limit=shared_rate_limit,
            max_in_flight=max_in_flight,
            max_streams=max_streams,
            max_response_bytes=max_response_bytes,
            trust_env=trust_env,
            proxy=proxy,
        )
        if http_session is not None and not isinstance(http_session, aiohttp.ClientSession):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(
                f"http_session must be an aiohttp.ClientSession, got {describe_value(http_session)}"
            )
        if ssl_context is not None and not isinstance(ssl_context, ssl.SSLContext):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"ssl_context must be an ssl.SSLContext, got {describe_value(ssl_context)}")
        self._start(config, http_session, _checked_hooks(hooks), ssl_context)

    def _start(
        self,
        config: ClientConfig,
        http_session: aiohttp.ClientSession | None,
        hooks: tuple[Hook, ...],
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        lifetime = Lifetime()
        transport = HttpTransport(
            config.base_url,
            lifetime,
            ssl_context=ssl_context,
            proxy=config.proxy,
            trust_env=config.trust_env,
            session=http_session,
            resolver=LocalNameResolver() if is_local_name(urlsplit(config.base_url).hostname or "") else None,
        )
        width = min(config.max_in_flight, transport.connection_limit or config.max_in_flight)
        limiter, self._source = _limiter(config, width, hooks, lifetime.now)
        state = ClientState(
            transport=transport,
            limiter=limiter,
            budget=RetryBudget(clock=lifetime.now),
            lifetime=lifetime,
            tokens=TokenSource(config.token),
            streams=asyncio.Semaphore(config.max_streams),
            max_streams=config.max_streams,
            hooks=hooks,
            fixed_headers=_fixed_headers(config),
            adaptive=config.rate_limit.adaptive,
            max_response_bytes=config.max_response_bytes,
        )
        session = Session(state, timeouts=config.timeouts, retry=config.retry, user=config.user)
        self._use(config, session, owner=True)

    def _use(self, config: ClientConfig, session: Session, *, owner: bool) -> None:
        self._config = config
        self._session = session
        self._owner = owner

    @classmethod
    def from_env(cls, environment: Mapping[str, str] | None = None, **options: Unpack[ClientOptions]) -> EnapterClient:
        """Create a client from ENAPTER_HTTP_API_TOKEN, ENAPTER_HTTP_API_BASE_URL and ENAPTER_HTTP_API_USER.

        Args:
            environment: Variables to read. The default is `os.environ`.
            **options: Options of `EnapterClient`. `user` overrides the environment.

        Raises:
            ConfigurationError: The token is missing, or a setting is invalid.
        """
        found = settings_from_environment(os.environ if environment is None else environment)
        options.setdefault("user", found.get("user"))
        return cls(token=found["token"], base_url=found.get("base_url", CLOUD_URL), **options)

    @classmethod
    def gateway(
        cls,
        host: str = "enapter-gateway.local",
        *,
        token: str | TokenProvider | None = None,
        scheme: Literal["http", "https"] = "http",
        ca_file: str | os.PathLike[str] | None = None,
        verify: bool = True,
        **options: Unpack[ClientOptions],
    ) -> EnapterClient:
        """Create a client for a Gateway in the local network.

        Args:
            host: Name or address, with a port if it is not the default one. A `.local` name is resolved by mDNS if
                the extra `mdns` is installed, and otherwise by the system, which often fails in containers. An
                address always works. Use `discover_gateways` to find Gateways.
            token: API token of the Gateway. A Cloud token does not work.
            scheme: `http`, or `https` with the Gateway's self-signed certificate in `ca_file`.
            ca_file: PEM file with the certificate to trust.
            verify: False accepts any certificate, with a warning: an attacker in the network can read the token.
            **options: Options of `EnapterClient`.

        Raises:
            ConfigurationError: A setting is invalid.
        """
        if not isinstance(scheme, str) or scheme not in ("http", "https"):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"scheme must be 'http' or 'https', got {describe_value(scheme)}")
        if not isinstance(verify, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"verify must be True or False, got {describe_value(verify)}")
        options["ssl_context"] = _gateway_ssl_context(options.get("ssl_context"), ca_file, verify=verify)
        return cls(token=token, base_url=f"{scheme}://{_authority(host)}/api", **options)

    @property
    def config(self) -> ClientConfig:
        """Settings of the client. They include the token, but their repr does not show it."""
        return self._config

    def with_options(
        self,
        *,
        timeout: float | None = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        user: str | None = None,
    ) -> EnapterClient:
        """Return a copy with other options that shares connections, rate limit and retry budget.

        Closing the original also closes the copy. Closing the copy does nothing.

        Args:
            timeout: Timeout of a whole call, in seconds, including `commands.execute`.
            timeouts: All timeouts, if one number is not enough.
            retry: When and how failed requests are retried.
            user: Name of the user to act as.

        Raises:
            InvalidArgumentError: The timeout is invalid.
            ConfigurationError: Another option is invalid.
        """
        if timeout is not None:
            total = require_timeout(timeout)
            given = self._config if timeouts is None else attrs.evolve(self._config, timeouts=timeouts)
            timeouts = attrs.evolve(given.timeouts, total=total, command=total)
        if user is not None:
            user = checked_header_value("user", user)
        copy = object.__new__(type(self))
        session = self._session.with_options(timeouts=timeouts, retry=retry, user=user)
        copy._use(session.applied_to(self._config), session, owner=False)
        return copy

    @resource
    def raw(self) -> RawServices:
        """The same services, whose methods return a `Response`. Only methods that send one request are available."""
        return RawServices(self._session.raw())

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        json: JSON | Unset = UNSET,
        safety: Safety,
        timeout: float | None = None,
    ) -> JSON:
        """Send a request to an endpoint that the SDK does not support, with the same rate limit and retries.

        Args:
            method: GET, POST, PATCH, PUT or DELETE.
            path: Path below the base URL, such as `v3/devices`. It is percent-encoded where necessary.
            query: Query parameters.
            json: Body of the request.
            safety: Safety class of the request, which decides when it is retried.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The decoded JSON of the response, or None if the body is empty.

        Raises:
            InvalidArgumentError: An argument is invalid.
        """
        if not isinstance(method, str) or method not in _METHODS:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise refuse_argument("method", "must be GET, POST, PATCH, PUT or DELETE", method)
        if not isinstance(safety, Safety):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise refuse_argument("safety", "must be a Safety", safety)
        request = Request(
            Operation("client.request", method, safety),
            relative_path(path),
            query_strings.encode(query_strings.pairs(query)),
        )
        if json is not UNSET:
            request = attrs.evolve(request, body=dumps(json, "json"), content_type=JSON_TYPE)
        return await self._session.send(request, any_json, timeout)

    @property
    def load(self) -> Load:
        """Current load of the client."""
        state = self._session.state
        limiter = state.limiter
        return Load(limiter.in_flight, limiter.waiting, limiter.pace, state.budget.available)

    async def aclose(self) -> None:
        """End all running calls and close the client.

        A call that changes something and may have been sent raises `OutcomeUnknownError`. All others raise
        `ClientClosedError`. Closing again does nothing.

        Raises:
            WrongEventLoopError: The client is bound to another event loop.
        """
        if not self._owner:
            return
        state = self._session.state
        if not self._session.closed:
            state.lifetime.enter()
        state.limiter.close()
        with shielded():
            await state.lifetime.close()
            await state.transport.close()
            if self._source is not None:
                await self._source.aclose()

    async def __aenter__(self) -> Self:
        self._session.state.lifetime.enter()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __reduce__(self) -> NoReturn:
        raise TypeError("an EnapterClient cannot be pickled because of its token: create one in each process")

    def __repr__(self) -> str:
        return f"<EnapterClient {self._config.base_url}>"


def _limiter(
    config: ClientConfig, width: int, hooks: tuple[Hook, ...], clock: Callable[[], float]
) -> tuple[Gate, Source | None]:
    terms = config.shared_rate_limit
    if terms is None:
        return Limiter(config.rate_limit, width, clock=clock), None
    try:
        from enapter_async.integrations.redis_rate_limit import RedisSource
    except ImportError as error:
        raise MissingExtraError("throttled-py", "redis") from error
    # While Redis is unavailable, a client alone never exceeds the limit of all clients together.
    own = config.rate_limit
    rate = min(own.requests_per_second or terms.requests_per_second, terms.requests_per_second)
    alone = attrs.evolve(own, requests_per_second=rate, burst=own.burst or terms.burst)
    source = RedisSource(terms)
    return SharedLimiter(Limiter(alone, width, clock=clock), source, terms, hooks=hooks, clock=clock), source


def _fixed_headers(config: ClientConfig) -> dict[str, str]:
    from enapter_async import __version__

    agent = f"enapter-async/{__version__}"
    headers = {
        "User-Agent": f"{config.app} {agent}" if config.app else agent,
        # Only gzip, since a truncated body is detectable.
        "Accept-Encoding": "gzip",
    }
    if config.base_url.startswith("http://"):
        headers["X-Enapter-Allow-HTTP"] = "true"  # reference.md, Authentication and roles
    return headers


def _checked_hooks(hooks: object) -> tuple[Hook, ...]:
    try:
        checked = tuple(cast("Iterable[Hook]", hooks))
    except Exception:  # noqa: BLE001 - foreign code: any exception means that it is not iterable
        checked = None
    wrong = hooks
    if checked is not None:
        refused = [hook for hook in checked if find_callback_fault(hook) is not None]
        if not refused:
            return checked
        wrong = refused[0]
    raise ConfigurationError(
        "hooks must be an iterable of synchronous callables that take one argument, such as [hook], "
        f"got {describe_value(wrong)}"
    )


def _authority(host: str) -> str:
    if not isinstance(host, str) or not host.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"host must be a name or an address, got {describe_value(host)}")
    text = host.strip()
    if "/" in text or "@" in text or "?" in text or "#" in text:
        raise ConfigurationError("host must be a name or an address, optionally with a port")
    if text.count(":") > 1 and not text.startswith("["):
        return f"[{text}]"  # an IPv6 address
    return text


def _gateway_ssl_context(
    given: ssl.SSLContext | None, ca_file: str | os.PathLike[str] | None, *, verify: bool
) -> ssl.SSLContext | None:
    if given is not None:
        if ca_file is not None or not verify:
            raise ConfigurationError("give either ssl_context, or ca_file and verify")
        return given
    if not verify:
        if ca_file is not None:
            raise ConfigurationError("ca_file has no effect with verify=False: give only one of them")
        warnings.warn(
            "the Gateway's certificate is not verified: an attacker in the network can read the token",
            InsecureConnectionWarning,
            stacklevel=3,
        )
        unverified = ssl.create_default_context()
        unverified.check_hostname = False
        unverified.verify_mode = ssl.CERT_NONE
        return unverified
    return None if ca_file is None else load_ca_file(ca_file)
