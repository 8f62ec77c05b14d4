"""What a stream reports besides its frames."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

import attrs

from enapter_async.errors import DecodeError


@attrs.frozen(kw_only=True, weakref_slot=False)
class StreamGap:
    """The connection was lost and made again: frames in between were missed, unless they were filled in.

    Streams have no replay.

    Attributes:
        since: Last sign of life of the connection that was lost, by our clock.
        until: When the next one was there, by our clock.
        attempts: How many handshakes it took.
        reason: Why the connection was lost, with control characters as escapes.
        device_ids: Devices whose frames were missed, where the stream needs several connections; else empty, which
            means everything that the stream follows.
        filled: What the server lists of the time in between was given before this event, without duplicates.
    """

    since: datetime
    until: datetime
    attempts: int
    reason: str
    device_ids: tuple[str, ...] = ()
    filled: bool = False


@attrs.frozen(kw_only=True, weakref_slot=False)
class MalformedFrame:
    """A frame that could not be read; the stream goes on.

    Attributes:
        error: What is wrong with it.
        excerpt: Its beginning, with control characters as escapes; empty where the connection did not let it
            through (too large, not UTF-8), which a `StreamGap` follows.
    """

    error: DecodeError
    excerpt: str


@attrs.frozen(kw_only=True, weakref_slot=False)
class FramesDropped:
    """Frames that were dropped at this place because the consumer was too slow (`overflow="drop_oldest"`).

    Attributes:
        count: How many.
    """

    count: int


StreamEvent: TypeAlias = StreamGap | MalformedFrame | FramesDropped
"""What `stream.events()` gives besides frames."""
