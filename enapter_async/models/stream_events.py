"""Events that a stream reports in addition to its frames."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

import attrs

from enapter_async.errors import DecodeError


@attrs.frozen(kw_only=True, weakref_slot=False)
class StreamGap:
    """The connection was lost and restored. Frames in between were missed unless `filled` is set.

    The API does not replay streams.

    Attributes:
        since: Last sign of life of the lost connection, by the local clock.
        until: When the next connection was open, by the local clock.
        attempts: Number of handshakes until then.
        reason: Why the connection was lost, with control characters escaped.
        device_ids: Devices whose frames were missed, if the stream has several connections. Empty means everything
            that the stream follows.
        filled: Whether the records that the server lists for the gap were returned before this event, without
            duplicates.
    """

    since: datetime
    until: datetime
    attempts: int
    reason: str
    device_ids: tuple[str, ...] = ()
    filled: bool = False


@attrs.frozen(kw_only=True, weakref_slot=False)
class MalformedFrame:
    """A frame that could not be read. The stream continues.

    Attributes:
        error: Error of the frame.
        excerpt: Beginning of the frame, with control characters escaped. Empty if the frame was too large or not
            UTF-8; such a frame closes the connection, and a `StreamGap` follows.
    """

    error: DecodeError
    excerpt: str


@attrs.frozen(kw_only=True, weakref_slot=False)
class FramesDropped:
    """Frames that were dropped at this point because the consumer was too slow (`overflow="drop_oldest"`).

    Attributes:
        count: Number of dropped frames.
    """

    count: int


StreamEvent: TypeAlias = StreamGap | MalformedFrame | FramesDropped
"""An event that `stream.events()` returns in addition to frames."""
