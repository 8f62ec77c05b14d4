"""The client for synchronous code: scripts, notebooks and WSGI applications such as Flask and Django."""

from __future__ import annotations

import asyncio
import atexit
import inspect
import os
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Generator
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, suppress
from functools import wraps
from types import TracebackType, UnionType
from typing import Any, Final, NoReturn, ParamSpec, Self, TypeVar, Unpack, cast

import anyio
import attrs
from anyio.abc import TaskStatus
from anyio.from_thread import BlockingPortal

from enapter_async._arguments import refuse_argument
from enapter_async.client import ClientOptions, EnapterClient
from enapter_async.errors import ClientClosedError, WrongEventLoopError

__all__ = ["BlockingClient"]

T = TypeVar("T")
P = ParamSpec("P")

_FAREWELL: Final = 0.1
"""Seconds that calls have to end with the errors of a closed client, before they are cancelled."""


@attrs.define(eq=False)
class _Running:
    """An event loop in a thread, and the client in it."""

    portal: BlockingPortal
    client: EnapterClient
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event
    thread: threading.Thread = attrs.field(factory=threading.current_thread)
    process: int = attrs.field(factory=os.getpid)
    is_ending: bool = False

    @property
    def is_usable(self) -> bool:
        """Whether it runs in this process. A forked process has none of its parent's threads."""
        return self.process == os.getpid() and self.thread.is_alive()

    def ask_to_end(self) -> None:
        """Close the client, from any thread, without waiting for it."""
        self.is_ending = True
        self.schedule(self.stop.set)

    def schedule(self, callback: Callable[[], object]) -> None:
        """Call a function in the event loop, from any thread, if the loop still runs."""
        if self.process == os.getpid():
            with suppress(RuntimeError):  # the loop is closed
                self.loop.call_soon_threadsafe(callback)

    def end(self) -> None:
        """Close the client and wait for its thread, except in the thread itself."""
        self.ask_to_end()
        if self.is_usable and self.thread is not threading.current_thread():
            self.thread.join()


