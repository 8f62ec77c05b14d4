"""The client for synchronous code: from scripts, threads, forked workers and half-read streams."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest

from enapter_async import (
    ClientClosedError,
    ConfigurationError,
    EnapterClient,
    EnapterError,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    TelemetryFrame,
    Timeouts,
    WrongEventLoopError,
)
from enapter_async.blocking import BlockingClient
from enapter_async.simulator import Fault, Simulator, SimulatorControl, run_in_thread


@pytest.fixture
def simulator() -> Iterator[SimulatorControl]:
    with run_in_thread(Simulator(devices=5)) as control:
        yield control


@pytest.fixture
def enapter(simulator: SimulatorControl) -> Iterator[BlockingClient]:
    with BlockingClient(lambda: EnapterClient(base_url=simulator.url, token=simulator.token)) as client:
        yield client


def threads() -> int:
    return [thread.name for thread in threading.enumerate()].count("enapter-client")


def test_calls_lists_and_errors(enapter: BlockingClient) -> None:
    devices = enapter.call(lambda client: client.devices.list())
    assert len(devices) == 5
    assert [device.id for device in enapter.iterate(lambda client: client.devices.list())] == [d.id for d in devices]
    with pytest.raises(NotFoundError):
        enapter.call(lambda client: client.devices.get("nobody"))


def test_a_function_with_several_requests(enapter: BlockingClient) -> None:
    async def count(client: EnapterClient) -> tuple[int, int]:
        counts: dict[str, int] = {}

        async def count_devices() -> None:
            counts["devices"] = len(await client.devices.list())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(count_devices)
            counts["sites"] = len(await client.sites.list())
        return counts["devices"], counts["sites"]

    assert enapter.call(count)[0] == 5


def test_a_stream_that_is_left_early_is_closed(simulator: SimulatorControl) -> None:
    device = simulator.devices()[0].id

    def make() -> EnapterClient:
        return EnapterClient(
            base_url=simulator.url, token=simulator.token, max_streams=1, timeouts=Timeouts(total=10, attempt=10)
        )

    with BlockingClient(make) as enapter:
        for _ in range(3):  # the next one would not be opened while this one is
            frames = enapter.iterate(lambda client: client.telemetry.follow(device))
            assert isinstance(next(frames), TelemetryFrame)
            frames.close()


def test_an_async_generator_is_closed_too(enapter: BlockingClient) -> None:
    ended: list[str] = []

    async def numbers(client: EnapterClient) -> AsyncIterator[int]:
        try:
            for number in range(1000):
                yield number
        finally:
            ended.append(threading.current_thread().name)

    for number in enapter.iterate(numbers):
        if number == 3:
            break
    assert ended == ["enapter-client"]


def test_an_error_ends_an_iteration(enapter: BlockingClient) -> None:
    async def broken(client: EnapterClient) -> AsyncIterator[int]:
        yield 1
        await client.devices.get("nobody")

    numbers = enapter.iterate(broken)
    assert next(numbers) == 1
    with pytest.raises(NotFoundError):
        next(numbers)


def test_many_threads_share_one_client(simulator: SimulatorControl) -> None:
    made: list[EnapterClient] = []

    def make() -> EnapterClient:
        made.append(EnapterClient(base_url=simulator.url, token=simulator.token))
        return made[-1]

    enapter = BlockingClient(make)
    assert threads() == 0
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda _: len(enapter.call(lambda client: client.devices.list())), range(8)))
    assert counts == [5] * 8
    assert len(made) == threads() == 1
    enapter.close()
    enapter.close()
    assert threads() == 0
    with pytest.raises(ClientClosedError):
        enapter.call(lambda client: client.devices.list())


def test_closing_ends_calls_in_other_threads(enapter: BlockingClient, simulator: SimulatorControl) -> None:
    seconds = 25.0
    simulator.add_fault("listDevices", Fault.hang(seconds))
    simulator.add_fault("createExecution", Fault.hang(seconds))
    began = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        reading = pool.submit(lambda: enapter.call(lambda client: client.devices.list()))
        commanding = pool.submit(lambda: enapter.call(lambda client: client.commands.start("D", "start")))
        sleeping = pool.submit(lambda: enapter.call(lambda _: anyio.sleep(seconds)))
        while len(simulator.requests) < 2:  # a command that has not reached the server has a known outcome
            time.sleep(0.02)
        enapter.close()
        assert isinstance(reading.exception(), ClientClosedError)
        assert isinstance(commanding.exception(), OutcomeUnknownError)
        assert isinstance(sleeping.exception(), ClientClosedError)
    assert time.monotonic() - began < seconds


def test_settings_that_cannot_work_raise_at_once() -> None:
    with pytest.raises(ConfigurationError), BlockingClient(lambda: EnapterClient(token="")):
        pass
    assert threads() == 0
    assert issubclass(ConfigurationError, EnapterError)


def test_an_event_loop_that_cannot_be_created_raises_instead_of_hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> asyncio.AbstractEventLoop:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(asyncio.events, "new_event_loop", refuse)
    with pytest.raises(OSError, match="Too many open files"), BlockingClient(lambda: EnapterClient(token="x")):
        pass
    with pytest.raises(OSError, match="Too many open files"), run_in_thread(Simulator(devices=2)):
        pass


PROGRAM = """
import os, sys
from enapter_async.blocking import BlockingClient

