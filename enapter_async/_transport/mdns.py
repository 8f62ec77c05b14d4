"""Multicast DNS (RFC 6762) with zeroconf, from the extra `mdns`. It is imported when needed."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf

_DETAILS_MS: Final = 1000.0


@attrs.frozen
class Service:
    """A service found by mDNS.

    Attributes:
        name: Human-readable name of the service.
        host: Name of its host, without a trailing dot.
        addresses: Addresses of its host, IPv4 first.
        port: Port of the service.
    """

    name: str
    host: str
    addresses: tuple[str, ...]
    port: int


def is_installed() -> bool:
    """Whether the extra `mdns` is installed."""
    return importlib.util.find_spec("zeroconf") is not None


async def resolve(host: str, *, timeout: float, interfaces: Sequence[str] | None = None) -> list[str]:
    """Return the addresses of a `.local` name, IPv4 first. The list is empty without an answer.

    Args:
        host: The name.
        timeout: Seconds to wait for an answer.
        interfaces: Addresses of the interfaces to ask on; None for all.

    Raises:
        OSError: Multicast is not possible here.
    """
    from zeroconf import (  # type: ignore[attr-defined]
        AddressResolver,  # pyright: ignore[reportPrivateImportUsage]
        Error,
        InterfaceChoice,
    )
    from zeroconf.asyncio import AsyncZeroconf

    try:
        async with AsyncZeroconf(interfaces=list(interfaces) if interfaces else InterfaceChoice.All) as zeroconf:
            resolver = AddressResolver(host.rstrip(".") + ".")
            await resolver.async_request(zeroconf.zeroconf, timeout * 1000.0)
            addresses: list[str] = resolver.parsed_scoped_addresses()
            return addresses
    except Error as error:
        message = f"mDNS failed: {type(error).__name__}"
    raise OSError(message)


async def browse(
    service_types: Sequence[str], *, timeout: float, interfaces: Sequence[str] | None = None
) -> list[Service]:
    """Return the services of the given types that answer in time.

    Args:
        service_types: Such as `_http._tcp.local.`.
        timeout: Seconds to listen. Fetching the details of the services found takes up to one second more.
        interfaces: Addresses of the interfaces to ask on; None for all.

    Raises:
        OSError: Multicast is not possible here.
    """
    from zeroconf import Error, InterfaceChoice
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

    found: dict[tuple[str, str], None] = {}

    def note(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        found[service_type, name] = None

    try:
        async with AsyncZeroconf(interfaces=list(interfaces) if interfaces else InterfaceChoice.All) as zeroconf:
            async with AsyncServiceBrowser(zeroconf.zeroconf, list(service_types), handlers=[note]):
                await asyncio.sleep(timeout)
            details = [AsyncServiceInfo(service_type, name) for service_type, name in found]
            await asyncio.gather(*(one.async_request(zeroconf.zeroconf, _DETAILS_MS) for one in details))
    except Error as error:
        message = f"mDNS failed: {type(error).__name__}"
    else:
        return [
            Service(one.get_name(), one.server.rstrip("."), tuple(one.parsed_scoped_addresses()), one.port)
            for one in details
            if one.server and one.port
        ]
    raise OSError(message)
