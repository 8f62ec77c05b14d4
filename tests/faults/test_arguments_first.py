"""What a call that changes something is given is checked before anything is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from enapter_async import ConfigurationError, EnapterClient, InvalidArgumentError, Safety
from tests.faults.clients import GOOD, impatient
from tests.faults.raw_server import RawServer, response, sending

pytestmark = pytest.mark.anyio


async def on_progress_async(_: object) -> None:
    """Nothing would await this."""


class AsyncCallback:
    async def __call__(self, _: object) -> None:
        """Nothing would await this either."""


WRONG: dict[str, Callable[[EnapterClient], Awaitable[Any]]] = {
    "run: on_progress": lambda client: client.commands.run("D", "stop", on_progress=5),  # type: ignore[arg-type]
    "run: async on_progress": lambda client: client.commands.run("D", "stop", on_progress=on_progress_async),
    "run: partial of async on_progress": lambda client: client.commands.run(
        "D", "stop", on_progress=partial(on_progress_async)
    ),
    "run: async on_progress object": lambda client: client.commands.run("D", "stop", on_progress=AsyncCallback()),
    "run: on_progress without an argument": lambda client: client.commands.run(
        "D",
        "stop",
        on_progress=lambda: None,  # type: ignore[arg-type,misc]
    ),
    "run: expand": lambda client: client.commands.run("D", "stop", expand={"nothing"}),  # type: ignore[arg-type]
    "run: timeout": lambda client: client.commands.run("D", "stop", timeout=-1),
    "run: site_id": lambda client: client.commands.run("D", "stop", site_id=5),  # type: ignore[arg-type]
    "start: arguments": lambda client: client.commands.start("D", "stop", {"x": object()}),  # type: ignore[dict-item]
    "execute: expand": lambda client: client.commands.execute("D", "stop", expand={"nothing"}),  # type: ignore[arg-type]
    "execute: timeout": lambda client: client.commands.execute("D", "stop", timeout="soon"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
async def test_nothing_is_sent_with_a_wrong_argument(call: Callable[[EnapterClient], Awaitable[Any]]) -> None:
    async with RawServer(sending(response(GOOD[Safety.UNSAFE]), then="keep")).running() as server:
        async with impatient(server) as client:
            with pytest.raises(InvalidArgumentError):
                await call(client)
        assert server.connections == 0


async def test_a_hook_that_nobody_would_await_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^hooks must be an iterable of synchronous callables"):
        EnapterClient(token="t", hooks=[on_progress_async])