enapter = BlockingClient.from_env()
print(len(enapter.call(lambda client: client.devices.list())), flush=True)
if hasattr(os, "fork"):
    child = os.fork()
    if child == 0:
        print(len(enapter.call(lambda client: client.devices.list())), flush=True)
        enapter.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
else:
    print(5)
print(len(enapter.call(lambda client: client.devices.list())), flush=True)
"""


def test_forked_workers_and_a_program_that_ends_without_closing(simulator: SimulatorControl) -> None:
    environment = {
        **os.environ,
        "ENAPTER_HTTP_API_TOKEN": simulator.token,
        "ENAPTER_HTTP_API_BASE_URL": simulator.url,
    }
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "5\n5\n5\n", "")


def test_a_call_in_the_thread_of_the_client_is_refused_instead_of_hanging(enapter: BlockingClient) -> None:
    async def nested(client: EnapterClient) -> int:
        return len(enapter.call(lambda client: client.devices.list()))

    async def iterated(client: EnapterClient) -> int:
        return len(list(enapter.iterate(lambda client: client.devices.list())))

    for function in (nested, iterated):
        with pytest.raises(WrongEventLoopError, match="use the client with `await` here"):
            enapter.call(function)
    assert len(enapter.call(lambda client: client.devices.list())) == 5


def test_a_client_instead_of_a_function_is_refused(simulator: SimulatorControl) -> None:
    client: Any = EnapterClient(base_url=simulator.url, token=simulator.token)
    with pytest.raises(InvalidArgumentError, match="make_client: must be a function that returns a client") as refused:
        BlockingClient(client)
    assert simulator.token not in str(refused.value)


def test_the_repr_shows_the_server_and_never_the_token(simulator: SimulatorControl) -> None:
    enapter = BlockingClient(lambda: EnapterClient(base_url=simulator.url, token=simulator.token))
    assert repr(enapter) == "<BlockingClient not connected>"
    with enapter:
        assert repr(enapter) == f"<BlockingClient <EnapterClient {simulator.url}>>"
    assert repr(enapter) == "<BlockingClient closed>"


def wait_until_ended() -> None:
    for thread in threading.enumerate():
        if thread.name == "enapter-client":
            thread.join()


def test_a_client_that_is_not_closed_ends_when_it_is_garbage_collected(simulator: SimulatorControl) -> None:
    enapter = BlockingClient(lambda: EnapterClient(base_url=simulator.url, token=simulator.token))
    assert len(enapter.call(lambda client: client.devices.list())) == 5
    assert threads() == 1
    del enapter
    gc.collect()
    wait_until_ended()


@pytest.mark.parametrize("exit_error", [SystemExit(3), KeyboardInterrupt()])
def test_a_function_that_exits_does_not_end_the_client(enapter: BlockingClient, exit_error: BaseException) -> None:
    async def leave(client: EnapterClient) -> None:
        raise exit_error

    async def yield_and_leave(client: EnapterClient) -> AsyncIterator[int]:
        yield 1
        raise exit_error

    with pytest.raises(type(exit_error)):
        enapter.call(leave)
    numbers = enapter.iterate(yield_and_leave)
    assert next(numbers) == 1
    with pytest.raises(type(exit_error)):
        next(numbers)
    assert len(enapter.call(lambda client: client.devices.list())) == 5


@pytest.mark.parametrize("exit_error", [SystemExit(3), KeyboardInterrupt()])
def test_an_iteration_that_exits_while_it_is_closed_raises_what_the_function_raised(
    enapter: BlockingClient, exit_error: BaseException
) -> None:
    async def yield_and_leave(client: EnapterClient) -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            raise exit_error

    numbers = enapter.iterate(yield_and_leave)
    assert next(numbers) == 1
    with pytest.raises(type(exit_error)):
        numbers.close()
    assert len(enapter.call(lambda client: client.devices.list())) == 5


def test_a_client_may_be_closed_by_the_function_that_it_runs(simulator: SimulatorControl) -> None:
    enapter = BlockingClient(lambda: EnapterClient(base_url=simulator.url, token=simulator.token))

    async def close(client: EnapterClient) -> int:
        enapter.close()
        return 5

    assert enapter.call(close) == 5
    wait_until_ended()
    with pytest.raises(ClientClosedError):
        enapter.call(close)


def test_functions_that_return_the_wrong_kind_are_named(enapter: BlockingClient) -> None:
    stream: Any = lambda client: client.telemetry.follow("D")  # noqa: E731
    with pytest.raises(InvalidArgumentError, match="for a stream, use iterate, got <Stream telemetry"):
        enapter.call(stream)
    single: Any = lambda client: client.devices.get("D")  # noqa: E731
    with pytest.raises(InvalidArgumentError, match="for a single result, use call, got <coroutine"):
        list(enapter.iterate(single))


def test_a_client_cannot_be_pickled(enapter: BlockingClient) -> None:
    with pytest.raises(TypeError, match="a BlockingClient cannot be pickled"):
        pickle.dumps(enapter)


def test_an_iteration_that_is_collected_in_the_thread_of_the_client(enapter: BlockingClient) -> None:
    ended = threading.Event()

    async def silent(client: EnapterClient) -> AsyncIterator[int]:
        try:
            yield 1
            await anyio.sleep_forever()
        finally:
            ended.set()

    numbers = enapter.iterate(silent)
    assert next(numbers) == 1
    kept = [numbers]
    del numbers

    async def collect(client: EnapterClient) -> None:
        kept.clear()
        gc.collect()

    enapter.call(collect)
    assert ended.wait(10)


FORKED = """
import os, signal
from enapter_async import WrongEventLoopError
from enapter_async.blocking import BlockingClient

