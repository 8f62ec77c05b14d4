"""Name resolution: `.local` names by mDNS, all others by the system."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver, ThreadedResolver

from enapter_async._transport import mdns
from enapter_async.errors import MissingExtraError

_TIMEOUT: Final = 3.0


def is_local_name(host: str) -> bool:
    """Whether mDNS resolves this host (RFC 6762, 3)."""
    return host.rstrip(".").lower().endswith(".local")


class LocalNameResolver(AbstractResolver):
    """A resolver for aiohttp that finds Gateways: containers and many servers cannot resolve `.local` names.

    If mDNS finds nothing, the system's resolver is used, for names in a hosts file or a private DNS zone.
    """

    def __init__(self, *, timeout: float = _TIMEOUT, interfaces: Sequence[str] | None = None) -> None:
        """Create a resolver. Nothing is opened until a name is resolved.

        Args:
            timeout: Seconds to wait for an answer by mDNS.
            interfaces: Addresses of the interfaces to ask on; None for all.
        """
        self._timeout = timeout
        self._interfaces = interfaces
        self._usual: AbstractResolver | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host.

        Raises:
            OSError: The host has no address. aiohttp expects this class.
        """
        if not is_local_name(host):
            if self._usual is None:
                self._usual = DefaultResolver()
            return await self._usual.resolve(host, port, family)
        why = f"for .local names {MissingExtraError('zeroconf', 'mdns')}"
        if mdns.is_installed():
            try:
                addresses = await mdns.resolve(host, timeout=self._timeout, interfaces=self._interfaces)
            except OSError as error:
                why = f"{error.strerror or error}"
            else:
                why = f"no answer by mDNS within {self._timeout:g} s"
                if results := _results(host, port, family, addresses):
                    return results
        try:
            # getaddrinfo instead of aiodns, because it includes the system's own mDNS.
            return await ThreadedResolver().resolve(host, port, family)
        except OSError:
            pass
        raise OSError(errno.EHOSTUNREACH, f"{why}; use the IP address instead of the name")

    async def close(self) -> None:
        """Close the system's resolver, if it was opened."""
        if self._usual is not None:
            await self._usual.close()
            self._usual = None


def _results(host: str, port: int, family: int, addresses: Sequence[str]) -> list[ResolveResult]:
    results: list[ResolveResult] = []
    for address in addresses:
        found = socket.AF_INET6 if ":" in address else socket.AF_INET
        if family in (socket.AF_UNSPEC, found):
            results.append(
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=port,
                    family=found,
                    proto=0,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
    return results
