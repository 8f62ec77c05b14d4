"""Run a simulator until a signal stops it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
from collections.abc import Collection

from .operations import Mode
from .simulator import Simulator
from .texts import require_text
from .tls import StrPath


def run(
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    devices: int = 20,
    mode: Mode = "any",
    seed: int = 1,
    token: str | None = None,
    rate_limit: float | None = None,
    latency_ms: float = 0.0,
    fault_rate: float = 0.0,
    tls: bool = False,
    cert: StrPath | None = None,
    key: StrPath | None = None,
    allow_http: bool = False,
    control: bool = True,
    control_token: str | None = None,
    control_hosts: Collection[str] = (),
) -> None:
    """Run a simulator until SIGINT or SIGTERM.

    Once ready, it prints one line with its address and token, and with the file of the authority that clients
    have to trust if it made a certificate. A second line has the address of the control page.

    Args:
        host: Address to listen on.
        port: Port to listen on, or 0 for a free one.
        devices: Number of devices to build.
        mode: any, cloud or gateway.
        seed: The same seed gives the same world.
        token: The API token, by default made from the seed.
        rate_limit: Requests per second, or None for no limit.
        latency_ms: Milliseconds before every response.
        fault_rate: Share of requests that fail, from 0 to 1.
        tls: Serve https with a certificate made for the run.
        cert: Serve https with the certificate in this PEM file.
        key: PEM file with its key, if that is a separate file.
        allow_http: Do not redirect plain http to https in the modes cloud and gateway.
        control: Serve the control API and its page under `/_simulator`.
        control_token: The control token, by default a random one.
        control_hosts: Names under which the control API may be used, in addition to `localhost` and IP addresses.

    Raises:
        OSError: The address cannot be used, or a file of the certificate cannot be read.
        ValueError: An argument is invalid.
        ImportError: `tls` needs the extra `tls`.
    """
    for name, path in (("cert", cert), ("key", key)):
        if path is not None:
            require_text(name, path)
    if key is not None and cert is None:
        raise ValueError("a key needs its certificate")
    if cert is not None and tls:
        raise ValueError("give either tls, which creates a certificate, or your own certificate")
    simulator = Simulator(
        host=host,
        port=port,
        devices=devices,
        mode=mode,
        seed=seed,
        token=token,
        rate_limit=rate_limit,
        latency=latency_ms / 1000,
        fault_rate=fault_rate,
        record_limit=1_000,
        tls=tls if cert is None else cert if key is None else (cert, key),
        allow_http=allow_http,
        control=control,
        control_token=control_token,
        control_hosts=control_hosts,
    )
    asyncio.run(_run(simulator, host, port))


async def _run(simulator: Simulator, host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C arrives as KeyboardInterrupt
            loop.add_signal_handler(number, stop.set)
    try:
        await simulator.start()
    except OSError as error:
        raise _explain(error, host, port) from error
    try:
        authority = "" if simulator.ca_file is None else f" ca={simulator.ca_file}"
        _announce(f"listening on {simulator.url} token={simulator.token}{authority}")
        if simulator.control_page is not None:
            _announce(f"control at {simulator.control_page}")
        await stop.wait()
    finally:
        await simulator.stop()


def _announce(line: str) -> None:
    """Print a line. A reader that took the first line and left does not end the simulator."""
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it exits


def _explain(error: OSError, host: str, port: int) -> OSError:
    """Return the error of a failed bind in words for the command line."""
    if error.errno == errno.EADDRINUSE:
        text = f"port {port} on {host} is in use; choose another with --port"
    elif error.errno == errno.EACCES:
        text = f"port {port} on {host} needs more privileges; choose one above 1023 with --port"
    else:
        # asyncio wraps the reason in its own sentence, name resolution does not.
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        text = f"cannot listen on {host}, port {port}: {reason}; choose another address with --host"
    explained = OSError(text)
    explained.errno = error.errno
    return explained
