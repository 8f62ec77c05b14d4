"""Validation and encoding of host names, and of the URLs that contain them."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

import yarl

_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,63}").fullmatch
_NUMBER: Final = re.compile(r"\d+|0[xX][0-9A-Fa-f]*").fullmatch
_ZONE: Final = re.compile(r"%(?:25(?=.))?([A-Za-z0-9._~-]+)").fullmatch
_LONGEST: Final = 253


def encode_host(host: str) -> str:
    """Return a host as it is sent: a name in ASCII (IDNA), an address unchanged.

    A URL writes the `%` before the zone of an IPv6 address as `%25` (RFC 6874), which no resolver knows.

    Args:
        host: A name, or an IPv4 or IPv6 address without brackets.

    Raises:
        ValueError: The host is invalid: a label is empty or longer than 63 characters, an IPv4 address is incomplete,
            or the name contains invalid characters.
    """
    if ":" in host:
        address = host.partition("%")[0]
        ipaddress.IPv6Address(address)
        zone = _ZONE(host[len(address) :])
        if zone is None and address != host:
            raise ValueError("a zone consists of letters, digits and hyphens")
        return address if zone is None else f"{address}%{zone[1]}"
    name = host if host.isascii() else _to_ascii(host)
    labels = name.removesuffix(".").split(".")
    if _NUMBER(labels[-1]):  # then it is meant as an address, and systems interpret 127.1 in different ways
        ipaddress.IPv4Address(name)
    elif len(name) > _LONGEST or not all(map(_LABEL, labels)):
        raise ValueError("a name has at most 253 characters, in labels of 1 to 63 letters, digits and hyphens")
    return name


def can_exist(host: str) -> bool:
    """Whether a host is valid, as in `encode_host`."""
    try:
        encode_host(host)
    except ValueError:
        return False
    return True


def _to_ascii(host: str) -> str:
    # As in aiohttp, which uses IDNA 2008: the standard library changes some names (ß into ss).
    encoded = yarl.URL.build(scheme="http", host=host).raw_host
    if encoded is None or not encoded.isascii():
        raise ValueError("the name contains invalid characters")
    return encoded


def split_url(url: str) -> SplitResult | None:
    """Return the parts of a URL, or None if its host or port is malformed."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it checks it
    except ValueError:
        return None
    behind = parts.netloc.rpartition("]")[2] if "]" in parts.netloc else ""
    return None if behind and not behind.startswith(":") else parts  # Python accepts [::1]x
