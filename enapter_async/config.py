"""Settings of a client: plain frozen values, checked when they are made."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal, Self, TypeAlias, TypeVar
from urllib.parse import SplitResult, urlsplit

import attrs

from enapter_async._host import encode_host
from enapter_async.errors import ConfigurationError
from enapter_async.models.arguments import describe_value, read_number, read_whole_number

T = TypeVar("T")

_Overflow: TypeAlias = Literal["block", "drop_oldest"]

CLOUD_URL: Final = "https://api.enapter.com"
"""The address of Enapter Cloud."""

LEAST_RATE: Final = 0.001
_SCHEMES: Final = ("redis", "rediss", "unix")
DEFAULT_MAX_IN_FLIGHT: Final = 100
DEFAULT_MAX_STREAMS: Final = 100
DEFAULT_MAX_RESPONSE_BYTES: Final = 16 * 1024 * 1024
"""The largest answer is a page of 50 devices with their manifests: 320 KiB for each, many times a large one."""

TokenProvider: TypeAlias = Callable[[], Awaitable[str]]
"""Gives the token; asked when first needed, and once more when the server refuses it."""


def _number(value: float) -> float:
    """Take numpy's numbers and the like as plain ones; the validators refuse the rest."""
    number = read_number(value)
    return value if number is None else number


def _optional_number(value: float | None) -> float | None:
    return None if value is None else _number(value)


def _whole_number(value: int) -> int:
    number = read_whole_number(value)
    return value if number is None else number


def _optional_whole_number(value: int | None) -> int | None:
    return None if value is None else _whole_number(value)


def _wrong(instance: object, attribute: attrs.Attribute[T], requirement: str, value: object) -> ConfigurationError:
    return ConfigurationError(f"{type(instance).__name__}.{attribute.name} {requirement}, got {describe_value(value)}")


