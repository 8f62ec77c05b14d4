"""Host names: whether one can ever be reached, and how it goes over the wire."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import yarl

_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,63}").fullmatch
_NUMBER: Final = re.compile(r"\d+|0[xX][0-9A-Fa-f]*").fullmatch
_LONGEST: Final = 253


def encode_host(host: str) -> str:
    """Return a host as it is sent: an address as it is, a name in ASCII (IDNA).

    Args:
        host: A name, or an IPv4 or IPv6 address without brackets.

    Raises:
        ValueError: No server can have it: a label is empty or longer than 63 characters, an IPv4 address is not
            complete, or there are characters that no name has.
    """
    if ":" in host:
        ipaddress.IPv6Address(host.partition("%")[0])
        return host
    name = host if host.isascii() else _to_ascii(host)
    labels = name.removesuffix(".").split(".")
    if _NUMBER(labels[-1]):  # then all of it is meant as an address, and a system may read 127.1 in ways of its own
        ipaddress.IPv4Address(name)
    elif len(name) > _LONGEST or not all(map(_LABEL, labels)):
        raise ValueError("a name has labels of 1 to 63 letters, digits and hyphens, 253 characters in all")
    return name


def _to_ascii(host: str) -> str:
    # aiohttp's own way, which knows IDNA 2008: the standard library's turns one name into another (ß into ss).
    encoded = yarl.URL.build(scheme="http", host=host).raw_host
    if encoded is None or not encoded.isascii():
        raise ValueError("the name has characters that no name can have")
    return encoded
