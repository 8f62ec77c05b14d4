"""Validation and encoding of host names."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import yarl

_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,63}").fullmatch
_NUMBER: Final = re.compile(r"\d+|0[xX][0-9A-Fa-f]*").fullmatch
_LONGEST: Final = 253


def encode_host(host: str) -> str:
    """Return a host as it is sent: an address unchanged, a name in ASCII (IDNA).

    Args:
        host: A name, or an IPv4 or IPv6 address without brackets.

    Raises:
        ValueError: The host is invalid: a label is empty or longer than 63 characters, an IPv4 address is incomplete,
            or the name contains invalid characters.
    """
    if ":" in host:
        ipaddress.IPv6Address(host.partition("%")[0])
        return host
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