def _positive(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    number = read_number(value)
    if number is None or not number > 0:
        raise _wrong(instance, attribute, "must be a positive number", value)


def _not_negative(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    number = read_number(value)
    if number is None or not number >= 0:
        raise _wrong(instance, attribute, "must be a number that is not negative", value)


def _at_least_one(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    number = read_whole_number(value)
    if number is None or number < 1:
        raise _wrong(instance, attribute, "must be a whole number of at least 1", value)


def _seconds(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    _positive(instance, attribute, value)
    if value > sys.float_info.max:  # no call may last for ever
        raise _wrong(instance, attribute, "must be a finite number of seconds", value)


def _flag(instance: object, attribute: attrs.Attribute[bool], value: object) -> None:
    if not isinstance(value, bool):
        raise _wrong(instance, attribute, "must be True or False", value)


def _optional_positive(instance: object, attribute: attrs.Attribute[float | None], value: float | None) -> None:
    if value is not None:
        _positive(instance, attribute, value)  # type: ignore[arg-type]


@attrs.frozen(kw_only=True)
class Timeouts:
    """How long things may take, in seconds.

    Attributes:
        total: A whole call: waiting for a slot, all attempts, backoff and decoding.
        attempt: One request, from the connection to the last byte of the answer.
        connect: Making a connection, name resolution and TLS included.
        command: The total of `commands.execute`, whose answer waits for the device.
    """

    total: float = attrs.field(default=60.0, converter=_number, validator=_seconds)
    attempt: float = attrs.field(default=30.0, converter=_number, validator=_seconds)
    connect: float = attrs.field(default=10.0, converter=_number, validator=_seconds)
    command: float = attrs.field(default=180.0, converter=_number, validator=_seconds)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """When and how a failed request is sent again. What may be sent again at all is decided by its safety class.

    Attributes:
        max_attempts: Most requests of one call; a 429 is not counted.
        initial_delay: Upper bound of the first random delay, in seconds; it doubles each time.
        max_delay: Upper bound of any delay that we choose ourselves, in seconds.
        max_retry_after: Longest `Retry-After` that is waited for, in seconds; a longer one raises at once.
        resend_converging: Also repeat, after an ambiguous failure, requests whose repetition gives the same
            end state but may undo a change that somebody made in between (update, delete, enable, ...).
    """

    max_attempts: int = attrs.field(default=4, converter=_whole_number, validator=_at_least_one)
    initial_delay: float = attrs.field(default=0.25, converter=_number, validator=_not_negative)
    max_delay: float = attrs.field(default=10.0, converter=_number, validator=_not_negative)
    max_retry_after: float = attrs.field(default=60.0, converter=_number, validator=_not_negative)
    resend_converging: bool = attrs.field(default=False, validator=_flag)

    @classmethod
    def none(cls) -> RetryPolicy:
        """Return a policy under which every request is sent once, 429 included."""
        return cls(max_attempts=1)


@attrs.frozen(kw_only=True)
class RateLimit:
    """The pace of a client and of its `with_options` copies.

    Attributes:
        requests_per_second: A fixed upper bound of the pace; None means that only the server's 429 set one.
        burst: How many requests may go at once after a pause; by default one second's worth.
        adaptive: Find the server's rate by itself from its 429 answers.
        initial_in_flight: Requests in flight that a new client starts with; grows by one with each success.
    """

    requests_per_second: float | None = attrs.field(
        default=None, converter=_optional_number, validator=_optional_positive
    )
    burst: int | None = attrs.field(
        default=None, converter=_optional_whole_number, validator=attrs.validators.optional(_at_least_one)
    )
    adaptive: bool = attrs.field(default=True, validator=_flag)
    initial_in_flight: int = attrs.field(default=10, converter=_whole_number, validator=_at_least_one)


def _shared_url(_: object, __: object, value: str) -> None:
    """Check the URL, without ever echoing it: it may hold a password."""
    try:
        usable = isinstance(value, str) and urlsplit(value).scheme in _SCHEMES  # pyright: ignore[reportUnnecessaryIsInstance]
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError("SharedRateLimit.url must be a URL such as redis://redis.example.net:6379/0")


def _shared_name(instance: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str) or not value.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _wrong(instance, attribute, "must be text", value)


def _shared_rate(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    number = read_number(value)
    if number is None or not LEAST_RATE <= number < math.inf:
        raise _wrong(instance, attribute, f"must be a number of at least {LEAST_RATE}", value)


def _default_shared_burst(terms: SharedRateLimit) -> int:
    rate = read_number(terms.requests_per_second)
    # The checks come after the defaults: what they will refuse must not raise anything else here.
    return max(2, math.ceil(rate / 20)) if rate is not None and math.isfinite(rate) else 2


@attrs.frozen
class SharedRateLimit:
    """A rate limit that clients in several processes share through Redis or Valkey, version 5 or newer.

    All who give the same `name` on the same server stay together under `requests_per_second`. It needs the extra
    `redis`. While Redis cannot be asked, each client goes on at the pace that it finds by itself, bounded by
    `requests_per_second` alone; it says so in the log and in hook events, and comes back by itself.

    Attributes:
        url: Of the server: `redis://`, `rediss://` (TLS) or `unix://`. Not shown, since it may hold a password.
        name: What the quota belongs to, a name for the token for example. Never the token itself.
        requests_per_second: What all of them together may send; at least 0.001.
        burst: How many requests may go at once after a pause; by default what 50 ms allow, and at least 2. With 1
            there is nothing to make up for a timer that is late, and the rate is not quite reached.
        timeout: Seconds to wait for an answer of Redis before going on without it.
    """

    url: str = attrs.field(validator=_shared_url, repr=False)
    name: str = attrs.field(kw_only=True, validator=_shared_name)
    requests_per_second: float = attrs.field(kw_only=True, converter=_number, validator=_shared_rate)
    burst: int = attrs.field(
        kw_only=True,
        default=attrs.Factory(_default_shared_burst, takes_self=True),
        converter=_whole_number,
        validator=_at_least_one,
    )
    timeout: float = attrs.field(kw_only=True, default=1.0, converter=_number, validator=_seconds)


def _overflow(instance: object, attribute: attrs.Attribute[_Overflow], value: _Overflow) -> None:
    if not isinstance(value, str) or value not in ("block", "drop_oldest"):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _wrong(instance, attribute, "must be 'block' or 'drop_oldest'", value)


@attrs.frozen(kw_only=True)
class StreamPolicy:
    """How a WebSocket stream is kept open, and what happens when frames come faster than they are taken.

    Attributes:
        buffer_size: Most frames that wait for the consumer.
        overflow: What happens when the buffer is full. `block`: nothing more is read, and the server has to wait
            (it may cut the connection some time, which is a gap); `drop_oldest`: the oldest frame makes room, and
            is counted in `stream.dropped`.
        heartbeat: Seconds of silence after which a ping is sent; when as many pass again without a sign of life,
            the connection counts as lost.
        reconnect: Connect again after a loss; False ends the stream with `StreamError` instead.
        max_outage: Most seconds of an outage before the stream ends with `StreamError`; None for no bound. An outage
            ends with the first frame, or once a connection has been open for longer than `max_delay` and `heartbeat`.
        initial_delay: Upper bound of the random delay before the first reconnection, in seconds; it doubles each
            time that fails (the vendor's own client waits 1 s).
        max_delay: Upper bound of any delay; a connection that lived as long starts anew at `initial_delay`.
        max_frame_bytes: Most bytes of one frame; a larger one is reported and costs the connection.
    """

    buffer_size: int = attrs.field(default=1000, converter=_whole_number, validator=_at_least_one)
    overflow: Literal["block", "drop_oldest"] = attrs.field(default="block", validator=_overflow)
    heartbeat: float = attrs.field(default=30.0, converter=_number, validator=_positive)
    reconnect: bool = attrs.field(default=True, validator=_flag)
    max_outage: float | None = attrs.field(default=600.0, converter=_optional_number, validator=_optional_positive)  # type: ignore[arg-type]
    initial_delay: float = attrs.field(default=1.0, converter=_number, validator=_not_negative)
    max_delay: float = attrs.field(default=30.0, converter=_number, validator=_not_negative)
    max_frame_bytes: int = attrs.field(default=4 * 1024 * 1024, converter=_whole_number, validator=_at_least_one)


_CONTROL_OR_SPACE = re.compile(r"[\x00-\x20\x7f]")


def checked_base_url(value: object) -> str:
    """Return the base URL without a trailing slash, and with its host in ASCII.

    Raises:
        ConfigurationError: It has no http(s) scheme, no host or one that no server can have, or it has user data, a
            query or a fragment.
    """
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError("base_url must be a URL such as https://api.enapter.com")
    url = value.strip()
    if _CONTROL_OR_SPACE.search(url):
        raise ConfigurationError("base_url must not hold white space or control characters")
    parts = _split(url)
    if parts is None:
        raise ConfigurationError("base_url is not a valid URL")
    for is_wrong, complaint in (
        (parts.scheme not in ("http", "https"), "must start with http:// or https://"),
        (not parts.hostname, "must name a host"),
        ("@" in parts.netloc, "must not hold a user or a password"),
        ("?" in url or "#" in url, "must not have a query or a fragment"),
        (not parts.path.isascii(), "must be percent-encoded where its path is not ASCII"),
    ):
        if is_wrong:
            raise ConfigurationError(f"base_url {complaint}")
    url = _with_encoded_host(url, parts, parts.hostname or "")
    base = (parts.scheme + url[len(parts.scheme) :]).rstrip("/")
    if base.endswith("/v3"):
        raise ConfigurationError("base_url is given without the /v3 at its end: the SDK adds it")
    return base


def _with_encoded_host(url: str, parts: SplitResult, host: str) -> str:
    try:
        if "[" in parts.netloc and ":" not in host:
            raise ValueError("brackets are for IPv6 addresses")
        encoded = encode_host(host)
        port = "" if parts.port is None else f":{parts.port}"
        return url if encoded == host else parts._replace(netloc=encoded + port).geturl()
    except ValueError as error:
        message = f"base_url names {host!r}, and no server can have that name or address: {error}"
    raise ConfigurationError(message)


def _can_exist(host: str) -> bool:
    try:
        encode_host(host)
    except ValueError:
        return False
    return True


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it checks it
    except ValueError:
        return None
    return parts


def checked_header_value(name: str, value: object) -> str:
    """Return a header value without surrounding white space, without ever echoing it.

    Raises:
        ConfigurationError: It is empty or holds control or non-ASCII characters.
    """
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be a string, not {type(value).__name__}")
    text = value.strip()
    if not text:
        raise ConfigurationError(f"{name} must not be empty")
    if not text.isascii() or not text.isprintable():
        raise ConfigurationError(f"{name} must be printable ASCII without line breaks")
    return text


class _Token(str):
    """A token, whose repr does not show it: tools that print the locals of a traceback use that."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def checked_token(value: object) -> str:
    """Return a token without surrounding white space.

    Raises:
        ConfigurationError: It is empty or holds control or non-ASCII characters.
    """
    return _Token(checked_header_value("token", value))


def _of(type_: type[T]) -> Callable[[object, attrs.Attribute[T], T], None]:
    def check(_: object, attribute: attrs.Attribute[T], value: T) -> None:
        if not isinstance(value, type_):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"{attribute.name} must be {type_.__name__}(...), got {describe_value(value)}")

    return check


def _proxy(value: object) -> str | None:
    """Check the URL of a proxy, without ever echoing it: it may hold a password."""
    if value is None:
        return None
    if isinstance(value, str) and not _CONTROL_OR_SPACE.search(value):
        parts = _split(value)
        if parts is not None and parts.scheme in ("http", "https") and parts.hostname and _can_exist(parts.hostname):
            return value
    raise ConfigurationError("proxy must be a URL such as http://proxy.example.net:3128")


def _base_url(value: str) -> str:
    return checked_base_url(value)


def _user(value: str | None) -> str | None:
    return None if value is None else checked_header_value("user", value)


def _token(value: str | TokenProvider | None) -> str | TokenProvider | None:
    return value if value is None or callable(value) else checked_token(value)


def _app(value: str | None) -> str | None:
    return None if value is None else checked_header_value("app", value)


@attrs.frozen(kw_only=True)
class ClientConfig:
    """Everything that a client is made of but for live objects.

    Attributes:
        base_url: Address of the Cloud or of a Gateway (that one ends in `/api`).
        token: API token, an async callable that gives one, or None for anonymous calls. Never shown.
        user: Name of the user to act as, from trusted services only.
        app: `name/version` of the calling program, added to the User-Agent.
        timeouts: See `Timeouts`.
        retry: See `RetryPolicy`.
        rate_limit: See `RateLimit`.
        shared_rate_limit: See `SharedRateLimit`; None where the pace is the client's own.
        max_in_flight: Most requests in flight.
        max_streams: Most open streams (downloads, time series, WebSockets).
        max_response_bytes: Most decoded bytes of one answer; not for streamed series and downloads.
        trust_env: Read proxies from the environment.
        proxy: URL of a proxy. Not shown, since it may hold a password.
    """

    base_url: str = attrs.field(default=CLOUD_URL, converter=_base_url)
    token: str | TokenProvider | None = attrs.field(default=None, converter=_token, repr=False)
    user: str | None = attrs.field(default=None, converter=_user)
    app: str | None = attrs.field(default=None, converter=_app)
    timeouts: Timeouts = attrs.field(factory=Timeouts, validator=_of(Timeouts))
    retry: RetryPolicy = attrs.field(factory=RetryPolicy, validator=_of(RetryPolicy))
    rate_limit: RateLimit = attrs.field(factory=RateLimit, validator=_of(RateLimit))
    shared_rate_limit: SharedRateLimit | None = attrs.field(
        default=None, validator=attrs.validators.optional(_of(SharedRateLimit))
    )
    max_in_flight: int = attrs.field(default=DEFAULT_MAX_IN_FLIGHT, converter=_whole_number, validator=_at_least_one)
    max_streams: int = attrs.field(default=DEFAULT_MAX_STREAMS, converter=_whole_number, validator=_at_least_one)
    max_response_bytes: int = attrs.field(
        default=DEFAULT_MAX_RESPONSE_BYTES, converter=_whole_number, validator=_at_least_one
    )
    trust_env: bool = attrs.field(default=False, validator=_flag)
    proxy: str | None = attrs.field(default=None, converter=_proxy, repr=False)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self  # nothing in it can be changed

    def __reduce__(self) -> str:
        raise TypeError("a ClientConfig is not pickled: its token would go along")


def settings_from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return token, base_url and user as the environment gives them; empty variables count as not set.

    Raises:
        ConfigurationError: ENAPTER_HTTP_API_TOKEN is missing.
    """
    names = {
        "token": "ENAPTER_HTTP_API_TOKEN",
        "base_url": "ENAPTER_HTTP_API_BASE_URL",
        "user": "ENAPTER_HTTP_API_USER",
    }
    found = {key: environment[name] for key, name in names.items() if environment.get(name, "").strip()}
    if "token" not in found:
        raise ConfigurationError("the environment variable ENAPTER_HTTP_API_TOKEN is not set")
    return found
