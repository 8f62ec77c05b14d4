"""What a call that changes something is given is checked before anything is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from enapter_async import EnapterClient, InvalidArgumentError, Safety
from tests.faults.clients import GOOD, impatient
from tests.faults.raw_server import RawServer, response, sending

pytestmark = pytest.mark.anyio

WRONG: dict[str, Callable[[EnapterClient], Awaitable[Any]]] = {
    "run: on_progress": lambda client: client.commands.run("D", "stop", on_progress=5),  # type: ignore[arg-type]
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
