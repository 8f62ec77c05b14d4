"""Checks the redirect of a WebSocket handshake, so that the token does not reach another host."""

from __future__ import annotations

from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

_HTTP_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_PORTS: Final = {"http": 80, "https": 443}


def same_host_target(url: str, location: str) -> str | None:
    """Return the target of a redirect, or None if it must not be followed.

    The host must be the same. The port may change only together with the scheme, from http to https, which is the
    purpose of a 308 here (reference.md, WebSocket endpoints). https never changes back to http.

    Args:
        url: Absolute http(s) URL of the request.
        location: `Location` of the response, absolute or relative.
    """
    try:
        here = urlsplit(url)
        there = urlsplit(urljoin(url, location.strip()))
        scheme = _HTTP_SCHEMES.get(there.scheme)
        if scheme is None or here.hostname != there.hostname:
            return None
        if there.username is not None or there.password is not None:
            return None
        same_port = _port(there, scheme) == _port(here, here.scheme)
        upgrade = here.scheme == "http" and scheme == "https"
        if not upgrade and not (scheme == here.scheme and same_port):
            return None
    except ValueError:  # an invalid port, or unbalanced brackets
        return None
    return there._replace(scheme=scheme, fragment="").geturl()


def _port(parts: SplitResult, scheme: str) -> int:
    return parts.port or _PORTS[scheme]