class _ExitError(Exception):
    """Carries a KeyboardInterrupt or SystemExit out of the event loop, which the original would end."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


_threads: Final[set[_Running]] = set()
"""The clients that are open in this process, to be closed when the program ends."""


@atexit.register
def _end_all() -> None:
    for running in list(_threads):
        running.end()


class BlockingClient:
    """An `EnapterClient` in a background thread, for code without an event loop.

        with BlockingClient.from_env() as enapter:
            devices = enapter.call(lambda client: client.devices.list().collect())

    The thread starts with the first call, so you can create the client at import time, also in a server that forks
    workers later: each process has its own thread. Any number of threads may use it at the same time. Leave the `with`
    block, or call `close`, to close it. Otherwise it is closed when it is garbage collected or the program ends.
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
            InvalidArgumentError: The function did not return an awaitable.
            WrongEventLoopError: The call was made in the background thread, where it would wait for itself.
        """
        running = self._open()

        async def run() -> T:
            result = function(running.client)
            _require(result, Awaitable, "must return something to await; for a stream, use iterate")
            return await result

        return _wait(running, run)

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
            InvalidArgumentError: The function did not return an iterable.
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
            with _name_closed(running):
                task, scope = running.portal.start_task(_carry_exits(produce))
            try:
                with suppress(anyio.EndOfStream):
                    while True:
                        yield _wait(running, receiver.receive)
                _result_of(running, task)
            finally:
                if not task.done() and running.is_usable:
                    running.schedule(scope.cancel)
                    if running.thread is not threading.current_thread():  # garbage collection may run this there
                        with suppress(CancelledError, ClientClosedError):
                            _result_of(running, task)

    def close(self) -> None:
        """Close the client and end its thread. Calls that are running in other threads fail."""
        with self._lock:
            self._closed = True
            running, self._running = self._running, None
        if running is not None:
            running.end()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a BlockingClient cannot be pickled because of its thread: create one in each process")

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
            if self._running is None or not self._running.is_usable:
                self._running = _start(self._make_client)
                weakref.finalize(self, self._running.ask_to_end)
            if self._running.thread is threading.current_thread():
                raise WrongEventLoopError("a BlockingClient waits for this thread: use the client with `await` here")
            return self._running


def _start(make_client: Callable[[], EnapterClient]) -> _Running:
    """Open a client in a new thread."""
    opened: Future[_Running] = Future()

    def serve() -> None:
        try:
            with asyncio.Runner() as runner:
                runner.get_loop()  # if this fails, no coroutine is left unawaited
                runner.run(_serve(make_client, opened))
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)  # there is no event loop, for example because too many files are open

    # A daemon thread, because Python waits for other threads before `atexit` can close the client.
    thread = threading.Thread(target=serve, name="enapter-client", daemon=True)
    thread.start()
    try:
        return opened.result()
    except BaseException:  # Ctrl-C, or an error of the thread
        if opened.cancel():
            raise  # the thread closes the client once it is open
        if opened.exception() is None:
            opened.result().ask_to_end()
        thread.join()
        raise


async def _serve(make_client: Callable[[], EnapterClient], opened: Future[_Running]) -> None:
    async with BlockingPortal() as portal:
        try:
            async with make_client() as client:
                running = _Running(portal, client, asyncio.get_running_loop(), asyncio.Event())
                _threads.add(running)
                try:
                    with suppress(InvalidStateError):  # after Ctrl-C, nobody waits for it any more
                        opened.set_result(running)
                        await running.stop.wait()
                    await portal.stop()
                finally:
                    running.is_ending = True
                    _threads.discard(running)
        except BaseException as error:
            if opened.cancelled():
                return
            if opened.done():
                raise
            opened.set_exception(error)
            return
        await anyio.sleep(_FAREWELL)
        await portal.stop(cancel_remaining=True)


def _wait(running: _Running, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    if running.process != os.getpid():
        raise WrongEventLoopError(
            "the iteration was started in another process, before a fork: start one in this process"
        )
    with _name_closed(running):
        future: Future[T] = running.portal.start_task_soon(_carry_exits(function))
    try:
        return _result_of(running, future)
    except BaseException:
        future.cancel()
        raise


def _result_of(running: _Running, future: Future[T]) -> T:
    try:
        return future.result()
    except _ExitError as carried:
        raise carried.error from None
    except CancelledError:
        if running.is_ending:
            raise ClientClosedError from None
        raise


def _carry_exits(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Turn the exceptions that would end the event loop into one that does not."""

    @wraps(function)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await function(*args, **kwargs)
        except (KeyboardInterrupt, SystemExit) as error:
            raise _ExitError(error) from None

    return run


def _require(result: object, kind: type[Any] | UnionType, requirement: str) -> None:
    """Check what a function has returned."""
    if not isinstance(result, kind):
        if inspect.iscoroutine(result):
            result.close()
        raise refuse_argument("function", requirement, result)


async def _enter(stack: AsyncExitStack, source: AsyncIterable[T]) -> AsyncIterable[T]:
    """Open what has to be opened, and have the stack close it."""
    requirement = "must return a list, a stream or another async iterable; for a single result, use call"
    _require(source, AbstractAsyncContextManager | AsyncIterable, requirement)
    if isinstance(source, AbstractAsyncContextManager):
        opened = cast("AbstractAsyncContextManager[AsyncIterable[T]]", source)
        return await stack.enter_async_context(opened)
    items: AsyncIterable[T] = source
    if isinstance(source, AsyncGenerator):
        stack.push_async_callback(cast("AsyncGenerator[T, None]", source).aclose)
    return items


@contextmanager
def _name_closed(running: _Running) -> Generator[None, None, None]:
    """Raise the error of a closed client if its event loop does not accept a call."""
    try:
        yield
    except (CancelledError, RuntimeError):
        if running.is_ending or not running.is_usable:
            raise ClientClosedError from None
        raise
