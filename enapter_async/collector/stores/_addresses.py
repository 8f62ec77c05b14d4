"""Addresses of databases, shown without their passwords."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from enapter_async._visible import make_visible
from enapter_async.errors import InvalidArgumentError

_PASSWORD: Final = re.compile(r"((?://|^)[^/@:]*:(?!//))[^/].*(?=@)")
_SHOWN: Final = ("service", "sslmode", "host", "port", "dbname")
"""Parameters of a URL that may be shown."""
_CLIENT_SETTINGS: Final = frozenset(
    {
        "connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",
        "tcp_user_timeout", "fallback_application_name", "sslcompression", "sslsni", "load_balance_hosts",
    }
)  # fmt: skip
"""Parameters of libpq that asyncpg does not know, and would pass to the server, which rejects them."""


def hide_password(url: str) -> str:
    """Return a PostgreSQL URL without passwords, for display.

    Raises:
        InvalidArgumentError: The URL is invalid.
    """
    parts = _split(url)
    user = f"{quote(unquote(parts.username))}@" if parts.username else ""
    place = parts.netloc.rpartition("@")[2]
    shown = f"postgresql://{user}{place}{parts.path}"
    extra = "&".join(f"{name}={value}" for name, value in parse_qsl(parts.query) if name in _SHOWN)
    return make_visible(f"{shown}?{extra}" if extra else shown)


def _split(url: str) -> SplitResult:
    """Return the parts of a PostgreSQL URL.

    A character such as `/` in a password that is not encoded would move the rest of the password to another part of
    the URL, which is shown. Such a URL is refused.
    """
    with suppress(ValueError):
        parts = urlsplit(url)
        if "," not in parts.netloc:
            _ = parts.port  # raises an error if it is invalid
        fields = parts.query.split("&") if parts.query else []
        is_valid = (
            parts.scheme in ("postgresql", "postgres")
            and url.partition(":")[2].startswith("//")
            and not parts.fragment
            and parts.netloc.count("@") <= 1
            and "@" not in parts.path
            and ("@" not in parts.query or "@" in parts.netloc or not parts.netloc)
            and all("=" in field for field in fields)
        )
        if is_valid:
            return parts
    raise InvalidArgumentError(
        "url",
        "must be an address such as postgresql://user@db.example.net/plant"
        " (write special characters of a name or password in percent-encoding, such as %2F for /)",
    )


def mask_password(text: str) -> str:
    """Return a possible address in any form, with `***` instead of possible passwords."""
    return _PASSWORD.sub(r"\1***", text)


def adapt_to_asyncpg(url: str) -> str:
    """Return a PostgreSQL URL that asyncpg understands as libpq would.

    Parameters that only libpq knows and that change nothing essential are left out. So is a path of `/` alone, which
    asyncpg takes for a database without a name instead of that of `dbname`, the service or PGDATABASE.

    Raises:
        LookupError: The URL requires channel binding.
    """
    parts = urlsplit(url)
    kept: list[str] = []
    for field in filter(None, parts.query.split("&")):
        name, _, value = field.partition("=")
        if name == "channel_binding" and value == "require":
            raise LookupError(
                "channel_binding=require is not supported; leave it out, and set sslmode=verify-full instead"
            )
        if name != "channel_binding" and name not in _CLIENT_SETTINGS:
            kept.append(field)
    return parts._replace(path=parts.path if parts.path != "/" else "", query="&".join(kept)).geturl()


def find_passwords(url: str) -> Iterator[str]:
    """Yield every password of a URL that a message may contain, encoded and decoded."""
    parts = urlsplit(url)
    candidates = [parts.password, *(value for name, value in parse_qsl(parts.query) if "password" in name)]
    candidates.append(os.environ.get("PGPASSWORD"))
    for secret in candidates:
        if secret:
            yield from {secret, unquote(secret)}


def choose_service(url: str) -> tuple[str, Path] | None:
    """Return the section that a URL or PGSERVICE names, and its service file; None if neither names one.

    As libpq does, this looks into the user's file and then into that of PGSYSCONFDIR. asyncpg knows only the user's
    file, ignores a service that does not exist, and would write to the default database.

    Raises:
        LookupError: The section does not exist, or a file cannot be read.
    """
    service = dict(parse_qsl(urlsplit(url).query)).get("service") or os.environ.get("PGSERVICE")
    if not service:
        return None
    try:
        path = Path(os.environ.get("PGSERVICEFILE") or Path.home() / ".pg_service.conf")
    except RuntimeError:  # in a container, the user may have no entry in /etc/passwd
        raise LookupError("there is no home directory for the service file; set PGSERVICEFILE") from None
    files = [path]
    if folder := os.environ.get("PGSYSCONFDIR"):
        system = Path(folder, "pg_service.conf")
        files = [file for file in (path, system) if file.exists()] or files
    for file in files:
        if _has_section(file, service):
            return service, file
    raise LookupError(f"the service file {' or '.join(map(str, files))} has no section [{service}]")


def _has_section(path: Path, service: str) -> bool:
    sections = configparser.ConfigParser()
    try:
        with path.open(encoding="utf-8") as file:
            sections.read_file(file)
        if service not in sections:
            return False
        dict(sections[service])
    except OSError as error:
        raise LookupError(f"the service file {path} cannot be read: {error.strerror}") from None
    except (configparser.Error, UnicodeDecodeError):  # their messages quote the file, including passwords
        raise LookupError(
            f"the service file {path} cannot be read: a % must be doubled, and each line be NAME=VALUE"
        ) from None
    return True
