"""Hooks: which events come, in which order, and that a hook's faults stay its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from unittest.mock import Mock

import pytest

from enapter_async import EnapterClient, NotFoundError, RateLimit, RetryPolicy, ServerError, TransportError
from enapter_async.hooks import AttemptFailed, AttemptHook, Event, RequestFinished, RequestStarted, RetryScheduled
from tests.recorder import Recorder, recording
from tests.secrecy import TOKEN, Watcher

pytestmark = pytest.mark.anyio

GOOD = b'{"site": {"id": "S"}}'


def client_of(recorder: Recorder, *hooks: object) -> EnapterClient:
    return EnapterClient(
        base_url=recorder.url,
        token=TOKEN,
        hooks=hooks,  # type: ignore[arg-type]
        retry=RetryPolicy(max_attempts=3, initial_delay=0),
        rate_limit=RateLimit(adaptive=False),
    )


async def test_a_success() -> None:
    watcher = Watcher()
    async with recording() as recorder, client_of(recorder, watcher) as client:
        recorder.answer = GOOD
        await client.sites.get("S")
    started, finished = watcher.events
    assert isinstance(started, RequestStarted)
    assert (started.operation, started.method, started.path) == ("sites.get", "GET", "v3/sites/S")
    assert isinstance(finished, RequestFinished)
    assert started.call == finished.call
    assert (finished.operation, finished.method, finished.path) == ("sites.get", "GET", "v3/sites/S")
    assert (finished.attempts, finished.status, finished.error) == (1, 200, None)
    assert 0 <= finished.waited <= finished.elapsed < 5


async def test_failures_on_the_way() -> None:
    watcher = Watcher()
    async with recording() as recorder, client_of(recorder, watcher) as client:
        recorder.answers_with((503, b""), (429, b""), (200, GOOD))
        await client.sites.get("S")
    assert watcher.names == [
        "RequestStarted",
        "AttemptFailed",
        "RetryScheduled",
        "AttemptFailed",
        "RetryScheduled",
        "RequestFinished",
    ]
    _, failed, retried, limited, _, finished = watcher.events
    assert isinstance(failed, AttemptFailed)
    assert (failed.attempt, failed.status, type(failed.error)) == (1, 503, ServerError)
    assert isinstance(retried, RetryScheduled)
    assert (retried.attempt, retried.delay, retried.error) == (1, 0, failed.error)
    assert retried.budget == 99
    assert isinstance(limited, AttemptFailed)
    assert (limited.attempt, limited.status) == (2, 429)
    assert isinstance(finished, RequestFinished)
    assert (finished.attempts, finished.status, finished.error) == (3, 200, None)


async def test_a_failure_in_the_end() -> None:
    watcher = Watcher()
    async with recording() as recorder, client_of(recorder, watcher) as client:
        recorder.answers_with((404, b""))
        with pytest.raises(NotFoundError) as caught:
            await client.sites.get("S")
    assert watcher.names == ["RequestStarted", "AttemptFailed", "RequestFinished"]
    finished = watcher.events[-1]
    assert isinstance(finished, RequestFinished)
    assert finished.error is caught.value
    assert finished.status == 404


async def test_the_query_is_not_told() -> None:
    watcher = Watcher()
    async with recording() as recorder, client_of(recorder, watcher) as client:
        recorder.answer = b'{"sites": [], "total_count": 0}'
        await client.sites.list(name="secret plans").collect()
    assert not any("secret" in repr(event) for event in watcher.events)


async def test_a_hook_that_raises_is_logged_and_otherwise_ignored(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Event) -> None:
        raise KeyError("my own fault")

    watcher = Watcher()
    async with recording() as recorder, client_of(recorder, broken, watcher) as client:
        recorder.answer = GOOD
        with caplog.at_level(logging.ERROR):
            assert (await client.sites.get("S")).id == "S"
    assert watcher.names == ["RequestStarted", "RequestFinished"]
    assert [record.getMessage() for record in caplog.records if record.name == "enapter_async.hooks"] == [
        "a hook raised on RequestStarted",
        "a hook raised on RequestFinished",
    ]


async def test_copies_and_raw_calls_report_to_the_same_hooks() -> None:
    watcher = Watcher()
    async with recording() as recorder, client_of(recorder, watcher) as client:
        recorder.answer = GOOD
        await client.with_options(timeout=5).sites.get("S")
        await client.raw.sites.get("S")
    assert watcher.names == ["RequestStarted", "RequestFinished"] * 2


class Wrapping(Watcher, AttemptHook):
    """Notes events, and when an attempt begins and ends."""

    def __init__(self, steps: list[str]) -> None:
        super().__init__()
        self.steps = steps

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        self.steps.append(type(event).__name__)

    @contextmanager
    def around_attempt(self, call: int) -> Generator[None]:
        assert call > 0
        self.steps.append("enter")
        try:
            yield
        except BaseException as error:
            self.steps.append(f"leave with {type(error).__name__}")
            raise
        else:
            self.steps.append("leave")


async def test_each_attempt_is_wrapped_and_the_waits_between_are_not() -> None:
    steps: list[str] = []
    async with recording() as recorder, client_of(recorder, Wrapping(steps)) as client:
        recorder.answers_with((503, b""), (200, GOOD))
        await client.sites.get("S")
    assert steps == [
        "RequestStarted",
        *("enter", "leave"),
        *("AttemptFailed", "RetryScheduled"),
        *("enter", "leave"),
        "RequestFinished",
    ]


async def test_a_cancelled_attempt_is_left_before_the_call_ends() -> None:
    steps: list[str] = []
    async with recording() as recorder, client_of(recorder, Wrapping(steps)) as client:
        recorder.answers_with((503, b""), (200, GOOD))
        call = asyncio.create_task(client.sites.get("S"))
        while "enter" not in steps:
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert steps == ["RequestStarted", "enter", "leave with CancelledError", "RequestFinished"]


class BrokenAround(Watcher, AttemptHook):
    """Raises before an attempt, after it, or where it is asked; or suppresses what comes."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def around_attempt(self, call: int) -> AbstractContextManager[object]:
        if self.where == "asked":
            raise KeyError("my own fault")
        return self._around()

    @contextmanager
    def _around(self) -> Generator[None]:
        if self.where == "before":
            raise KeyError("my own fault")
        try:
            yield
        except Exception:
            if self.where != "suppresses":
                raise
        if self.where == "after":
            raise KeyError("my own fault")


@pytest.mark.parametrize(
    ("where", "logged"),
    [
        ("asked", "a hook raised before an attempt"),
        ("before", "a hook raised before an attempt"),
        ("after", "a hook raised after an attempt"),
    ],
)
async def test_what_wraps_an_attempt_may_raise(where: str, logged: str, caplog: pytest.LogCaptureFixture) -> None:
    steps: list[str] = []
    hooks = (BrokenAround(where), Wrapping(steps), Mock())
    async with recording() as recorder, client_of(recorder, *hooks) as client:
        recorder.answer = GOOD
        with caplog.at_level(logging.ERROR):
            assert (await client.sites.get("S")).id == "S"
    assert steps == ["RequestStarted", "enter", "leave", "RequestFinished"]
    assert [record.getMessage() for record in caplog.records if record.name == "enapter_async.hooks"] == [logged]


async def test_what_wraps_an_attempt_cannot_suppress_its_error() -> None:
    async with recording() as recorder:
        pass  # nobody listens at its address any more
    async with client_of(recorder, BrokenAround("suppresses")) as client:
        with pytest.raises(TransportError):
            await client.sites.get("S")
