"""Distribution of devices among several collectors, so that each device is collected by exactly one."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final, Self

import attrs

from enapter_async._arguments import read_whole_number, refuse_argument
from enapter_async.errors import InvalidArgumentError

_TEXT: Final = re.compile(r"([0-9]{1,6})/([0-9]{1,6})", re.ASCII)


def _index(value: int) -> int:
    return _require_whole(value, "index")


def _count(value: int) -> int:
    return _require_whole(value, "count")


def _require_whole(value: int, argument: str) -> int:
    number = read_whole_number(value)
    if number is None:
        raise refuse_argument(argument, "must be a whole number", value)
    return number


@attrs.frozen
class Shard:
    """One of several collectors that share the devices (rendezvous hashing).

    Every collector determines its own devices, without contacting the others. An additional shard takes its devices
    evenly from the others: going from 4 to 5 moves about a fifth of the devices, all of them to the fifth shard.

    Attributes:
        index: Number of this collector, from 1 to `count`.
        count: Number of collectors.
    """

    index: int = attrs.field(converter=_index)
    count: int = attrs.field(converter=_count)

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise InvalidArgumentError("shard", f"must be I/N with I from 1 to N, got {self.index}/{self.count}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `2/5`, the second of five.

        Raises:
            InvalidArgumentError: The text is invalid.
        """
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            raise InvalidArgumentError("shard", f"must be I/N such as 2/5, got {text!r}")
        return cls(int(found[1]), int(found[2]))

    def holds(self, device_id: str) -> bool:
        """Whether a device belongs to this collector."""
        name = device_id.encode("utf-8", "surrogatepass")
        return max(range(1, self.count + 1), key=lambda index: (_weigh(index, name), index)) == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def _weigh(index: int, name: bytes) -> bytes:
    return blake2b(name, digest_size=8, salt=index.to_bytes(8, "big")).digest()
