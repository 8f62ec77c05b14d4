"""A terminal on a device."""

from __future__ import annotations

import attrs

from enapter_async.models.common import JSON, NO_EXTRA


@attrs.frozen(kw_only=True, weakref_slot=False)
class TerminalSession:
    """Address of a terminal session, and the secret that opens it. Pass it to `client.devices.open_terminal`.

    The address is a WebSocket. The handshake sends `Authorization: Bearer <token>` with the token of the session,
    never the token of the API. Each message is a JSON object `{"channel": channel_id, "data": "..."}` whose data is a
    JSON array as text: `["stdin", text]`, `["set_size", rows, columns]`, `["ping"]` and, every 30 seconds,
    `["keepalive_ping"]` to the Gateway; `["stdin", text]` and `["exit"]` from it.

    Attributes:
        channel_id: Channel of the session.
        token: Secret that opens the session. The repr does not show it.
        websocket_url: Address to connect to. The repr does not show it, since addresses may contain secrets.
        extra: Fields that this version does not know. The repr does not show them.
    """

    channel_id: str
    token: str = attrs.field(repr=False)
    websocket_url: str = attrs.field(repr=False)
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, repr=False, hash=False)
