"""Hooks: which events come, in which order, and that a hook's faults stay its own."""

from __future__ import annotations

import logging

import pytest

from enapter_async import EnapterClient, NotFoundError, RateLimit, RetryPolicy, ServerError
from enapter_async.hooks import AttemptFailed, Event, RequestFinished, RequestStarted, RetryScheduled
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
