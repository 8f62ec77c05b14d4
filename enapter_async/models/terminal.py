"""A terminal on a device."""

from __future__ import annotations

import attrs

from enapter_async.models.common import JSON, NO_EXTRA


@attrs.frozen(kw_only=True, weakref_slot=False)
class TerminalSession:
    """Where a terminal session waits, and the secret that opens it; `client.devices.open_terminal` does.

    The address is that of a WebSocket. Its handshake carries `Authorization: Bearer <token>`, and not the token of the
    API. Each message is a JSON object `{"channel": channel_id, "data": "..."}` whose data is a JSON array as text:
    `["stdin", text]`, `["set_size", rows, columns]`, `["ping"]` and, every 30 seconds, `["keepalive_ping"]` to the
    Gateway; `["stdin", text]` and `["exit"]` from it.

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
