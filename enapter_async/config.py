"""Settings of a client, as immutable values that are validated when created."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final, Literal, Self, TypeAlias, TypeGuard, TypeVar
from urllib.parse import SplitResult, urlsplit

import attrs

from enapter_async._arguments import describe_value, read_number, read_whole_number
from enapter_async._host import can_exist, encode_host, split_url
from enapter_async.errors import ConfigurationError

T = TypeVar("T")

_Overflow: TypeAlias = Literal["block", "drop_oldest"]

CLOUD_URL: Final = "https://api.enapter.com"
"""Address of Enapter Cloud."""

LEAST_RATE: Final = 0.001
_SCHEMES: Final = ("redis", "rediss", "unix")
DEFAULT_MAX_IN_FLIGHT: Final = 100
DEFAULT_MAX_STREAMS: Final = 100
DEFAULT_MAX_RESPONSE_BYTES: Final = 16 * 1024 * 1024
"""Enough for the largest response, a page of 50 devices with manifests of 320 KiB each. Real ones are far smaller."""

TokenProvider: TypeAlias = Callable[[], Awaitable[str]]
"""Returns the token. Called when it is first needed, and once more if the server rejects it."""


def _number(value: float) -> float:
    """Convert numbers of numpy and similar libraries. The validators reject everything else."""
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
        raise _wrong(instance, attribute, "must be a number of at least 0", value)


def _at_least_one(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    number = read_whole_number(value)
    if number is None or number < 1:
        raise _wrong(instance, attribute, "must be a whole number of at least 1", value)


def _seconds(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    _positive(instance, attribute, value)
    if value > sys.float_info.max:  # no call may last forever
        raise _wrong(instance, attribute, "must be a finite number of seconds", value)


def _flag(instance: object, attribute: attrs.Attribute[bool], value: object) -> None:
    if not isinstance(value, bool):
        raise _wrong(instance, attribute, "must be True or False", value)


def _optional_positive(instance: object, attribute: attrs.Attribute[float | None], value: float | None) -> None:
    if value is not None:
        _positive(instance, attribute, value)  # type: ignore[arg-type]


def _optional_rate(instance: object, attribute: attrs.Attribute[float | None], value: float | None) -> None:
    _optional_positive(instance, attribute, value)
    if value is not None and value > sys.float_info.max:
        raise _wrong(instance, attribute, "must be a finite number", value)


@attrs.frozen(kw_only=True)
class Timeouts:
    """Timeouts of calls and requests, in seconds.

    Attributes:
        total: A whole call: waiting for the rate limit, all attempts, backoff and decoding.
        attempt: One request, from connecting to the last byte of the response.
        connect: Connecting, including name resolution and TLS.
        command: A whole call of `commands.execute`, which waits for the device. It replaces `total` there.
    """

    total: float = attrs.field(default=60.0, converter=_number, validator=_seconds)
    attempt: float = attrs.field(default=30.0, converter=_number, validator=_seconds)
    connect: float = attrs.field(default=10.0, converter=_number, validator=_seconds)
    command: float = attrs.field(default=180.0, converter=_number, validator=_seconds)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """When and how failed requests are retried. The safety class of an operation decides whether it may be retried.

    Attributes:
        max_attempts: Maximum number of requests in one call. Requests that get a 429 do not count.
        initial_delay: Upper limit of the first random delay, in seconds. It doubles with each retry.
        max_delay: Upper limit of any random delay, in seconds.
        max_retry_after: Longest `Retry-After` to wait for, in seconds. A longer one raises at once.
        resend_converging: After an ambiguous failure, also retry updates, deletions and similar requests. Repeating
            them gives the same end state, but may undo a change that somebody made in between.
    """

    max_attempts: int = attrs.field(default=4, converter=_whole_number, validator=_at_least_one)
    initial_delay: float = attrs.field(default=0.25, converter=_number, validator=_not_negative)
    max_delay: float = attrs.field(default=10.0, converter=_number, validator=_not_negative)
    max_retry_after: float = attrs.field(default=60.0, converter=_number, validator=_not_negative)
    resend_converging: bool = attrs.field(default=False, validator=_flag)

    @classmethod
    def none(cls) -> RetryPolicy:
        """Return a policy without retries, not even after a 429."""
        return cls(max_attempts=1)


@attrs.frozen(kw_only=True)
class RateLimit:
    """Client-wide rate limit, shared by a client and its `with_options` copies.

    Attributes:
        requests_per_second: Fixed upper limit. None means that only 429 responses of the server limit the rate.
        burst: Number of requests that may be sent at once after a pause. The default is one second's worth.
        adaptive: Adapt to the server's limit by its 429 responses.
        initial_in_flight: Maximum number of concurrent requests of a new client. It grows by one with each success.
    """

    requests_per_second: float | None = attrs.field(default=None, converter=_optional_number, validator=_optional_rate)
    burst: int | None = attrs.field(
        default=None, converter=_optional_whole_number, validator=attrs.validators.optional(_at_least_one)
    )
    adaptive: bool = attrs.field(default=True, validator=_flag)
    initial_in_flight: int = attrs.field(default=10, converter=_whole_number, validator=_at_least_one)


def _shared_url(_: object, __: object, value: str) -> None:
    """Check the URL. It is never shown, since it may contain a password."""
    usable = False
    if isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        with suppress(ValueError):
            parts = urlsplit(value)
            _ = parts.port  # raises an error if it is invalid
            # A `/` in a password that is not encoded would end the host, and errors show a part of the password.
            usable = parts.scheme in _SCHEMES and (parts.scheme == "unix" or "@" not in parts.path + parts.fragment)
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
    # Validation runs after defaults, so an invalid rate must not raise here.
    return max(2, math.ceil(rate / 20)) if rate is not None and math.isfinite(rate) else 2


@attrs.frozen
class SharedRateLimit:
    """A rate limit shared by clients in several processes through Redis or Valkey, version 5 or newer.

    All clients with the same `name` on the same server together stay below `requests_per_second`. It needs the extra
    `redis`. While Redis is unavailable, each client uses its own rate limit, with `requests_per_second` as the
    upper limit. The change is logged and reported to hooks, and sharing resumes automatically.

    Attributes:
        url: URL of the server: `redis://`, `rediss://` (TLS) or `unix://`. It is never shown, since it may contain a
            password.
        name: Name of the quota, such as a name for the token. Never use the token itself.
        requests_per_second: Limit of all clients together; at least 0.001.
        burst: Number of requests that may be sent at once after a pause. The default is 50 ms' worth, and at least 2.
            With 1, late timers are not compensated and the rate stays slightly below the limit.
        timeout: Seconds to wait for a response of Redis before continuing without it.
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
    """How to keep a WebSocket stream open, and what to do when frames arrive faster than you read them.

    Attributes:
        buffer_size: Maximum number of frames waiting to be read.
        overflow: Behaviour when the buffer is full. `block` stops reading, so that the server has to wait; it may
            close the connection at some point, which causes a gap. `drop_oldest` drops the oldest frame and counts it
            in `stream.dropped`.
        heartbeat: Seconds of silence before a ping is sent. After the same time without a response, the connection
            counts as lost.
        reconnect: Reconnect after a lost connection. False raises `StreamError` instead.
        max_outage: Longest outage in seconds before the stream raises `StreamError`. None means no limit. An outage
            ends with the first frame, or once a connection has been open for the longer of `max_delay` and `heartbeat`.
        initial_delay: Upper limit of the random delay before the first reconnection, in seconds. It doubles with each
            failure (the vendor's own client waits 1 s).
        max_delay: Upper limit of any delay, in seconds. After a connection that lasted this long, the delay starts
            again at `initial_delay`.
        max_frame_bytes: Maximum size of a frame, in bytes. A larger frame is reported and closes the connection.
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
        ConfigurationError: The URL has no http(s) scheme or no valid host, or it has user data, a query or a fragment.
    """
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError("base_url must be a URL such as https://api.enapter.com")
    url = value.strip()
    if _CONTROL_OR_SPACE.search(url):
        raise ConfigurationError("base_url must not contain whitespace or control characters")
    parts = split_url(url)
    if parts is None:
        raise ConfigurationError("base_url is not a valid URL")
    for is_wrong, complaint in (
        (parts.scheme not in ("http", "https"), "must start with http:// or https://"),
        (not parts.hostname, "must name a host"),
        (parts.port == 0, "must not have port 0, which nothing can listen on"),
        ("@" in parts.netloc, "must not contain a user name or a password"),
        ("?" in url or "#" in url, "must not have a query or a fragment"),
        (not parts.path.isascii(), "must have a percent-encoded path: it contains characters that are not ASCII"),
    ):
        if is_wrong:
            raise ConfigurationError(f"base_url {complaint}")
    url = _with_encoded_host(url, parts, parts.hostname or "")
    base = (parts.scheme + url[len(parts.scheme) :]).rstrip("/")
    if base.endswith("/v3"):
        raise ConfigurationError("base_url must not end with /v3: the SDK adds it")
    return base


