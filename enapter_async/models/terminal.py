"""A terminal on a device."""

from __future__ import annotations

import attrs

from enapter_async.models.common import JSON, NO_EXTRA


@attrs.frozen(kw_only=True, weakref_slot=False)
class TerminalSession:
    """Where a terminal session waits, and the secret that opens it.

    Attributes:
        channel_id: Channel of the session.
        token: Secret that opens it; not in the repr.
        websocket_url: Address to connect to; not in the repr, since addresses may hold secrets.
        extra: Fields that this version does not know; not in the repr.
    """

    channel_id: str
    token: str = attrs.field(repr=False)
    websocket_url: str = attrs.field(repr=False)
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, repr=False, hash=False)
