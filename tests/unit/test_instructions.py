"""Counts of instructions: what is compared, what needs a reason, and what is too unsteady to say anything."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.instructions.__main__ import STORED, table
from benchmarks.instructions.baseline import MOST, Baseline, is_steady
from benchmarks.instructions.pieces import PIECES


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "instructions.json"
    Baseline(path, "3.11").update({"get": 1000, "slot": 200}, "first count")
    return path


def test_an_interpreter_has_counts_of_its_own(path: Path) -> None:
    assert Baseline(path, "3.12").is_empty
    Baseline(path, "3.12").update({"get": 700}, "first count")
    assert [c.before for c in Baseline(path, "3.11").compare({"get": 1, "slot": 1})] == [1000, 200]
    assert [c.before for c in Baseline(path, "3.12").compare({"get": 1, "slot": 1})] == [700, None]


@pytest.mark.parametrize(("now", "needed"), [(900, False), (1000, False), (1050, False), (1051, True)])
def test_more_than_five_percent_needs_a_reason(path: Path, now: float, needed: bool) -> None:
    baseline = Baseline(path, "3.11")
    (comparison,) = baseline.compare({"get": now})
    assert comparison.needs_reason is needed
    assert ("needs a reason" in table([comparison])) is needed
    if needed:
        with pytest.raises(ValueError, match="get rises"):
            baseline.update({"get": now}, "")
    baseline.update({"get": now}, "deadlines are checked twice")
    assert not Baseline(path, "3.11").compare({"get": now})[0].needs_reason


def test_the_reason_is_kept_beside_the_count_and_what_did_not_change_gets_no_line(path: Path) -> None:
    Baseline(path, "3.11").update({"get": 1200, "slot": 200.4}, "deadlines are checked twice")
    counts = json.loads(path.read_text("utf-8"))["3.11"]["counts"]
    assert counts["get"] == [
        {"instructions": 1000, "why": "first count"},
        {"instructions": 1200, "why": "deadlines are checked twice"},
    ]
    assert len(counts["slot"]) == 1


def test_a_creep_of_small_rises_is_measured_against_what_was_stored(path: Path) -> None:
    baseline = Baseline(path, "3.11")
    assert not baseline.compare({"get": 1040})[0].needs_reason
    assert baseline.compare({"get": 1040 * 1.04})[0].needs_reason


@pytest.mark.parametrize(("counts", "steady"), [([1000, 1004], True), ([1004, 1000], True), ([1000, 1006], False)])
def test_counts_that_differ_by_more_than_half_a_percent_say_nothing(counts: list[float], steady: bool) -> None:
    assert is_steady(counts) is steady


def test_every_rise_in_the_stored_baseline_has_its_reason() -> None:
    for environment in json.loads(STORED.read_text("utf-8")).values():
        assert set(environment["counts"]) <= set(PIECES)
        for history in environment["counts"].values():
            for before, after in pairwise(history):
                assert after["instructions"] <= MOST * before["instructions"] or after["why"]
