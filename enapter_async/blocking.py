"""The client for synchronous code: scripts, notebooks and WSGI applications such as Flask and Django."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Generator
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, suppress
from types import TracebackType
from typing import Any, Final, Self, TypeVar, Unpack, cast

import anyio
import attrs
from anyio.abc import TaskStatus
from anyio.from_thread import BlockingPortal

from enapter_async.client import ClientOptions, EnapterClient
from enapter_async.errors import ClientClosedError, WrongEventLoopError
from enapter_async.models.arguments import refuse_argument

__all__ = ["BlockingClient"]

T = TypeVar("T")

_FAREWELL: Final = 0.1
"""Seconds that calls have to end with the errors of a closed client, before they are cancelled."""


@attrs.frozen(eq=False)
class _Running:
    """An event loop in a thread, and the client in it."""

    portal: BlockingPortal
    client: EnapterClient
    thread: threading.Thread
    process: int


class BlockingClient:
    """An `EnapterClient` in a background thread, for code without an event loop.

        with BlockingClient.from_env() as enapter:
            devices = enapter.call(lambda client: client.devices.list().collect())

    The thread starts with the first call, so you can create the client at import time, also in a server that forks
    workers later: each process has its own thread. Any number of threads may use it at the same time. Leave the `with`
    block, or call `close`, to close it. Otherwise it is closed when the program ends.
    """

    def __init__(self, make_client: Callable[[], EnapterClient]) -> None:
        """Prepare a client; nothing is opened yet.

        Args:
            make_client: Returns a new client, once per process, such as
                `lambda: EnapterClient.gateway("192.168.10.22", token=token)`.

        Raises:
            InvalidArgumentError: `make_client` is not a function.
        """
        if not callable(make_client):
            requirement = "must be a function that returns a client, such as lambda: EnapterClient(...)"
            raise refuse_argument("make_client", requirement, make_client)
        self._make_client = make_client
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._closed = False

    @classmethod
    def from_env(cls, **options: Unpack[ClientOptions]) -> Self:
        """Prepare a client with the settings of the environment.

        Args:
            **options: Further settings, as for `EnapterClient.from_env`.
        """
        return cls(lambda: EnapterClient.from_env(**options))

    def call(self, function: Callable[[EnapterClient], Awaitable[T]]) -> T:
        """Call a function with the client, wait for its result and return it.

        Ctrl-C cancels the call.

        Args:
            function: The function, such as `lambda client: client.devices.get("ID")`. It runs in the event loop, so it
                may be an `async def` function that makes several requests at the same time.

        Raises:
            EnapterError: The call failed, or the client is closed.
            WrongEventLoopError: The call was made in the background thread, where it would wait for itself.
        """
        running = self._open()

        async def run() -> T:
            return await function(running.client)

        return self._wait(running, run)

    def iterate(self, function: Callable[[EnapterClient], AsyncIterable[T]]) -> Generator[T, None, None]:
        """Iterate over a list, a stream, a watch, a history or your own async generator.

        The iterator opens a stream or a watch, and closes it when the iteration ends. If you leave the iteration early
        and keep the iterator, call its `close`. At most one item is read ahead.

        Args:
            function: Returns the source of the items, such as `lambda client: client.telemetry.follow("ID")`.

        Yields:
            The items.

        Raises:
            EnapterError: The iteration failed, or the client is closed.
            WrongEventLoopError: The iteration was started in the background thread, where it would wait for itself.
        """
        running = self._open()
        sender, receiver = anyio.create_memory_object_stream[T](0)

        async def produce(*, task_status: TaskStatus[anyio.CancelScope]) -> None:
            with sender, anyio.CancelScope() as scope:
                task_status.started(scope)
                async with AsyncExitStack() as stack:
                    async for item in await _enter(stack, function(running.client)):
                        await sender.send(item)

        with receiver:
            with self._name_closed():
                task, scope = running.portal.start_task(produce)
            try:
                with suppress(anyio.EndOfStream):
                    while True:
                        yield self._wait(running, receiver.receive)
                with _name_closing():
                    task.result()
            finally:
                if not task.done():
                    with suppress(RuntimeError, CancelledError):  # closed by another thread
                        running.portal.call(scope.cancel)
                        task.result()

    def close(self) -> None:
        """Close the client and end its thread. Calls that are running in other threads fail."""
        with self._lock:
            self._closed = True
            running, self._running = self._running, None
        if running is not None and running.process == os.getpid():
            running.portal.start_task_soon(running.portal.stop)
            running.thread.join()
        atexit.unregister(self.close)

    def __repr__(self) -> str:
        running = self._running
        state = "closed" if self._closed else "not connected" if running is None else repr(running.client)
        return f"<BlockingClient {state}>"

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> _Running:
        with self._lock:
            if self._closed:
                raise ClientClosedError
            if self._running is None or self._running.process != os.getpid():
                opened: Future[tuple[BlockingPortal, EnapterClient]] = Future()
                # A daemon: threads of other kinds are waited for before `atexit` can close the client.
                thread = threading.Thread(
                    target=lambda: asyncio.run(self._serve(opened)), name="enapter-client", daemon=True
                )
                thread.start()
                try:
                    portal, client = opened.result()
                except BaseException:
                    thread.join()
                    raise
                self._running = _Running(portal, client, thread, os.getpid())
                atexit.register(self.close)
            if self._running.thread is threading.current_thread():
                raise WrongEventLoopError("a BlockingClient waits for this thread: use the client with `await` here")
            return self._running

    async def _serve(self, opened: Future[tuple[BlockingPortal, EnapterClient]]) -> None:
        async with BlockingPortal() as portal:
            try:
                async with self._make_client() as client:
                    opened.set_result((portal, client))
                    await portal.sleep_until_stopped()
            except BaseException as error:
                if opened.done():
                    raise
                opened.set_exception(error)
                return
            await anyio.sleep(_FAREWELL)
            await portal.stop(cancel_remaining=True)

    @contextmanager
    def _name_closed(self) -> Generator[None, None, None]:
        try:
            yield
        except RuntimeError:
            if self._closed:  # by another thread, in this moment
                raise ClientClosedError from None
            raise

    def _wait(self, running: _Running, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        with self._name_closed():
            future: Future[T] = running.portal.start_task_soon(function)
        try:
            with _name_closing():
                return future.result()
        except BaseException:
            future.cancel()
            raise


async def _enter(stack: AsyncExitStack, source: AsyncIterable[T]) -> AsyncIterable[T]:
    """Open what has to be opened, and have the stack close it."""
    if isinstance(source, AbstractAsyncContextManager):
        opened = cast("AbstractAsyncContextManager[AsyncIterable[T]]", source)
        return await stack.enter_async_context(opened)
    items: AsyncIterable[T] = source
    if isinstance(source, AsyncGenerator):
        stack.push_async_callback(cast("AsyncGenerator[T, None]", source).aclose)
    return items


@contextmanager
def _name_closing() -> Generator[None, None, None]:
    """Raise the error of a closed client where `close` has cancelled a call."""
    try:
        yield
    except CancelledError:
        raise ClientClosedError from None