enapter = BlockingClient.from_env()
devices = enapter.call(lambda client: client.devices.list())
frames = enapter.iterate(lambda client: client.telemetry.follow(devices[0].id))
next(frames)
child = os.fork()
if child == 0:
    signal.alarm(30)  # without the fix, the child hangs
    try:
        next(frames)
    except WrongEventLoopError:
        pass
    frames = None
    os._exit(len(enapter.call(lambda client: client.devices.list())))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
next(frames)
"""

INTERRUPTED = """
import os, signal, threading
from enapter_async import EnapterClient
from enapter_async.blocking import BlockingClient

signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
opening, interrupted = threading.Event(), threading.Event()

def make():
    opening.set()
    interrupted.wait(30)
    return EnapterClient.from_env()

threading.Thread(target=lambda: (opening.wait(30), os.kill(os.getpid(), signal.SIGINT))).start()
try:
    with BlockingClient(make):
        print("opened")
except KeyboardInterrupt:
    interrupted.set()
    print("interrupted")
for thread in threading.enumerate():
    if thread.name == "enapter-client":
        thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("program", "output"), [(FORKED, "5\n"), (INTERRUPTED, "interrupted\n")])
def test_forks_with_an_open_iteration_and_ctrl_c_while_opening(
    simulator: SimulatorControl, program: str, output: str
) -> None:
    environment = {
        **os.environ,
        "ENAPTER_HTTP_API_TOKEN": simulator.token,
        "ENAPTER_HTTP_API_BASE_URL": simulator.url,
    }
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")
