"""Ticks stay on their grid, whatever delays there are."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async._streaming.schedule import Schedule

NOON = 1_773_489_600.0


def schedule(interval: float = 1.0, now: float = NOON, seed: int = 0) -> Schedule:
    return Schedule(interval, now, random.Random(seed))


@pytest.mark.parametrize("interval", [1.0, 2.0, 10.0, 60.0])
@pytest.mark.parametrize("seed", range(20))
def test_the_first_tick_comes_within_a_second_and_near_the_middle_of_one(interval: float, seed: int) -> None:
    now = NOON + seed / 20
    due = schedule(interval, now, seed).due
    assert now <= due <= now + 1.0
    assert 0.4 <= due % 1.0 <= 0.6


@pytest.mark.parametrize("seed", range(20))
def test_an_interval_below_a_second_has_its_own_middle(seed: int) -> None:
    due = schedule(0.25, NOON, seed).due
    assert 0.1 <= due % 0.25 <= 0.15


def test_nothing_is_due_before_its_time() -> None:
    ticks = schedule()
    assert ticks.take(ticks.due - 0.001) is None


def test_late_wake_ups_do_not_add_up() -> None:
    ticks = schedule()
    first = ticks.due
    chance = random.Random(1)
    for number in range(100_000):
        due = ticks.due
        assert due == pytest.approx(first + number, abs=1e-6)
        taken = ticks.take(due + chance.uniform(0, 0.9))
        assert taken is not None
        assert taken[1] == 0


def test_what_was_missed_is_counted_and_not_made_up_for() -> None:
    ticks = schedule()
    first = ticks.due
    assert ticks.take(first) == (first, 0)
    assert ticks.take(first + 4.3) == (first + 4, 3)
    assert ticks.take(first + 4.4) is None
    assert ticks.due == first + 5


def test_a_clock_that_was_set_back_does_not_stop_polling() -> None:
    ticks = schedule()
    first = ticks.due
    ticks.take(first)
    assert ticks.take(first - 3600) is None
    assert ticks.due == pytest.approx(first - 3600)
    assert ticks.take(first - 3600) is not None


def test_a_clock_that_was_set_back_a_little_makes_no_tick_twice() -> None:
    ticks = schedule()
    first = ticks.due
    ticks.take(first)
    assert ticks.take(first - 0.2) is None
    assert ticks.due == first + 1


@given(
    interval=st.floats(0.1, 3600),
    steps=st.lists(st.floats(0, 10_000), max_size=50),
)
def test_ticks_taken_and_passed_are_all_there_were(interval: float, steps: list[float]) -> None:
    ticks = schedule(interval)
    first, now, counted = ticks.due, NOON, 0
    for step in steps:
        now += step
        if taken := ticks.take(now):
            due, passed = taken
            counted += passed + 1
            assert due <= now < due + interval + 1e-6
    assert ticks.due == pytest.approx(first + counted * interval)
    assert ticks.due > now - 1e-6
