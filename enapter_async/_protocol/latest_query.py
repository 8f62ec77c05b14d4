"""Splits a request for latest telemetry to keep URLs short, and splits it further if the server rejects it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import parse_qsl, quote

import attrs

from enapter_async._arguments import refuse_argument
from enapter_async._protocol import query
from enapter_async.errors import InvalidArgumentError

_DEVICE: Final = re.compile(r"devices\[(.+)\]", re.DOTALL)


def names_in(part: str) -> dict[str, list[str]]:
    """Return the attribute names of a part, by device."""
    found: dict[str, list[str]] = {}
    for key, value in parse_qsl(part):
        match = _DEVICE.fullmatch(key)
        if match is not None:
            found.setdefault(match[1], []).extend(value.split(","))
    return found


@attrs.frozen
class LatestQuery:
    """A query for the latest values of one request.

    Attributes:
        text: The encoded query.
        attributes: Attribute names by device.
        suffix: The end of the encoded query, which does not name attributes.
    """

    text: str
    attributes: Mapping[str, tuple[str, ...]] = attrs.field(repr=False)
    suffix: str = ""

    @property
    def size(self) -> int:
        """Number of attributes requested."""
        return sum(map(len, self.attributes.values()))

    def halves(self) -> list[LatestQuery]:
        """Split the query in two, by device, or by attribute if there is only one device."""
        if len(self.attributes) > 1:
            items = list(self.attributes.items())
            middle = len(items) // 2
            return [_join(dict(items[:middle]), self.suffix), _join(dict(items[middle:]), self.suffix)]
        ((device, names),) = self.attributes.items()
        middle = len(names) // 2
        return [_join({device: names[:middle]}, self.suffix), _join({device: names[middle:]}, self.suffix)]


def split_latest(attributes: Mapping[str, Iterable[str]], relevance_interval: str | None) -> list[LatestQuery]:
    """Return queries that together request every attribute of every device.

    Args:
        attributes: Attribute names by device (ID or slug).
        relevance_interval: Duration string to add to each query.

    Raises:
        InvalidArgumentError: A name is empty, contains a comma, or is too long for a query.
    """
    if not isinstance(attributes, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refuse_argument("attributes", "must map each device to its attribute names", attributes)
    suffix = "" if relevance_interval is None else "&" + query.encode([("relevance_interval", relevance_interval)])
    room = query.MAX_BYTES - len(suffix)
    queries: list[LatestQuery] = []
    current: list[tuple[str, str, tuple[str, ...]]] = []
    length = 0
    for pair in _pairs(attributes, room):
        if current and length + 1 + len(pair[0]) > room:
            queries.append(_query(current, suffix))
            current, length = [], 0
        length += len(pair[0]) + (1 if current else 0)
        current.append(pair)
    if current:
        queries.append(_query(current, suffix))
    return queries


def parts(attributes: Mapping[str, Iterable[str]], relevance_interval: str | None) -> list[str]:
    """Return only the encoded queries of `split_latest`."""
    return [one.text for one in split_latest(attributes, relevance_interval)]


def _query(pairs: list[tuple[str, str, tuple[str, ...]]], suffix: str) -> LatestQuery:
    by_device: dict[str, tuple[str, ...]] = {}
    for _, device, names in pairs:
        by_device[device] = (*by_device.get(device, ()), *names)
    return LatestQuery("&".join(text for text, _, _ in pairs) + suffix, by_device, suffix)


def _join(attributes: Mapping[str, tuple[str, ...]], suffix: str) -> LatestQuery:
    return _query(list(_pairs(attributes, query.MAX_BYTES - len(suffix))), suffix)


def _pairs(attributes: Mapping[str, Iterable[str]], room: int) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield `devices[...]=a,b`, the device and the names, repeatedly if the names do not fit into one parameter."""
    encoded: dict[str, str] = {}  # devices of the same kind share their attributes: encode each list once
    checked: object = None
    listed = ""
    for device, names in attributes.items():
        key = f"devices%5B{quote(query.text(device, 'attributes'), safe='')}%5D="
        if names is not checked or type(names) not in (list, tuple):  # an iterator can be read only once
            listed = query.listed(names, "attributes")
            checked = names
        values = encoded.get(listed)
        if values is None:
            values = encoded[listed] = quote(listed, safe=",:")
        if len(key) + len(values) <= room:
            yield key + values, device, tuple(listed.split(","))
            continue
        chunk: list[str] = []
        length = len(key)
        for name in listed.split(","):
            size = len(quote(name, safe=":")) + (1 if chunk else 0)
            if len(key) + size - (1 if chunk else 0) > room:
                raise InvalidArgumentError("attributes", "a name is too long for a URL")
            if chunk and length + size > room:
                yield key + quote(",".join(chunk), safe=",:"), device, tuple(chunk)
                chunk, length = [], len(key)
                size -= 1
            chunk.append(name)
            length += size
        yield key + quote(",".join(chunk), safe=",:"), device, tuple(chunk)