def _with_encoded_host(url: str, parts: SplitResult, host: str) -> str:
    try:
        if "[" in parts.netloc and ":" not in host:
            raise ValueError("brackets are only for IPv6 addresses")
        encoded = encode_host(host)
        netloc = f"[{encoded}]" if ":" in encoded else encoded
        port = "" if parts.port is None else f":{parts.port}"
        return url if encoded == host else parts._replace(netloc=netloc + port).geturl()
    except ValueError as error:
        message = f"base_url has an invalid host {host!r}: {error}"
    raise ConfigurationError(message)


def checked_header_value(name: str, value: object) -> str:
    """Return a header value without surrounding whitespace. The value is never shown.

    Raises:
        ConfigurationError: The value is empty, or contains control or non-ASCII characters.
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
    """A token whose repr is masked, for tools that print the local variables of a traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def checked_token(value: object) -> str:
    """Return a token without surrounding whitespace.

    Raises:
        ConfigurationError: The token is empty, or contains control or non-ASCII characters.
    """
    return _Token(checked_header_value("token", value))


def _of(type_: type[T]) -> Callable[[object, attrs.Attribute[T], T], None]:
    def check(_: object, attribute: attrs.Attribute[T], value: T) -> None:
        if not isinstance(value, type_):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"{attribute.name} must be {type_.__name__}(...), got {describe_value(value)}")

    return check


