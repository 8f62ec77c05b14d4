"""The checks of `doctor`, one after the other."""

from __future__ import annotations

import ipaddress
import math
import ssl
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from time import time
from typing import Final, Literal, cast
from urllib.parse import urlsplit

import anyio
import attrs
from anyio.streams.tls import TLSAttribute

from enapter_async import (
    AccessRole,
    APIError,
    AuthenticationError,
    ClientConfig,
    ConfigurationError,
    DecodeError,
    Device,
    EnapterClient,
    EnapterError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RetryPolicy,
    UnexpectedRedirectError,
)
from enapter_async.cli.exits import Exit, failure
from enapter_async.cli.profiles import Profile, config_path

_CONNECT_SECONDS: Final = 5.0
_CALL_SECONDS: Final = 10.0
_LARGEST_SKEW: Final = 3.0
_CERTIFICATE_DAYS: Final = 14
_REQUESTS: Final = 20
_UNTRUSTED: Final = frozenset({18, 19, 20, 21})  # self-signed, or signed by nobody that is known
_OTHER_NAME: Final = frozenset({62, 64})
_OUT_OF_TIME: Final = frozenset({9, 10})

_ROLES: Final = {
    AccessRole.READONLY: "it may look, and neither send commands nor change anything",
    AccessRole.USER: "it may look and send commands for users, and not delete or provision devices",
    AccessRole.OWNER: "it may do what an owner may, provisioning included",
}


@attrs.frozen
class Finding:
    """The result of one check.

    Attributes:
        check: Name of the check.
        verdict: How it is.
        said: The result.
        remedy: How to fix it.
        code: Exit code of a problem.
    """

    check: str
    verdict: Literal["ok", "warning", "problem"]
    said: str
    remedy: str | None = None
    code: Exit = attrs.field(default=Exit.OK, repr=False)


def ok(check: str, said: str) -> Finding:
    """Return that all is well with something."""
    return Finding(check, "ok", said)


def warning(check: str, said: str, remedy: str) -> Finding:
    """Return that something works, and not as it should."""
    return Finding(check, "warning", said, remedy)


def problem(check: str, said: str, remedy: str, code: Exit) -> Finding:
    """Return that something does not work; there is no use in looking further."""
    return Finding(check, "problem", said, remedy, code)


async def examine(profile: Profile) -> AsyncIterator[Finding]:
    """Look at everything in turn, up to the first problem."""
    for check in (_settings, _name, _connection, _encryption, _calls):
        findings = await check(profile)
        for finding in findings:
            yield finding
        if any(finding.verdict == "problem" for finding in findings):
            return


def no_settings(error: ConfigurationError) -> Finding:
    """Return what is said where it is not known which server to use."""
    return problem(
        "settings",
        str(error),
        f"set ENAPTER_HTTP_API_TOKEN (and ENAPTER_HTTP_API_BASE_URL for a Gateway), or mend {config_path()}",
        Exit.CONFIGURATION,
    )


async def _settings(profile: Profile) -> list[Finding]:
    try:
        ClientConfig(base_url=profile.base_url, user=profile.user)
        ClientConfig(token=await profile.get_token())
        profile.ssl_context()
    except ConfigurationError as error:
        return [no_settings(error)]
    return [ok("settings", f"{profile.base_url} from {profile.source}; the token is from {profile.token_source}")]


async def _name(profile: Profile) -> list[Finding]:
    host = urlsplit(profile.base_url).hostname or ""
    if _address(host) is not None:
        return [ok("name", f"{host} is an address")]
    try:
        with anyio.fail_after(_CONNECT_SECONDS):
            found = await anyio.getaddrinfo(host, None)
    except (OSError, UnicodeError) as error:
        said = f"{host} has no address: {error}"
        if not host.endswith(".local"):
            remedy = "look for a mistake in the address, and whether this computer has a network and a name server"
            return [problem("name", said, remedy, Exit.UNAVAILABLE)]
        if find_spec("zeroconf") is None:
            remedy = "use the Gateway's IP address, or python -m pip install 'enapter-async[mdns]'"
            return [problem("name", said, remedy, Exit.UNAVAILABLE)]
        return [warning("name", f"{said}; mDNS will be asked instead", "the Gateway's IP address is surer")]
    return [ok("name", f"{host} is {', '.join(sorted({str(entry[4][0]) for entry in found}))}")]


