"""Text from the server, made visible wherever people read it: errors, log lines, events."""

from __future__ import annotations

import logging
import pickle
import sys
import time
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime

import attrs
import pytest

from enapter_async import EnapterError, ErrorDetail, PollFailed, RateLimit, SharedRateLimit, ValueMissing, errors
from enapter_async._protocol.failure import api_error
from enapter_async._protocol.request import Answer, Headers
from enapter_async._transport.rate_limit.limiter import Limiter
from enapter_async._transport.rate_limit.shared_limiter import SharedLimiter, SourceUnavailableError
from enapter_async._visible import make_visible
from enapter_async.hooks import Event, SharedLimitLost
from enapter_async.models.manifest import Manifest

FORGED = "late\r\nERROR root: the plant is on fire \x1b[2J\x9b31m\x85\u2028\u2029\u202etxet\u2066\u200f\x00\x7f"
ACTING = {"Cc", "Cs", "Zl", "Zp"}
DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def assert_visible(text: str) -> None:
    """Check that a text is one line in which nothing acts."""
    assert [hex(ord(one)) for one in text if unicodedata.category(one) in ACTING or one in DIRECTIONS] == []
    assert "the plant is on fire" in text


def test_no_character_that_acts_is_left() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    shown = make_visible(everything)
    assert not {unicodedata.category(one) for one in shown} & ACTING
    assert not set(shown) & set(DIRECTIONS)
    shown.encode()  # no surrogate is left that no output could encode


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, with \\ and 'quotes'", "plain text, with \\ and 'quotes'"),
        ("Zähler Привет 電力 ½ µ €", "Zähler Привет 電力 ½ µ €"),
        ("می\u200cخواهم 👨\u200d👩\u200d👧", "می\u200cخواهم 👨\u200d👩\u200d👧"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x1b[31mred\x9b0m", "\\x1b[31mred\\x9b0m"),
        ("\u2028\u202e\ufeff", "\\u2028\\u202e\\ufeff"),
        ("\ud800", "\\ud800"),
        ("", ""),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert make_visible(text) == shown
    assert make_visible(shown) == shown


def test_line_feeds_may_stay() -> None:
    assert make_visible("a\nb\r\x1b", lines=True) == "a\nb\\r\\x1b"


CLASSES: list[Callable[[], EnapterError]] = [
    lambda: EnapterError(FORGED),
    lambda: errors.ConfigurationError(FORGED),
    lambda: errors.InvalidArgumentError("name", FORGED),
    lambda: errors.StreamError(FORGED, gap=True),
    lambda: errors.ExecutionPendingError(FORGED, execution_id="E"),
    lambda: errors.ConnectionLostError(FORGED, phase="body").located("devices.get", "GET", "v3/devices/D"),
    lambda: errors.NotFoundError(FORGED, status=404).located("devices.get", "GET", "v3/devices/D"),
    lambda: errors.SchemaError(FORGED, path=f"devices[{FORGED}]"),
    lambda: errors.TimeseriesFormatError(FORGED, row=1),
]


@pytest.mark.parametrize("make", CLASSES)
def test_every_error_is_one_visible_line(make: Callable[[], EnapterError]) -> None:
    for error in (make(), pickle.loads(pickle.dumps(make()))):
        assert_visible(str(error))
        assert_visible(f"{error}")
        assert_visible(repr(error))


@pytest.mark.parametrize("body", ['{"errors": [{"message": %s}]}', "%s"])
def test_what_the_server_says_in_an_error_is_visible(body: str) -> None:
    text = '"' + "".join(f"\\u{ord(one):04x}" for one in FORGED) + '"' if "%s}" in body else FORGED
    error = api_error(Answer(400, Headers(), (body % text).encode()), datetime.now(UTC))
    assert_visible(str(error) + error.message + error.body_excerpt + "the plant is on fire")
    shown = [error.message, error.body_excerpt, *(detail.message or "" for detail in error.errors)]
    assert "the plant is on fire" in "".join(shown)
    for one in shown:
        assert make_visible(one) == one


def test_a_detail_keeps_what_programs_compare() -> None:
    detail = ErrorDetail("a/B", FORGED, {"field": FORGED})
    assert detail.details == {"field": FORGED}
    assert attrs.evolve(detail).message == make_visible(FORGED)


def test_events_of_a_watch_are_visible() -> None:
    assert_visible(str(ValueMissing(device="d\x1b", attribute="a\n", warning=FORGED)))
    assert_visible(str(PollFailed(due=datetime.now(UTC), error=EnapterError(FORGED))))


def test_problems_of_a_manifest_are_visible_in_log_and_text(caplog: pytest.LogCaptureFixture) -> None:
    manifest = Manifest({"display_name": FORGED, "telemetry": {FORGED: 5}})
    with caplog.at_level(logging.WARNING):
        assert len(manifest.telemetry) <= 1
    assert_visible(str(manifest.problems[0]))
    assert_visible(caplog.records[0].getMessage())


@pytest.mark.anyio
async def test_what_redis_says_is_visible_in_log_and_event(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        async def ask(self) -> float:
            raise SourceUnavailableError(FORGED)

    heard: list[Event] = []
    terms = SharedRateLimit("redis://127.0.0.1:1", name="plant", requests_per_second=5)
    limiter = SharedLimiter(
        Limiter(RateLimit(), 1, clock=time.monotonic), Broken(), terms, hooks=(heard.append,), clock=time.monotonic
    )
    with caplog.at_level(logging.WARNING):
        limiter.release(await limiter.acquire())
    lost = [event for event in heard if isinstance(event, SharedLimitLost)]
    assert_visible(lost[0].reason)
    assert_visible(caplog.records[0].getMessage())
