"""A short chaos run with the ordinary tests; `nox -s chaos` runs it for ten minutes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.chaos.book import Book, Told
from tests.chaos.run import run

pytestmark = pytest.mark.anyio


async def test_every_invariant_holds_through_faults_of_all_kinds() -> None:
    findings = await run(seconds=15, requests=None)
    assert findings.problems == [], str(findings)


def book_of(told: Told, *, may_repeat: bool = False) -> Book:
    book = Book()
    book.told[book.new(may_repeat=may_repeat)] = told
    return book


@pytest.mark.parametrize(
    ("told", "done", "complaint"),
    [
        (Told.DONE, 0, "never done"),
        (Told.DONE, 2, "done 2 times"),
        (Told.NOTHING, 2, "done 2 times"),
        (Told.NOT_DONE, 1, "its error says that it was not"),
    ],
)
def test_the_run_would_notice(told: Told, done: int, complaint: str) -> None:
    (found,) = book_of(told).violations({0: done}, {0: done}, [])
    assert complaint in found


@pytest.mark.parametrize(("told", "done"), [(Told.DONE, 1), (Told.NOTHING, 0), (Told.NOTHING, 1), (Told.NOT_DONE, 0)])
def test_what_may_be_is_not_complained_about(told: Told, done: int) -> None:
    assert book_of(told).violations({0: done}, {0: done}, []) == []


def test_only_an_outage_explains_a_lost_answer_to_what_never_came() -> None:
    from enapter_async import OutcomeUnknownError

    book = Book()
    book.failed(book.new(may_repeat=False), OutcomeUnknownError("?", started_at=datetime.now(UTC)), began=0.0)
    ended = book.unknown_between[1]
    assert book.violations({}, {0: 1}, []) == []
    assert book.violations({}, {}, [(ended, ended + 1)]) == []
    assert "never received" in book.violations({}, {}, [])[0]
