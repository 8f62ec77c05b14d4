"""A real client whose exchanges with the server are replaced: everything that parses is real."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import aiohttp

from enapter_async import EnapterClient, EnapterError, RetryPolicy, Timeouts
from enapter_async._protocol.request import Answer, Headers
from enapter_async._transport.http import HttpTransport
from enapter_async._transport.websocket import _Refused
from tests.secrecy import TOKEN, assert_clean

LONGEST = 5.0
"""Seconds of CPU that any answer may take to be read; most take a thousandth. Load does not count."""
MOST_EXCHANGES = 300
MOST_MEMORY = 256 * 1024
"""KiB by which the process may grow over all examples of a test."""


def headers(lines: dict[str, str]) -> Headers:
    return Headers(tuple((name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in lines.items()))


class Fuzzed:
    """A client on an event loop of its own, and what the next answers are."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self.client = EnapterClient(
            base_url="http://fuzz.invalid",
            token=TOKEN,
            retry=RetryPolicy.none(),
            timeouts=Timeouts(total=2, attempt=1, connect=1, command=2),
        )
        self.answer = Answer(200, Headers(), b"")
        self.pieces: list[bytes] = []
        self.messages: list[str | bytes] = []
        self._exchanges = 0

    async def exchange(self, *_: object, **__: object) -> Answer:
        self._exchanges += 1
        assert self._exchanges <= MOST_EXCHANGES, "a client that asks for ever"
        await asyncio.sleep(0)
        return self.answer

    async def stream(self, *_: object, **__: object) -> FakeStream:
        return FakeStream(self.answer, self.pieces)

    async def upgrade(self, *_: object, **__: object) -> FakeConnection:
        if self.answer.status != 101:
            raise _Refused(self.answer)
        return FakeConnection(self.messages)

    def outcome_of(self, call: Callable[[EnapterClient], Awaitable[object]]) -> object:
        """Return what a call gives, or its `EnapterError`; any other exception fails the test."""
        self._exchanges = 0
        return self._runner.run(self._outcome_of(call))

    async def _outcome_of(self, call: Callable[[EnapterClient], Awaitable[object]]) -> object:
        began = time.thread_time()
        try:
            return await call(self.client)
        except EnapterError as error:
            assert_clean(error)
            return error
        finally:
            assert time.thread_time() - began < LONGEST

    def close(self) -> None:
        self._runner.run(self.client.aclose())
        self._runner.close()


class FakeStream:
    """A body in pieces."""

    def __init__(self, answer: Answer, pieces: list[bytes]) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.ends_provably = True
        self._pieces = pieces

    async def pieces(self, **_: object) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await asyncio.sleep(0)
            yield piece

    def close(self) -> None:
        pass


class FakeConnection:
    """aiohttp's side of a WebSocket: gives some messages and is lost."""

    def __init__(self, messages: list[str | bytes]) -> None:
        self._messages = list(messages)

    async def receive(self) -> aiohttp.WSMessage:
        await asyncio.sleep(0)
        if not self._messages:
            return aiohttp.WSMessage(aiohttp.WSMsgType.CLOSED, None, None)
        message = self._messages.pop(0)
        kind = aiohttp.WSMsgType.TEXT if isinstance(message, str) else aiohttp.WSMsgType.BINARY
        return aiohttp.WSMessage(kind, message, None)

    async def ping(self) -> None:
        pass

    async def pong(self, _: bytes = b"") -> None:
        pass

    async def close(self) -> None:
        pass


@contextmanager
def fuzzed() -> Iterator[Fuzzed]:
    """Replace what goes over the wire until the block ends; memory must not grow without bound meanwhile."""
    one = Fuzzed()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.ExitStack() as stack:
        stack.callback(one.close)
        for name, substitute in (("send", one.exchange), ("stream", one.stream), ("upgrade", one.upgrade)):
            stack.enter_context(patch.object(HttpTransport, name, _ignoring_self(substitute)))
        yield one
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < MOST_MEMORY, f"{grown:,} KiB more"


def _ignoring_self(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def call(*_: object, **__: object) -> Any:
        return await function()

    return call
