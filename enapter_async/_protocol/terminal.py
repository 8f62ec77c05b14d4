"""The WebSocket of a Gateway's terminal: its address and messages (reference.md, section 11a)."""

from __future__ import annotations

import json
from typing import Final, cast

from enapter_async._arguments import refuse_argument
from enapter_async._host import can_exist, split_url
from enapter_async._protocol.decoding import json_text
from enapter_async._protocol.request import Elsewhere, Operation, Request, Safety
from enapter_async.errors import InvalidArgumentError, InvalidBodyError, SchemaError
from enapter_async.models.common import JSON
from enapter_async.models.terminal import TerminalSession

_HTTP_SCHEMES: Final = {"ws": "http", "wss": "https", "http": "http", "https": "https"}


# Not an operation of the API: a response of the API contains the address.
_OPEN: Final = Operation("devices.open_terminal", "GET", Safety.READ)


def terminal_request(session: TerminalSession, *, base_url: str) -> Request:
    """Return the handshake that opens a terminal.

    Raises:
        InvalidArgumentError: The session's address or token is invalid, or the address is unencrypted although the API
            uses https.
    """
    if not isinstance(session, TerminalSession):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refuse_argument("session", "must be a TerminalSession", session)
    if not _is_plain(session.token):
        raise InvalidArgumentError("session", "its token contains white space or characters invalid in a header")
    elsewhere = Elsewhere(_http_url(session.websocket_url, base_url), session.token)
    return Request(_OPEN, "websocket_url", elsewhere=elsewhere)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _http_url(websocket_url: str, base_url: str) -> str:
    parts = split_url(websocket_url) if _is_plain(websocket_url) else None
    scheme = None if parts is None else _HTTP_SCHEMES.get(parts.scheme)
    if parts is None or scheme is None or not can_exist(parts.hostname or "") or parts.username is not None:
        raise InvalidArgumentError("session", "websocket_url must be an address such as wss://example.net/session")
    if scheme == "http" and not base_url.startswith("http:"):
        raise InvalidArgumentError("session", "websocket_url is an unencrypted ws address, which exposes the token")
    return parts._replace(scheme=scheme, fragment="").geturl()


def encode_message(channel_id: str, *words: str | int) -> str:
    """Return a message for a terminal, such as `"stdin", "ls"`."""
    return json.dumps({"channel": channel_id, "data": json.dumps(words)})


def decode_output(message: str | bytes) -> str | None:
    """Return the text that a message shows, possibly empty, or None if the terminal has ended.

    Raises:
        InvalidBodyError: The message is not JSON.
        SchemaError: The message is JSON of another structure.
    """
    frame = _loads(message, "the frame")
    data = frame.get("data") if isinstance(frame, dict) else None
    if not isinstance(data, str):
        raise SchemaError("expected text", path="data")
    words = _loads(data, "data of the frame")
    match words:
        case ["exit", *_]:
            return None
        case ["stdin", str(text), *_]:
            return text
        case [str(), *_]:
            return ""  # a type of message that this version does not know
        case _:
            raise SchemaError("expected an array that begins with a string", path="data")


def _loads(text: str | bytes, what: str) -> JSON:
    try:
        return cast("JSON", json_text.loads(text if isinstance(text, bytes) else text.encode()))
    except (ValueError, RecursionError) as error:
        reason = type(error).__name__ if isinstance(error, RecursionError) else str(error)
    raise InvalidBodyError(f"{what} is not JSON ({reason})")
