"""A simulator in a separate process, so that it does not slow down our event loop."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import anyio
import anyio.abc
import attrs
from anyio.streams.text import TextReceiveStream

from enapter_async.cli.exits import Exit, Failure

_READY: Final = re.compile(r"^listening on (\S+) token=(\S+).*\ncontrol at (\S+)\n", re.MULTILINE)
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 3.0


@attrs.frozen
class Address:
    """Addresses of a running simulator.

    Attributes:
        url: Base URL.
        token: API token.
        page: Address of its control page, with the control token.
    """

    url: str
    token: str = attrs.field(repr=False)
    page: str = attrs.field(repr=False)

    def __str__(self) -> str:
        return f"simulator: {self.url}\ncontrol page: {self.page}"


@asynccontextmanager
async def simulator_process(options: dict[str, str]) -> AsyncGenerator[Address, None]:
    """Run `enapter-async simulate` during a block.

    The process ends with ours even if ours is killed: its standard input is a pipe from our process, and it stops when
    that closes. It runs in a separate session, so that Ctrl-C in the terminal does not stop it before us.

    Args:
        options: Options of `simulate` and their values.

    Raises:
        Failure: The simulator did not start.
    """
    arguments = [text for option in options.items() for text in option]
    command = [sys.executable, "-m", "enapter_async.cli", "simulate", "--port", "0", "--until-stdin-closes", *arguments]
    process = await anyio.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None, start_new_session=True
    )
    try:
        yield await _ready(process)
    finally:
        with anyio.CancelScope(shield=True):
            await _stop(process)


async def _ready(process: anyio.abc.Process) -> Address:
    assert process.stdout is not None  # noqa: S101 - narrows for the type checkers
    text = ""
    with anyio.move_on_after(_START_SECONDS):
        async for piece in TextReceiveStream(process.stdout):
            text += piece
            if match := _READY.search(text):
                return Address(*match.groups())
    raise Failure("the simulator did not start", Exit.UNAVAILABLE)


async def _stop(process: anyio.abc.Process) -> None:
    if process.stdin is not None:
        await process.stdin.aclose()
    with anyio.move_on_after(_STOP_SECONDS):
        await process.wait()
    if process.returncode is None:
        process.kill()
    await process.aclose()
