"""Discovery of Gateways in the local network."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from enapter_async._arguments import read_number, refuse_argument
from enapter_async._protocol import query
from enapter_async._transport import mdns
from enapter_async.errors import ConnectError, MissingExtraError

DEFAULT_GATEWAY: Final = "enapter-gateway.local"
"""Default host name of a Gateway."""

DEFAULT_SERVICE_TYPES: Final = ("_http._tcp.local.", "_https._tcp.local.")

_HTTP_PORT: Final = 80


@attrs.frozen
class DiscoveredGateway:
    """A Gateway in the local network. Pass its host or one of its addresses to `EnapterClient.gateway`.

    Attributes:
        name: Display name.
        host: Host name, such as `enapter-gateway.local`.
        addresses: IP addresses, IPv4 first.
        port: Port of the web server.
    """

    name: str
    host: str
    addresses: tuple[str, ...]
    port: int


async def discover_gateways(
    timeout: float = 3.0,
    *,
    service_types: Iterable[str] = DEFAULT_SERVICE_TYPES,
    matching: str = "enapter",
    interfaces: Sequence[str] | None = None,
) -> list[DiscoveredGateway]:
    """Find Gateways by mDNS. Needs the extra `mdns`.

    Gateways answer to `enapter-gateway.local`, so this name is always queried. The service type with which Gateways
    announce themselves is not documented. Web servers with `enapter` in their name are therefore listed too. Nothing
    is sent to them.

    Args:
        timeout: Seconds to listen. The call takes up to one second longer. Less than two seconds may miss Gateways:
            the first response may go to another program that uses the mDNS port, and responses are not repeated
            within a second (RFC 6762, 6).
        service_types: DNS-SD service types to browse, such as `_http._tcp.local.`.
        matching: Text that the name of a service or of its host must contain, in upper or lower case. Empty matches
            all.
        interfaces: Addresses of the network interfaces to use. None uses all.

    Returns:
        Gateways sorted by name. Empty if none answers, or if the network does not forward multicast.

    Raises:
        InvalidArgumentError: The timeout or a service type is invalid.
        MissingExtraError: The extra is not installed.
        ConnectError: This machine does not support multicast.
    """
    types = _checked(timeout, service_types)
    if not isinstance(matching, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refuse_argument("matching", "must be a string", matching)
    if interfaces is not None:
        interfaces = query.texts(interfaces, "interfaces")
    if not mdns.is_installed():
        raise MissingExtraError("zeroconf", "mdns")
    try:
        services, addresses = await asyncio.gather(
            mdns.browse(types, timeout=timeout, interfaces=interfaces),
            mdns.resolve(DEFAULT_GATEWAY, timeout=timeout, interfaces=interfaces),
        )
    except OSError as error:
        reason = error.strerror or str(error)
    else:
        return _gateways(services, addresses, matching.casefold())
    raise ConnectError(f"mDNS does not work on this machine: {reason}")


def _checked(timeout: float, service_types: Iterable[str]) -> list[str]:
    seconds = read_number(timeout)
    if seconds is None or not 0 < seconds < float("inf"):
        raise refuse_argument("timeout", "must be a positive number of seconds", timeout)
    types = query.texts([service_types] if isinstance(service_types, str) else service_types, "service_types")
    for one in types:
        if not one.startswith("_") or not one.endswith(("._tcp.local.", "._udp.local.")):
            raise refuse_argument("service_types", "must be service types such as '_http._tcp.local.'", one)
    return types


def _gateways(services: list[mdns.Service], addresses: list[str], wanted: str) -> list[DiscoveredGateway]:
    found = {
        (service.host.lower(), service.port): DiscoveredGateway(
            service.name, service.host, service.addresses, service.port
        )
        for service in services
        if wanted in service.name.casefold() or wanted in service.host.casefold()
    }
    if addresses and not any(host == DEFAULT_GATEWAY for host, _ in found):
        name = DEFAULT_GATEWAY.removesuffix(".local")
        found[DEFAULT_GATEWAY, _HTTP_PORT] = DiscoveredGateway(name, DEFAULT_GATEWAY, tuple(addresses), _HTTP_PORT)
    return sorted(found.values(), key=lambda gateway: (gateway.name, gateway.host, gateway.port))