async def _connection(profile: Profile) -> list[Finding]:
    host, port = _host_and_port(profile)
    if host.endswith(".local"):
        return []  # mDNS may know it although the system does not: the calls will tell
    try:
        with anyio.fail_after(_CONNECT_SECONDS):
            stream = await anyio.connect_tcp(host, port)
    except TimeoutError:
        said = f"{host} port {port} does not answer within {_CONNECT_SECONDS:g} s"
        remedy = "look whether it is on, in this network, and not behind a firewall, VPN or proxy"
    except OSError as error:
        if _is_refused(error):
            said = f"nobody listens on {host} port {port}"
            remedy = "look for a mistake in host, port and http/https of the address, and whether the server runs"
        else:
            said = f"{host} port {port} cannot be reached: {_text(error)}"
            remedy = "look whether this computer has a network, and a route to that one"
    else:
        await stream.aclose()
        return [ok("connection", f"{host} port {port} can be reached")]
    return [problem("connection", said, remedy, Exit.UNAVAILABLE)]


async def _encryption(profile: Profile) -> list[Finding]:
    host, port = _host_and_port(profile)
    if urlsplit(profile.base_url).scheme == "http":
        if _is_local(host):
            return [ok("TLS", "none: plain http in the local network")]
        return [warning("TLS", "none: everybody on the way can read the token", "use https://")]
    if host.endswith(".local"):
        return []
    context = profile.ssl_context() or ssl.create_default_context()
    try:
        with anyio.fail_after(_CONNECT_SECONDS):
            stream = await anyio.connect_tcp(
                host, port, tls=True, ssl_context=context, tls_standard_compatible=False, tls_hostname=host
            )
    except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
        return [_tls_problem(error, host, port)]
    async with stream:
        certificate = stream.extra(TLSAttribute.peer_certificate) or {}  # noqa: S610 - no Django here
        version = stream.extra(TLSAttribute.tls_version)  # noqa: S610
    ends = certificate.get("notAfter")
    days = math.inf if not isinstance(ends, str) else (ssl.cert_time_to_seconds(ends) - time()) / 86_400
    if days < _CERTIFICATE_DAYS:
        return [warning("TLS", f"the certificate ends in {days:.0f} days", "have it renewed")]
    return [ok("TLS", f"{version}, the certificate is trusted")]


def _tls_problem(error: BaseException, host: str, port: int) -> Finding:
    cause = error if isinstance(error, ssl.SSLError) else error.__cause__
    if not isinstance(cause, ssl.SSLCertVerificationError):
        said = f"no TLS with {host} port {port}: {_text(cause or error)}"
        return problem("TLS", said, "is it an http:// address, or another port?", Exit.UNAVAILABLE)
    said = f"the certificate of {host} is not accepted: {cause.verify_message}"
    if cause.verify_code in _UNTRUSTED:
        fetch = f"openssl s_client -connect {host}:{port} </dev/null | openssl x509 > gateway.pem"
        remedy = f"a Gateway signs its own: get it with `{fetch}`, compare it, and name it as ca_file in a profile"
    elif cause.verify_code in _OTHER_NAME:
        remedy = "use the name that the certificate is for"
    elif cause.verify_code in _OUT_OF_TIME:
        remedy = "look whether this computer's clock is right; if it is, the server's certificate has to be renewed"
    else:
        remedy = "look who is in between, such as a proxy that opens TLS"
    return problem("TLS", said, remedy, Exit.UNAVAILABLE)


async def _calls(profile: Profile) -> list[Finding]:
    async with profile.connected() as connected:
        client = connected.with_options(timeout=_CALL_SECONDS, retry=RetryPolicy.none())
        try:
            device = await client.devices.list(max_items=1).first()
        except RateLimitedError as error:
            return [_limited("this one was", error)]
        except EnapterError as error:
            return [_call_problem(error, profile)]
        accepted = ok("token", "it is accepted")
        if device is None:
            remedy = "ask the site's owner to share it with this user"
            return [accepted, warning("role", "the token can see no device", remedy)]
        return [accepted, _role(device), await _clock(client, device), await _rate_limit(client, device)]


