"""Check who may use the control API: hosts, origins and the token."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection

from aiohttp import web

from ..errors import Refusal


def check_host(request: web.Request, names: Collection[str]) -> None:
    """Refuse foreign host names. Another site may have pointed its own name here (DNS rebinding).

    Args:
        request: The request.
        names: Names that are accepted in addition to `localhost` and IP addresses.

    Raises:
        Refusal: The Host header is missing or names another machine (421).
    """
    host = _host_name(request.headers.get("Host", ""))
    local = host == "localhost" or host.endswith(".localhost") or host in {name.lower() for name in names}
    if not local and not _is_address(host):
        raise Refusal(
            421,
            "the control API answers to localhost, IP addresses and the names given with --control-host",
            code="wrong_host",
        )


def check_origin(request: web.Request) -> None:
    """Refuse requests from pages of other origins.

    Raises:
        Refusal: The request comes from another origin (403).
    """
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site", "none")
    own = f"{request.scheme}://{request.headers.get('Host', '')}"
    if (origin is not None and origin.lower() != own.lower()) or site not in ("none", "same-origin"):
        raise Refusal(403, "requests from other origins are refused", code="wrong_origin")


def check_token(request: web.Request, token: str) -> None:
    """Refuse a caller without the control token.

    Raises:
        Refusal: The token is missing or wrong (401).
    """
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    right = hmac.compare_digest(given.strip().encode(errors="replace"), token.encode())
    if scheme.lower() != "bearer" or not right:
        raise Refusal(
            401,
            "send the control token that the simulator printed at its start: Authorization: Bearer TOKEN",
            code="invalid_control_token",
            headers={"WWW-Authenticate": 'Bearer realm="simulator"'},
        )


def _host_name(host: str) -> str:
    """Return the lower-case name without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].rstrip(".").lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
