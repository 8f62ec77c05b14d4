"""Check of the proxy settings in the environment."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from enapter_async.config import is_proxy_url
from enapter_async.errors import ConfigurationError


def check_environment_proxy(base_url: str) -> None:
    """Check the proxy that the environment sets for a URL.

    Raises:
        ConfigurationError: It is invalid, a SOCKS proxy, which aiohttp would treat as an HTTP proxy, or an HTTPS proxy,
            which aiohttp would ignore.
    """
    parts = urlsplit(base_url)
    proxy = getproxies().get(parts.scheme, "").strip()
    if not proxy or proxy_bypass(parts.hostname or ""):
        return
    scheme = proxy.partition(":")[0].lower()
    if scheme.startswith("socks"):
        fault = "names a SOCKS proxy, which is not supported: set an HTTP proxy there or with proxy="
    elif scheme == "https":
        fault = "names a proxy with https://, which is supported only with proxy="
    elif not is_proxy_url(proxy):
        fault = "must be a URL such as http://proxy.example.net:3128"
    else:
        return
    raise ConfigurationError(f"{parts.scheme.upper()}_PROXY {fault}, or pass trust_env=False")
