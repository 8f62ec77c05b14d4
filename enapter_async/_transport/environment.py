"""Check of the proxy settings in the environment."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from enapter_async.errors import ConfigurationError


def check_environment_proxy(base_url: str) -> None:
    """Check the proxy that the environment sets for a URL.

    Raises:
        ConfigurationError: It is a SOCKS proxy, which aiohttp would treat as an HTTP proxy.
    """
    parts = urlsplit(base_url)
    proxy = getproxies().get(parts.scheme, "")
    if proxy.lower().startswith("socks") and not proxy_bypass(parts.hostname or ""):
        raise ConfigurationError(
            f"{parts.scheme.upper()}_PROXY names a SOCKS proxy, which is not supported: "
            "set an HTTP proxy there or with proxy=, or pass trust_env=False"
        )
