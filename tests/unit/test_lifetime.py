"""Where a client refuses to run: another loop, a forked process, something else than asyncio."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import sys
from collections.abc import Callable

import pytest

from enapter_async import ConfigurationError, EnapterClient, WrongEventLoopError
from enapter_async._transport.lifetime import Lifetime

REFUSED, USED, OTHER = 3, 4, 5


def test_is_bound_to_the_loop_of_its_first_use() -> None:
    lifetime = Lifetime()

    async def enter() -> None:
        lifetime.enter()
        lifetime.enter()

    asyncio.run(enter())
    with pytest.raises(WrongEventLoopError, match="one client per loop"):
        asyncio.run(enter())


def test_a_client_may_be_made_before_any_loop_runs() -> None:
    client = EnapterClient(token="secret")

    async def use() -> None:
        async with client:
            pass

    asyncio.run(use())


@pytest.mark.parametrize("send", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_client_is_not_sent_to_other_processes(send: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="in each process"):
        send(EnapterClient(token="secret"))


def test_without_asyncio_it_says_so_and_sends_nothing() -> None:
    """What trio does: it runs our coroutine, and no asyncio loop is there."""
    client = EnapterClient(token="secret")
    with pytest.raises(ConfigurationError, match="asyncio") as caught:
        client.sites.get("s").send(None)
    assert "trio" in str(caught.value)
    assert caught.value.__context__ is None


def test_under_trio_itself() -> None:
    trio = pytest.importorskip("trio")

    async def use() -> None:
        async with EnapterClient(token="secret"):
            raise AssertionError("entered under trio")

    with pytest.raises(ConfigurationError, match="trio"):
        trio.run(use)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("used_before", [True, False], ids=["used before", "not used before"])
@pytest.mark.parametrize("action", ["enter", "close"])
def test_after_fork_only_an_unused_client_works(used_before: bool, action: str) -> None:
    """Even on the parent's own loop, where nothing else would tell: two processes would write to one socket."""
    lifetime = Lifetime()

    async def enter() -> None:
        lifetime.enter()

    async def close() -> None:
        await lifetime.close()

    loop = asyncio.new_event_loop()
    try:
        if used_before:
            loop.run_until_complete(enter())
        child = os.fork()
        if child == 0:
            status = OTHER
            try:
                loop.run_until_complete(enter() if action == "enter" else close())
                status = USED
            except WrongEventLoopError as error:
                status = REFUSED if "forked" in str(error) else OTHER
            finally:
                os._exit(status)  # nothing of pytest may run twice
        _, code = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(code) == (REFUSED if used_before else USED)
        loop.run_until_complete(enter())  # the parent goes on
    finally:
        loop.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no fork here")
def test_forks_are_noticed_without_keeping_clients_alive() -> None:
    from enapter_async._transport import lifetime as module

    async def enter() -> None:
        Lifetime().enter()

    before = len(module._bound)
    asyncio.run(enter())
    assert len(module._bound) == before
