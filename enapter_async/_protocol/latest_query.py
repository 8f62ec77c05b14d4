"""Splitting a request for latest telemetry so that no URL grows too long."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl, quote

from enapter_async._protocol import query
from enapter_async.errors import InvalidArgumentError
from enapter_async.models.arguments import refuse_argument

_DEVICE: Final = re.compile(r"devices\[(.+)\]", re.DOTALL)


def names_in(part: str) -> dict[str, list[str]]:
    """Return the attribute names that a part asks for, by device."""
    found: dict[str, list[str]] = {}
    for key, value in parse_qsl(part):
        match = _DEVICE.fullmatch(key)
        if match is not None:
            found.setdefault(match[1], []).extend(value.split(","))
    return found


def parts(attributes: Mapping[str, Iterable[str]], relevance_interval: str | None) -> list[str]:
    """Return encoded queries that together ask for every attribute of every device.

    Args:
        attributes: Attribute names by device (ID or slug).
        relevance_interval: Duration string to add to each.

    Raises:
        InvalidArgumentError: A name is empty, has a comma, or is so long that no query can hold it.
    """
    if not isinstance(attributes, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refuse_argument("attributes", "must map each device to its attribute names", attributes)
    suffix = "" if relevance_interval is None else "&" + query.encode([("relevance_interval", relevance_interval)])
    room = query.MAX_BYTES - len(suffix)
    queries: list[str] = []
    current: list[str] = []
    length = 0
    for pair in _pairs(attributes, room):
        if current and length + 1 + len(pair) > room:
            queries.append("&".join(current) + suffix)
            current, length = [], 0
        length += len(pair) + (1 if current else 0)
        current.append(pair)
    if current:
        queries.append("&".join(current) + suffix)
    return queries


def _pairs(attributes: Mapping[str, Iterable[str]], room: int) -> Iterable[str]:
    """Yield `devices[...]=a,b` for each device, several times where its attributes do not fit into one."""
    encoded: dict[str, str] = {}  # devices of one kind share their attributes: encode each list once
    for device, names in attributes.items():
        key = f"devices%5B{quote(query.text(device, 'attributes'), safe='')}%5D="
        listed = query.listed(names, "attributes")
        values = encoded.get(listed)
        if values is None:
            values = encoded[listed] = quote(listed, safe=",:")
        if len(key) + len(values) <= room:
            yield key + values
            continue
        chunk = ""
        for name in values.split(","):
            if len(key) + len(name) > room:
                raise InvalidArgumentError("attributes", "a name is too long for a URL")
            if chunk and len(key) + len(chunk) + 1 + len(name) > room:
                yield key + chunk
                chunk = ""
            chunk = f"{chunk},{name}" if chunk else name
        yield key + chunk