def _call_problem(error: EnapterError, profile: Profile) -> Finding:
    end = failure(error)
    if isinstance(error, (AuthenticationError, PermissionDeniedError)) or (
        isinstance(error, APIError) and error.code == "invalid_header"
    ):
        remedy = (
            f"make a new one and put it where it is taken from ({profile.token_source}): tokens of the Cloud are in"
            " its account settings, those of a Gateway on its settings page, and neither works on the other"
        )
        return problem("token", f"it is not accepted: {error}", remedy, Exit.NOT_ALLOWED)
    if isinstance(error, UnexpectedRedirectError):
        return problem("API", str(error), "use the address that it leads to, usually the same with https://", end.code)
    if isinstance(error, (NotFoundError, DecodeError)):
        remedy = "this is not the API: the address of a Gateway ends in /api, and none ends in /v3"
        return problem("API", str(error), remedy, end.code)
    return problem("API", str(error), "try again in a minute; then tell whoever runs the server", end.code)


def _role(device: Device) -> Finding:
    role = device.authorized_role
    if role is None:
        return ok("role", "the server does not tell it")
    what = _ROLES.get(role, "it may do what an owner may, and more" if role.is_known else "unknown to this version")
    said = f"{role.value} for {device.name or device.id}: {what}"
    if role is AccessRole.READONLY:
        return warning("role", said, "for more, ask the site's owner for the role USER or OWNER")
    return ok("role", said)


async def _clock(client: EnapterClient, device: Device) -> Finding:
    try:
        response = await client.raw.devices.get(device.id)
    except EnapterError as error:
        return warning("clock", f"not compared: {error}", "try again")
    here = time() - response.elapsed / 2
    try:
        # The header has whole seconds: on average the server's time is half a second later.
        ahead = here - parsedate_to_datetime(response.headers.get("Date") or "").timestamp() - 0.5
    except (TypeError, ValueError):
        return ok("clock", f"not compared: the server does not tell its time; it answers in {response.elapsed:.2f} s")
    if abs(ahead) > _LARGEST_SKEW:
        return warning(
            "clock",
            f"this computer is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the server",
            "set it by NTP (timedatectl set-ntp true): what happened since a time is looked for by this clock",
        )
    return ok("clock", f"this computer and the server agree; it answers in {response.elapsed:.2f} s")


async def _rate_limit(client: EnapterClient, device: Device) -> Finding:
    refused: list[RateLimitedError] = []
    failed: list[EnapterError] = []

    async def call() -> None:
        try:
            await client.devices.get(device.id)
        except RateLimitedError as error:
            refused.append(error)
        except EnapterError as error:
            failed.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(_REQUESTS):
            tasks.start_soon(call)
    if refused:
        return _limited(f"{len(refused)} of {_REQUESTS} requests at once were", refused[0])
    if failed:
        said = f"{len(failed)} of {_REQUESTS} requests at once failed: {failed[0]}"
        return warning("rate limit", said, "look at the network, and whether the server is overloaded")
    return ok("rate limit", f"none of {_REQUESTS} requests at once was refused")


def _limited(what: str, error: RateLimitedError) -> Finding:
    wait = "" if error.retry_after is None else f"; the server asks to wait {error.retry_after:g} s"
    remedy = (
        "every command slows down by itself, so this does no harm; if it is slow, look what else uses this token,"
        " or ask for a token of its own"
    )
    return warning("rate limit", f"{what} refused with 429{wait}", remedy)


def _host_and_port(profile: Profile) -> tuple[str, int]:
    parts = urlsplit(profile.base_url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_local(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or host.endswith(".local") or (address is not None and address.is_private)


def _is_refused(error: OSError) -> bool:
    # anyio tries every address of a name, and groups the failures when there are several.
    cause = error.__cause__
    if isinstance(cause, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", cause).split(ConnectionRefusedError)[1] is None
    return isinstance(cause, ConnectionRefusedError)


def _text(error: BaseException) -> str:
    cause = error.__cause__ or error
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