def is_proxy_url(value: object) -> TypeGuard[str]:
    """Whether a value is the URL of a proxy that can be used."""
    if not isinstance(value, str) or _CONTROL_OR_SPACE.search(value):
        return False
    parts = split_url(value)
    if parts is None or parts.scheme not in ("http", "https") or parts.port == 0:
        return False
    return parts.hostname is not None and can_exist(parts.hostname)


def _proxy(value: object) -> str | None:
    """Check the URL of a proxy. It is never shown, since it may contain a password."""
    if value is None or is_proxy_url(value):
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
    """All settings of a client, without sessions, hooks and other live objects.

    Attributes:
        base_url: Address of the Cloud or of a Gateway (which ends with `/api`).
        token: API token, an async callable that returns one, or None for anonymous calls. It is never shown.
        user: Name of the user to act as. For trusted services only.
        app: `name/version` of your program, for the User-Agent header.
        timeouts: See `Timeouts`.
        retry: See `RetryPolicy`.
        rate_limit: See `RateLimit`.
        shared_rate_limit: See `SharedRateLimit`. None means that the client does not share its limit.
        max_in_flight: Maximum number of concurrent requests.
        max_streams: Maximum number of open streams (downloads, time series, WebSockets).
        max_response_bytes: Maximum size of a decoded response, in bytes. It does not apply to streams and downloads.
        trust_env: Read proxies from the environment.
        proxy: URL of a proxy. It is never shown, since it may contain a password.
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
        return self  # it is immutable

    def __reduce__(self) -> str:
        raise TypeError("a ClientConfig cannot be pickled, since that would include its token")


def settings_from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return token, base_url and user from environment variables. Empty variables are ignored.

    Raises:
        ConfigurationError: ENAPTER_HTTP_API_TOKEN is not set.
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
