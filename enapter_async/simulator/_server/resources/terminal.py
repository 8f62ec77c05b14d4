"""The terminal of a Gateway (reference.md, section 11a): its credentials, and the socket that they open."""

from __future__ import annotations

import json
import secrets
from typing import Any

import attrs
from aiohttp import web

from ..errors import Refusal, not_found, unprocessable
from ..exchange.call import Call
from ..exchange.responses import json_response
from ..exchange.sockets import Socket, wants_socket
from ..operations import Operations
from ..roles import Role
from ..shapes import as_list

operations = Operations()
socket_operations = Operations()
"""Routes outside the specification, which only the response of `runTerminal` refers to."""


@operations.device("POST", "/{device_id}/run_terminal", "runTerminal", role=Role.OWNER, mode="cloud")
async def run_terminal(call: Call) -> web.Response:
    """Create the credentials of a terminal session on a Gateway."""
    device = call.device()
    if device.type != "GATEWAY":
        raise unprocessable("only a Gateway has a terminal", code="no_terminal")
    channel_id, token = f"ch-{secrets.token_hex(4)}", secrets.token_urlsafe(32)
    call.world.terminals[channel_id] = (token, device.slug)
    scheme = "wss" if call.request.secure else "ws"
    url = f"{scheme}://{call.request.host}/v3/terminals/{channel_id}"
    return json_response({"channel_id": channel_id, "token": token, "websocket_url": url})


@socket_operations.add("GET", "/v3/terminals/{channel_id}", "terminal", role=None, mode="cloud")
async def open_terminal(call: Call) -> web.StreamResponse:
    """Serve a shell that knows `echo`, `hostname` and `exit`. Its token is that of the credentials."""
    channel_id = call.path("channel_id")
    if channel_id not in call.world.terminals:
        raise not_found("terminal")
    token, name = call.world.terminals[channel_id]
    if not secrets.compare_digest(call.request.headers.get("Authorization", "").encode(), f"Bearer {token}".encode()):
        raise Refusal(401, "the terminal's own token is needed", code="unauthorized")
    if not wants_socket(call.request):
        raise Refusal(400, "a terminal is a WebSocket", code="websocket_required")
    shell = _Shell(channel_id, name)
    return await call.sockets.follow(
        call, {}, lambda _since, _until: [], call.behaviour.stream_interval, opened=shell.greet, received=shell.read
    )


@attrs.define
class _Shell:
    channel_id: str
    name: str
    line: str = ""

    def greet(self, socket: Socket) -> None:
        self._say(socket, "stdin", f"{self.name}$ ")

    def read(self, socket: Socket, text: str) -> None:
        """Read a frame. Pings and invalid frames are not answered."""
        words = _words(text, self.channel_id)
        match words:
            case ["stdin", str(typed)]:
                self._type(socket, typed)
            case ["set_size", int(rows), int(columns)]:
                self._say(socket, "stdin", f"\r\n[{rows} x {columns}]\r\n{self.name}$ ")
            case _:
                pass

    def _type(self, socket: Socket, typed: str) -> None:
        self._say(socket, "stdin", typed.replace("\n", "\r\n"))  # a terminal echoes
        *lines, self.line = (self.line + typed).replace("\r", "\n").split("\n")
        for line in lines:
            command, _, rest = line.strip().partition(" ")
            if command == "exit":
                self._say(socket, "exit")
                socket.finish()
                return
            answer = {"": "", "echo": rest, "hostname": self.name}.get(command, f"{command}: not found")
            self._say(socket, "stdin", (f"{answer}\r\n" if answer else "") + f"{self.name}$ ")

    def _say(self, socket: Socket, *words: str) -> None:
        socket.put({"channel": self.channel_id, "data": json.dumps(words)})


def _words(text: str, channel_id: str) -> list[Any]:
    try:
        frame = json.loads(text)
        words = as_list(json.loads(frame["data"])) if frame["channel"] == channel_id else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    return words or []
