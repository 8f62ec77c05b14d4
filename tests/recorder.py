"""A server that answers everything with what it was told to, and keeps what came in."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
from aiohttp import web

from enapter_async import EnapterClient, InvalidArgumentError


@attrs.define
class Received:
    """One request: its method and raw target below the root, and its body."""

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def method(self) -> str:
        return self.target.split(" ", 1)[0]

    @property
    def path(self) -> str:
        return self.target.split(" ", 1)[1].split("?", 1)[0]


class Recorder:
    """The server's side: `url`, what it `received`, and what it answers next."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[Received] = []
        self.answers: list[tuple[int, bytes]] = []
        self.answer = b"{}"

    def answers_with(self, *answers: tuple[int, bytes]) -> None:
        """Answer the next requests with these statuses and bodies, one each."""
        self.answers.extend(answers)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        target = f"{request.method} {request.raw_path.removeprefix('/')}"
        self.received.append(Received(target, headers, await request.read()))
        if "upgrade" in headers:
            return web.Response(status=404, body=b"{}", content_type="application/json")
        status, body = self.answers.pop(0) if self.answers else (200, self.answer)
        kind = "application/json" if body.startswith((b"{", b"[")) else "application/octet-stream"
        return web.Response(status=status, body=body, content_type=kind)


@asynccontextmanager
async def recording() -> AsyncIterator[Recorder]:
    """Run a recorder on loopback."""
    recorder = Recorder()
    runner = web.ServerRunner(web.Server(recorder.handle), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        recorder.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield recorder
    finally:
        await runner.cleanup()


async def find_refusal(
    argument: str, call: Callable[[EnapterClient], Any], client: EnapterClient, recorder: Recorder
) -> InvalidArgumentError:
    """Make a call that is refused by the name of an argument, before anything is sent; return the error."""

    async def made() -> None:
        result = call(client)
        if inspect.isawaitable(result):
            await result

    with pytest.raises(InvalidArgumentError) as caught:
        await made()
    assert caught.value.argument == argument
    assert str(caught.value).startswith(f"{argument}: ")
    assert recorder.received == []
    return caught.value
