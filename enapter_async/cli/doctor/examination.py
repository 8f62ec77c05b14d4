"""The checks that `doctor` runs, in order."""

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
_UNTRUSTED: Final = frozenset({18, 19, 20, 21})  # self-signed, or signed by an unknown authority
_OTHER_NAME: Final = frozenset({62, 64})
_OUT_OF_TIME: Final = frozenset({9, 10})

_ROLES: Final = {
    AccessRole.READONLY: "read-only access, cannot send commands or change anything",
    AccessRole.USER: "can read and send user-level commands, cannot delete or provision devices",
    AccessRole.OWNER: "full access of an owner, including provisioning",
}


@attrs.frozen
class Finding:
    """The result of one check.

    Attributes:
        check: Name of the check.
        verdict: Whether the check passed.
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
    """Return a finding for a check that passed."""
    return Finding(check, "ok", said)


def warning(check: str, said: str, remedy: str) -> Finding:
    """Return a finding for something that works, but not as it should."""
    return Finding(check, "warning", said, remedy)


def problem(check: str, said: str, remedy: str, code: Exit) -> Finding:
    """Return a finding for something that does not work. The checks end here."""
    return Finding(check, "problem", said, remedy, code)


async def examine(profile: Profile) -> AsyncIterator[Finding]:
    """Run the checks in order and stop after the first problem."""
    for check in (_settings, _name, _connection, _encryption, _calls):
        findings = await check(profile)
        for finding in findings:
            yield finding
        if any(finding.verdict == "problem" for finding in findings):
            return


def no_settings(error: ConfigurationError) -> Finding:
    """Return the finding for settings that do not name a usable server."""
    return problem(
        "settings",
        str(error),
        f"set ENAPTER_HTTP_API_TOKEN (and ENAPTER_HTTP_API_BASE_URL for a Gateway), or correct {config_path()}",
        Exit.CONFIGURATION,
    )


async def _settings(profile: Profile) -> list[Finding]:
    try:
        ClientConfig(base_url=profile.base_url, user=profile.user)
        ClientConfig(token=await profile.get_token())
        profile.ssl_context()
    except ConfigurationError as error:
        return [no_settings(error)]
    return [ok("settings", f"{profile.base_url} from {profile.source}, token from {profile.token_source}")]


async def _name(profile: Profile) -> list[Finding]:
    host = urlsplit(profile.base_url).hostname or ""
    if _address(host) is not None:
        return [ok("name", f"{host} is an IP address")]
    try:
        with anyio.fail_after(_CONNECT_SECONDS):
            found = await anyio.getaddrinfo(host, None)
    except (OSError, UnicodeError) as error:
        said = f"{host} has no address: {error}"
        if not host.endswith(".local"):
            remedy = "check the address for a mistake, and the network and DNS settings of this computer"
            return [problem("name", said, remedy, Exit.UNAVAILABLE)]
        if find_spec("zeroconf") is None:
            remedy = "use the Gateway's IP address, or python -m pip install 'enapter-async[mdns]'"
            return [problem("name", said, remedy, Exit.UNAVAILABLE)]
        return [warning("name", f"{said}; falling back to mDNS", "use the Gateway's IP address: it is more reliable")]
    return [ok("name", f"{host} resolves to {', '.join(sorted({str(entry[4][0]) for entry in found}))}")]


async def _connection(profile: Profile) -> list[Finding]:
    host, port = _host_and_port(profile)
    if host.endswith(".local"):
        return []  # mDNS may resolve a name that the system cannot, so the calls decide.
    try:
        with anyio.fail_after(_CONNECT_SECONDS):
            stream = await anyio.connect_tcp(host, port)
    except TimeoutError:
        said = f"{host} port {port} does not respond within {_CONNECT_SECONDS:g} s"
        remedy = "check that it is switched on, in this network, and not behind a firewall, VPN or proxy"
    except OSError as error:
        if _is_refused(error):
            said = f"nothing listens on {host} port {port}"
            remedy = "check the host, port and scheme (http or https) of the address, and that the server is running"
        else:
            said = f"cannot reach {host} port {port}: {_text(error)}"
            remedy = "check that this computer is online and has a route to the server"
    else:
        await stream.aclose()
        return [ok("connection", f"{host} port {port} can be reached")]
    return [problem("connection", said, remedy, Exit.UNAVAILABLE)]


async def _encryption(profile: Profile) -> list[Finding]:
    host, port = _host_and_port(profile)
    if urlsplit(profile.base_url).scheme == "http":
        if _is_local(host):
            return [ok("TLS", "not used: plain http in the local network")]
        return [warning("TLS", "not used: anyone on the network path can read the token", "use https://")]
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
        return [warning("TLS", f"the certificate expires in {days:.0f} days", "renew it")]
    return [ok("TLS", f"{version} with a trusted certificate")]


def _tls_problem(error: BaseException, host: str, port: int) -> Finding:
    cause = error if isinstance(error, ssl.SSLError) else error.__cause__
    if not isinstance(cause, ssl.SSLCertVerificationError):
        said = f"the TLS handshake with {host} port {port} failed: {_text(cause or error)}"
        return problem("TLS", said, "check whether the server uses http:// or another port", Exit.UNAVAILABLE)
    said = f"the certificate of {host} is not accepted: {cause.verify_message}"
    if cause.verify_code in _UNTRUSTED:
        fetch = f"openssl s_client -connect {host}:{port} </dev/null | openssl x509 > gateway.pem"
        remedy = f"a Gateway signs its own certificate: fetch it with `{fetch}`, verify it, set ca_file in a profile"
    elif cause.verify_code in _OTHER_NAME:
        remedy = "use the name that the certificate is for"
    elif cause.verify_code in _OUT_OF_TIME:
        remedy = "check this computer's clock; if it is right, the server's certificate must be renewed"
    else:
        remedy = "check for a proxy on the way that intercepts TLS"
    return problem("TLS", said, remedy, Exit.UNAVAILABLE)


async def _calls(profile: Profile) -> list[Finding]:
    async with profile.connected() as connected:
        client = connected.with_options(timeout=_CALL_SECONDS, retry=RetryPolicy.none())
        try:
            device = await client.devices.list(max_items=1).first()
        except RateLimitedError as error:
            return [_limited("this request was", error)]
        except EnapterError as error:
            return [_call_problem(error, profile)]
        accepted = ok("token", "accepted")
        if device is None:
            remedy = "ask the owner of the site to share it with this user"
            return [accepted, warning("role", "the token cannot see any device", remedy)]
        return [accepted, _role(device), await _clock(client, device), await _rate_limit(client, device)]


def _call_problem(error: EnapterError, profile: Profile) -> Finding:
    end = failure(error)
    if isinstance(error, (AuthenticationError, PermissionDeniedError)) or (
        isinstance(error, APIError) and error.code == "invalid_header"
    ):
        remedy = (
            f"create a new token and store it where it is read from ({profile.token_source}). Create Cloud tokens in"
            " the account settings, and Gateway tokens on the Gateway's settings page. Neither works on the other"
        )
        return problem("token", f"rejected: {error}", remedy, Exit.NOT_ALLOWED)
    if isinstance(error, UnexpectedRedirectError):
        return problem("API", str(error), "use the address it redirects to, usually with https://", end.code)
    if isinstance(error, (NotFoundError, DecodeError)):
        remedy = "this is not the API: a Gateway's address ends in /api, and no address ends in /v3"
        return problem("API", str(error), remedy, end.code)
    return problem("API", str(error), "try again in a minute, then contact the operator of the server", end.code)


def _role(device: Device) -> Finding:
    role = device.authorized_role
    if role is None:
        return ok("role", "the server does not report it")
    what = _ROLES.get(role, "at least the access of an owner" if role.is_known else "unknown to this version")
    said = f"{role.value} for {device.name or device.id}: {what}"
    if role is AccessRole.READONLY:
        return warning("role", said, "for more access, ask the owner of the site for the role USER or OWNER")
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
        return ok("clock", f"not compared: the server did not send its time; it responds in {response.elapsed:.2f} s")
    if abs(ahead) > _LARGEST_SKEW:
        return warning(
            "clock",
            f"this computer is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the server",
            "synchronise it with NTP (timedatectl set-ntp true): options such as --since use this computer's clock",
        )
    return ok("clock", f"the clocks agree; the server responds in {response.elapsed:.2f} s")


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
        return _limited(f"{len(refused)} of {_REQUESTS} simultaneous requests were", refused[0])
    if failed:
        said = f"{len(failed)} of {_REQUESTS} simultaneous requests failed: {failed[0]}"
        return warning("rate limit", said, "check the network, and whether the server is overloaded")
    return ok("rate limit", f"none of {_REQUESTS} simultaneous requests was refused")


def _limited(what: str, error: RateLimitedError) -> Finding:
    wait = "" if error.retry_after is None else f"; the server asks to wait {error.retry_after:g} s"
    remedy = (
        "commands slow down automatically, so this is harmless; if they are too slow, check what else uses this"
        " token, or use a separate token"
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
    # anyio tries every address of a name and groups the failures if there are several.
    cause = error.__cause__
    if isinstance(cause, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", cause).split(ConnectionRefusedError)[1] is None
    return isinstance(cause, ConnectionRefusedError)


def _text(error: BaseException) -> str:
    cause = error.__cause__ or error
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
