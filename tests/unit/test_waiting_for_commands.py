"""Waiting for a command: how often it is looked at, what is outlived, and that its ID is never lost."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from enapter_async import (
    ClientClosedError,
    ConnectionLostError,
    EnapterClient,
    ExecutionPendingError,
    InvalidBodyError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimit,
    RetryPolicy,
    SchemaError,
    TokenProviderError,
)
from enapter_async._protocol.request import Answer, Headers, Request
from enapter_async.models.commands import CommandExecution, ExecutionState
from tests.clocks import SocketlessLoop, now

pytestmark = [pytest.mark.anyio, pytest.mark.loop(factory=SocketlessLoop)]


class Platform:
    """Stands where the transport stands: an execution whose state depends on the time since its start."""

    def __init__(self, state_at: Callable[[float], str | None] = lambda _: "SUCCESS") -> None:
        self.state_at = state_at
        self.began = now()
        self.looks: list[float] = []
        self.starts = 0
        self.instead: Callable[[int], Answer | None] = lambda _: None
        self.start_answer: Callable[[], Answer] = lambda: answer(200, {"execution_id": "E"})

    async def send(
        self, request: Request, headers: Any, *, deadline: float, connect_timeout: float, limit: int
    ) -> Answer:
        if request.operation.name == "commands.start":
            self.starts += 1
            return self.start_answer()
        assert request.path.endswith("/command_executions/E")
        elapsed = now() - self.began
        self.looks.append(elapsed)
        other = self.instead(len(self.looks))
        if other is not None:
            return other
        state = self.state_at(elapsed)
        return answer(200, {"execution": {"id": "E", "device_id": "D", **({} if state is None else {"state": state})}})

    async def close(self) -> None:
        pass


def answer(status: int, body: Any, *headers: tuple[bytes, bytes]) -> Answer:
    return Answer(status, Headers(headers), body if isinstance(body, bytes) else json.dumps(body).encode())


def client_of(platform: Platform) -> EnapterClient:
    # The pace after a 429 goes by the real clock, which stands still here.
    client = EnapterClient(token="t", retry=RetryPolicy.none(), rate_limit=RateLimit(adaptive=False))
    client._session.state.transport = platform  # type: ignore[assignment]
    return client


def after(seconds: float, state: str = "SUCCESS") -> Callable[[float], str]:
    return lambda elapsed: "NEW" if elapsed < seconds / 2 else "IN_PROGRESS" if elapsed < seconds else state


async def test_it_looks_at_once_and_then_at_growing_intervals() -> None:
    platform = Platform(after(40))
    execution = await client_of(platform).commands.wait("D", "E")
    assert execution.state is ExecutionState.SUCCESS
    intervals = [round(b - a, 6) for a, b in zip(platform.looks, platform.looks[1:], strict=False)]
    assert platform.looks[0] == 0
    assert intervals[:6] == [0.5, 0.75, 1.125, 1.6875, 2.53125, 3.796875]
    assert set(intervals[6:]) == {5.0}


@pytest.mark.parametrize("state", ["SUCCESS", "ERROR", "TIMEOUT", "UNSYNC", "UNDEFINED", "success"])
async def test_every_state_but_new_and_in_progress_ends_it(state: str) -> None:
    platform = Platform(after(3, state))
    execution = await client_of(platform).commands.wait("D", "E")
    assert execution.state is not None
    assert execution.state.upper() == state.upper()


async def test_a_missing_state_ends_nothing() -> None:
    platform = Platform(lambda elapsed: None if elapsed < 2 else "ERROR")
    assert (await client_of(platform).commands.wait("D", "E")).state is ExecutionState.ERROR


async def test_running_out_of_time_says_which_execution_and_its_last_state() -> None:
    platform = Platform(after(1000))
    with pytest.raises(ExecutionPendingError, match=r"E has not ended within 8 s.*NEW") as caught:
        await client_of(platform).commands.wait("D", "E", timeout=8)
    assert (caught.value.execution_id, caught.value.state) == ("E", "NEW")
    assert isinstance(caught.value, TimeoutError)
    assert now() - platform.began <= 8
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.execution_id == "E"


@pytest.mark.parametrize("timeout", [0.05, 0.3, 1, 3, 7.5, 60])
async def test_the_last_look_is_late(timeout: float) -> None:
    platform = Platform(after(1000))
    with pytest.raises(ExecutionPendingError):
        await client_of(platform).commands.wait("D", "E", timeout=timeout)
    assert platform.looks[-1] >= min(timeout / 2, timeout - 0.5)
    assert platform.looks == sorted(set(platform.looks))
    platform = Platform(after(min(timeout / 2, timeout - 0.5) - 0.001))
    assert (await client_of(platform).commands.wait("D", "E", timeout=timeout)).is_final


async def test_by_default_it_waits_as_long_as_execute_does() -> None:
    platform = Platform(after(1000))
    with pytest.raises(ExecutionPendingError):
        await client_of(platform).commands.wait("D", "E")
    assert 175 < platform.looks[-1] < 180


def _lost(_: int) -> Answer | None:
    raise ConnectionLostError("gone", phase="wait")


PASSING: dict[str, Callable[[int], Answer | None]] = {
    "a lost connection": _lost,
    **{str(status): (lambda _, s=status: answer(s, {})) for status in (429, 500, 502, 503, 504)},
}


@pytest.mark.parametrize("failure", PASSING)
async def test_what_may_pass_is_outlived(failure: str) -> None:
    platform = Platform(after(10))
    platform.instead = lambda look: PASSING[failure](look) if look in (1, 2, 3, 6) else None
    assert (await client_of(platform).commands.wait("D", "E")).is_final


@pytest.mark.parametrize("failure", PASSING)
async def test_what_does_not_pass_in_time_is_the_cause(failure: str) -> None:
    platform = Platform(after(1000))
    platform.instead = lambda look: PASSING[failure](look) if look > 3 else None
    with pytest.raises(ExecutionPendingError) as caught:
        await client_of(platform).commands.wait("D", "E", timeout=20)
    assert caught.value.state == "NEW"
    assert caught.value.__cause__ is not None
    assert now() - platform.began <= 20


async def test_retry_after_is_waited_for() -> None:
    platform = Platform()
    platform.instead = lambda look: answer(503, {}, (b"Retry-After", b"7")) if look == 1 else None
    await client_of(platform).commands.wait("D", "E")
    assert platform.looks == [0, 7]


FINAL: list[tuple[Answer, type[Exception]]] = [
    (answer(403, {}), PermissionDeniedError),
    (answer(404, {}), NotFoundError),
    (answer(200, {}), SchemaError),
    (answer(200, b"<html>"), InvalidBodyError),
]


@pytest.mark.parametrize(("final", "error"), FINAL)
async def test_what_is_final_ends_a_wait_at_once(final: Answer, error: type[Exception]) -> None:
    platform = Platform(after(10))
    platform.instead = lambda look: final if look == 2 else None
    with pytest.raises(error):
        await client_of(platform).commands.wait("D", "E")
    assert len(platform.looks) == 2


@pytest.mark.parametrize(("final", "error"), FINAL)
async def test_run_never_loses_the_execution(final: Answer, error: type[Exception]) -> None:
    platform = Platform(after(10))
    platform.instead = lambda look: final if look == 2 else None
    with pytest.raises(ExecutionPendingError, match="was started, but polling it failed") as caught:
        await client_of(platform).commands.run("D", "stop")
    assert (caught.value.execution_id, caught.value.state) == ("E", "NEW")
    assert isinstance(caught.value.__cause__, error)
    assert platform.starts == 1


async def test_run_keeps_the_execution_when_the_token_provider_fails_later() -> None:
    platform = Platform(after(10))

    def fail(look: int) -> Answer | None:
        raise TokenProviderError("the token provider failed: OSError")

    platform.instead = fail
    with pytest.raises(ExecutionPendingError, match="has not ended within") as caught:
        await client_of(platform).commands.run("D", "stop", timeout=6)
    assert caught.value.execution_id == "E"
    assert isinstance(caught.value.__cause__, TokenProviderError)


async def test_run_shares_one_time_between_start_and_wait() -> None:
    platform = Platform(after(1000))
    with pytest.raises(ExecutionPendingError) as caught:
        await client_of(platform).commands.run("D", "stop", timeout=6)
    assert caught.value.execution_id == "E"
    assert now() - platform.began <= 6


async def test_a_start_that_gives_the_whole_execution_will_do() -> None:
    platform = Platform(after(1))
    platform.start_answer = lambda: answer(201, {"execution": {"id": "E", "state": "NEW"}})
    assert (await client_of(platform).commands.run("D", "stop")).id == "E"


async def test_a_start_without_an_id_is_a_schema_error() -> None:
    platform = Platform()
    for body in ({}, {"execution_id": None}, {"execution": {"state": "NEW"}}, {"execution_id": 5}):
        platform.start_answer = lambda body=body: answer(200, body)
        with pytest.raises(SchemaError, match="execution_id"):
            await client_of(platform).commands.start("D", "stop")


async def test_a_start_whose_answer_is_lost_is_not_repeated_and_not_waited_for() -> None:
    platform = Platform()
    platform.start_answer = lambda: _lost(1)  # type: ignore[assignment,return-value]
    with pytest.raises(OutcomeUnknownError) as caught:
        await client_of(platform).commands.run("D", "stop")
    assert caught.value.started_at.tzinfo is not None
    assert (platform.starts, platform.looks) == (1, [])


async def test_progress_comes_once_for_each_change() -> None:
    platform = Platform(after(20))
    seen: list[CommandExecution] = []
    execution = await client_of(platform).commands.run("D", "stop", on_progress=seen.append)
    assert [one.state for one in seen] == [
        None,
        ExecutionState.NEW,
        ExecutionState.IN_PROGRESS,
        ExecutionState.SUCCESS,
    ]
    assert {one.id for one in seen} == {"E"}
    assert seen[-1] == execution


async def test_what_the_caller_of_progress_raises_ends_the_wait() -> None:
    def enough(_: CommandExecution) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError):
        await client_of(Platform(after(20))).commands.wait("D", "E", on_progress=enough)


@pytest.mark.parametrize("state", [None, ExecutionState.IN_PROGRESS])
async def test_what_progress_raises_in_a_run_names_the_execution(state: ExecutionState | None) -> None:
    def enough(execution: CommandExecution) -> None:
        if execution.state is state:
            raise KeyError("enough")

    with pytest.raises(KeyError) as caught:
        await client_of(Platform(after(20))).commands.run("D", "stop", on_progress=enough)
    assert caught.value.__notes__ == ["command execution E of device D was started and continues"]


async def interrupted(call: Awaitable[object], interrupt: Callable[[asyncio.Task[object]], object]) -> object:
    task = asyncio.ensure_future(call)
    await asyncio.sleep(3)
    outcome = interrupt(task)
    if asyncio.iscoroutine(outcome):
        await outcome
    return await task  # type: ignore[misc]


async def test_a_cancelled_run_says_which_execution_goes_on() -> None:
    client = client_of(Platform(after(20)))
    with pytest.raises(asyncio.CancelledError) as caught:
        await interrupted(client.commands.run("D", "stop"), lambda task: task.cancel())
    assert caught.value.__notes__ == ["command execution E of device D was started and continues"]


async def test_closing_the_client_ends_a_wait_and_a_run() -> None:
    client = client_of(Platform(after(20)))
    with pytest.raises(ClientClosedError):
        await interrupted(client.commands.wait("D", "E"), lambda _: client.aclose())
    client = client_of(Platform(after(20)))
    with pytest.raises(ExecutionPendingError) as caught:
        await interrupted(client.commands.run("D", "stop"), lambda _: client.aclose())
    assert caught.value.execution_id == "E"
    assert isinstance(caught.value.__cause__, ClientClosedError)
