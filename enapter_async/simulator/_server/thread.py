"""A simulator in a separate thread, for code without an event loop."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import contextmanager

from .control.client import SimulatorControl
from .simulator import Simulator


@contextmanager
def run_in_thread(simulator: Simulator) -> Generator[SimulatorControl, None, None]:
    """Run a simulator in a thread during a block, for synchronous tests and programs.

        with run_in_thread(Simulator(devices=5)) as control:
            os.environ["ENAPTER_HTTP_API_BASE_URL"] = control.url

    Args:
        simulator: The simulator. Inside the block, change it only through the control.

    Yields:
        The control of it.

    Raises:
        OSError: The address is taken, or no socket can be opened.
        ValueError: The simulator was made with `control=False`.
    """
    if simulator.control_page is None:
        raise ValueError("the simulator was made with control=False")
    ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    def run() -> None:
        try:
            with asyncio.Runner() as runner:
                runner.get_loop()  # if this fails, no coroutine is left unawaited
                runner.run(_run(simulator, ready))
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=run, name="enapter-simulator", daemon=True)
    thread.start()
    loop, stop = ready.result()
    try:
        yield SimulatorControl(simulator.control_page, ssl_context=_trusting())
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


async def _run(simulator: Simulator, ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    stop = asyncio.Event()
    await simulator.start()
    try:
        ready.set_result((asyncio.get_running_loop(), stop))
        await stop.wait()
    finally:
        await simulator.stop()


def _trusting() -> ssl.SSLContext:
    """Trust any certificate: this is our own server, in this process."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
