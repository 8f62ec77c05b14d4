"""Addresses of databases, shown without their passwords."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from enapter_async.errors import InvalidArgumentError
from enapter_async.models.visible import make_visible

_PASSWORD: Final = re.compile(r"((?://|^)[^/@:]*:(?!//))[^/].*(?=@)")


def hide_password(url: str) -> str:
    """Return a PostgreSQL URL without passwords, for display.

    Raises:
        InvalidArgumentError: The URL is invalid.
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


def mask_password(text: str) -> str:
    """Return a possible address in any form, with `***` instead of possible passwords."""
    return _PASSWORD.sub(r"\1***", text)


def find_passwords(url: str) -> Iterator[str]:
    """Yield every password of a URL that a message may contain, encoded and decoded."""
    parts = urlsplit(url)
    candidates = [parts.password, *(value for name, value in parse_qsl(parts.query) if "password" in name)]
    candidates.append(os.environ.get("PGPASSWORD"))
    for secret in candidates:
        if secret:
            yield from {secret, unquote(secret)}


def choose_service(url: str) -> str | None:
    """Return the section of the service file that a URL or PGSERVICE names, if any.

    asyncpg ignores a service that does not exist, and would write to the default database.

    Raises:
        LookupError: The section does not exist, or the file cannot be read.
    """
    service = dict(parse_qsl(urlsplit(url).query)).get("service") or os.environ.get("PGSERVICE")
    if not service:
        return None
    path = Path(os.environ.get("PGSERVICEFILE") or Path.home() / ".pg_service.conf")
    sections = configparser.ConfigParser()
    try:
        with path.open(encoding="utf-8") as file:
            sections.read_file(file)
        if service in sections:
            dict(sections[service])
            return service
    except OSError as error:
        raise LookupError(f"the service file {path} cannot be read: {error.strerror}") from None
    except (configparser.Error, UnicodeDecodeError):  # their messages quote the file, including passwords
        raise LookupError(
            f"the service file {path} cannot be read: a % must be doubled, and each line be NAME=VALUE"
        ) from None
    raise LookupError(f"the service file {path} has no section [{service}]")
