"""Addresses of databases, shown without their passwords."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from enapter_async.errors import InvalidArgumentError
from enapter_async.models.visible import make_visible


def hide_password(url: str) -> str:
    """Return a URL of PostgreSQL without passwords, for people to read.

    Raises:
        InvalidArgumentError: It is no such URL.
    """
    try:
        parts = urlsplit(url)
        several = "," in parts.netloc
        host, port = parts.hostname, None if several else parts.port
    except ValueError:
        parts, host, port, several = None, None, None, False
    if parts is None or parts.scheme not in ("postgresql", "postgres"):
        raise InvalidArgumentError("url", "must be an address such as postgresql://user@db.example.net/plant")
    user = f"{quote(unquote(parts.username))}@" if parts.username else ""
    place = f"[{host}]" if host and ":" in host else host or ""
    if several:
        place = parts.netloc.rpartition("@")[2]
    shown = f"postgresql://{user}{place}{f':{port}' if port else ''}{parts.path}"
    extra = "&".join(
        f"{name}={value}"
        for name, value in parse_qsl(parts.query)
        if name in ("service", "sslmode", "host", "port", "dbname")
    )
    return make_visible(f"{shown}?{extra}" if extra else shown)


def find_passwords(url: str) -> Iterator[str]:
    """Yield every password that may stand in a message about a URL, as written and as meant."""
    parts = urlsplit(url)
    candidates = [parts.password, *(value for name, value in parse_qsl(parts.query) if "password" in name)]
    candidates.append(os.environ.get("PGPASSWORD"))
    for secret in candidates:
        if secret:
            yield from {secret, unquote(secret)}
