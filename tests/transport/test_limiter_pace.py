"""The arithmetic of the pace: spacing, what a 429 does to it, how it grows, when everybody stops."""

from __future__ import annotations

import math
from random import Random

import pytest

from enapter_async._transport.rate_limit.pace import FORGOTTEN_AFTER, LONGEST_PAUSE, START, Pace
from enapter_async._transport.rate_limit.spacing import Spacing

NOW = 1000.0


def make(
    requests_per_second: float | None = None, burst: int | None = None, *, adaptive: bool = True, seed: int = 1
) -> Pace:
    return Pace(requests_per_second, burst, adaptive=adaptive, random=Random(seed))


def send(pace: Pace, since: float, until: float, *, accepted: bool = True) -> int:
    """Send as fast as the pace allows, with instant answers; return how many went."""
    count, now = 0, max(since, pace.spacing.ready_at)
    while now < until:
        pace.reserve(now)
        pace.meter.accepted += accepted
        count += 1
        if pace.spacing.rate is None:
            break
        now = max(now, pace.spacing.ready_at)
    return count


def accept(pace: Pace, count: int, now: float = NOW) -> None:
    for _ in range(count):
        pace.reserve(now)
    pace.meter.accepted += count


def rate_of(pace: Pace) -> float:
    assert pace.spacing.rate is not None
    return pace.spacing.rate


# -- spacing -----------------------------------------------------------------------------------------------------


def times_of(spacing: Spacing, count: int, start: float = NOW) -> list[float]:
    times, now = [], start
    for _ in range(count):
        now = max(now, spacing.ready_at)
        spacing.reserve(now)
        times.append(round(now - NOW, 4))
    return times


def spaced(rate: float, tolerance: float = 0.0) -> Spacing:
    spacing = Spacing()
    spacing.set_rate(rate, tolerance)
    return spacing


def test_without_a_rate_nothing_is_held_back() -> None:
    spacing = Spacing()
    assert times_of(spacing, 3) == [0, 0, 0]


def test_requests_go_an_interval_apart() -> None:
    assert times_of(spaced(10), 4) == [0, 0.1, 0.2, 0.3]


def test_a_tolerance_lets_some_go_at_once() -> None:
    assert times_of(spaced(10, 0.2), 5) == [0, 0, 0, 0.1, 0.2]


def test_a_pause_of_the_caller_saves_up_no_more_than_the_tolerance() -> None:
    spacing = spaced(10, 0.2)
    times_of(spacing, 10)
    assert times_of(spacing, 4, start=NOW + 100) == [100, 100, 100, 100.1]


def test_a_late_caller_does_not_lose_its_place() -> None:
    spacing = spaced(10, 0.05)
    spacing.reserve(NOW)
    spacing.reserve(NOW + 0.13)  # could have gone at 0.05
    assert spacing.ready_at == pytest.approx(NOW + 0.18, abs=1e-4)


def test_what_is_given_back_can_be_taken_again_at_once() -> None:
    spacing = spaced(10)
    spacing.reserve(NOW)
    spacing.give_back(NOW)
    assert spacing.ready_at <= NOW


def test_what_is_given_back_late_does_not_add_to_a_full_burst() -> None:
    spacing = spaced(10, 0.1)
    spacing.reserve(NOW)
    assert times_of(spacing, 2, start=NOW + 60) == [60, 60]
    spacing.give_back(NOW)
    assert times_of(spacing, 1, start=NOW + 60) == [60.1]


def test_after_a_hold_one_goes_and_the_others_follow_at_the_pace() -> None:
    spacing = spaced(10, 0.5)
    spacing.hold(NOW + 3)
    assert times_of(spacing, 3) == [3, 3.1, 3.2]


def test_a_shorter_hold_does_not_end_a_longer_one() -> None:
    spacing = spaced(10)
    spacing.hold(NOW + 3)
    spacing.hold(NOW + 1)
    assert spacing.ready_at == NOW + 3


def test_a_new_rate_keeps_what_was_saved_up_and_no_more() -> None:
    spacing = spaced(10, 0.2)
    times_of(spacing, 3)
    spacing.set_rate(10, 5.0)
    assert times_of(spacing, 2) == [0.1, 0.2]


# -- searching -----------------------------------------------------------------------------------------------------


def test_there_is_no_pace_until_the_first_429() -> None:
    pace = make()
    accept(pace, 50)
    assert pace.spacing.rate is None
    pace.rejected(NOW, NOW - 0.01, None)
    assert rate_of(pace) == 50


def test_the_search_starts_from_the_last_second_only() -> None:
    pace = make()
    for number in range(100):
        accept(pace, 10, NOW + number * 0.1)
    pace.rejected(NOW + 10, NOW + 9.9, None)
    assert 90 <= rate_of(pace) <= 110


def test_the_search_doubles_the_pace_until_the_next_429() -> None:
    pace = make()
    accept(pace, 20)
    pace.rejected(NOW, NOW - 0.001, None)
    rates = []
    for step in range(4):
        send(pace, NOW + step * 0.1, NOW + (step + 1) * 0.1)
        rates.append(rate_of(pace))
    assert rates[-1] / rates[0] == pytest.approx(8, rel=0.5)


def test_two_empty_moments_measure_the_rate() -> None:
    pace = make()
    accept(pace, 20)
    pace.rejected(NOW, NOW - 0.001, None)
    accept(pace, 100)
    pace.rejected(NOW + 0.5, NOW + 0.499, None)
    assert rate_of(pace) == pytest.approx(200 * START)


def test_too_little_accepted_is_no_measurement_and_halves_the_pace() -> None:
    pace = make()
    accept(pace, 40)
    pace.rejected(NOW, NOW - 0.001, None)
    accept(pace, 3)
    before = rate_of(pace)
    pace.rejected(NOW + 0.2, NOW + 0.19, None)
    assert rate_of(pace) == pytest.approx(before / 2)


def test_the_search_goes_no_lower_than_one_a_second() -> None:
    pace = make()
    accept(pace, 40)
    pace.rejected(NOW, NOW - 0.001, None)
    pace.meter.begin(NOW + 1000)  # never enough for a measurement
    now = NOW
    for _ in range(10):
        now += 1
        pace.meter.accepted += 1
        pace.rejected(now, now - 0.001, None)
    assert rate_of(pace) == 1


# -- stopped -------------------------------------------------------------------------------------------------------


def stopped(pace: Pace, since: float, *, round_trip: float = 0.02) -> float:
    """Let ten requests in a row be rejected, each the next that may go; return the time."""
    now = since
    for _ in range(10):
        now = max(now, pace.spacing.ready_at)
        pace.reserve(now)
        now += round_trip
        pace.rejected(now, now - round_trip, None)
    return now


def test_a_server_that_accepts_nothing_is_asked_by_one_request_at_a_time() -> None:
    pace = make()
    accept(pace, 100)
    now = stopped(pace, NOW)
    now = max(now, pace.spacing.ready_at)
    pace.reserve(now)
    assert pace.spacing.ready_at >= now + 0.2


def test_when_it_accepts_again_the_search_begins_not_far_below_the_pace_before() -> None:
    pace = make()
    accept(pace, 800)
    now = max(stopped(pace, NOW), pace.spacing.ready_at)
    pace.reserve(now)
    pace.meter.accepted += 1
    now = pace.spacing.ready_at
    pace.reserve(now)
    assert rate_of(pace) >= 40
    assert reached(pace, now, 800) < 1.0


def test_a_429_for_a_request_sent_before_the_last_cut_is_no_news() -> None:
    pace = make()
    accept(pace, 40)
    pace.rejected(NOW, NOW - 0.02, None)
    before = rate_of(pace)
    for late in range(30):
        pace.rejected(NOW + 0.001 * late, NOW - 0.01, None)
    assert rate_of(pace) == before
    assert pace.rejections == 31


def test_late_429s_of_a_long_round_trip_measure_without_another_cut() -> None:
    pace = make()
    accept(pace, 40)
    pace.rejected(NOW, NOW - 0.1, None)
    accept(pace, 20)
    pace.rejected(NOW + 0.1, NOW - 0.01, None)
    assert rate_of(pace) == pytest.approx(200 * START)


# -- measured ------------------------------------------------------------------------------------------------------


def measured(rate: int = 200, *, round_trip: float = 0.001, agreed: int = 0) -> tuple[Pace, float]:
    """Return a pace that has just been measured, and the time; it has been measured as often before."""
    pace = make()
    accept(pace, 20)
    pace.rejected(NOW, NOW - round_trip, None)
    now = NOW
    for _ in range(agreed + 1):
        pace.meter.accepted += rate * 10
        now += 10
        pace.rejected(now, now - round_trip, None)
    assert rate_of(pace) == pytest.approx(rate * START)
    return pace, now


def reached(pace: Pace, now: float, rate: float) -> float:
    """Return the seconds until the pace, always in use, reaches a rate."""
    start = now
    while rate_of(pace) < rate:
        send(pace, now, now + 0.05)
        now += 0.05
    return now - start


def test_it_comes_back_to_the_measured_rate_then_leaves_it_ever_faster() -> None:
    pace, now = measured(200)
    assert 0.3 < reached(pace, now, 200) < 0.7
    assert reached(pace, now, 1600) < 2.5


def test_the_longer_measurements_agree_the_longer_it_is_patient() -> None:
    pace, now = measured(200, agreed=3)
    assert 2.0 < reached(pace, now, 200) < 4.0


def test_a_changed_rate_ends_the_patience() -> None:
    pace, now = measured(200, agreed=3)
    pace.meter.accepted += 50 * 10
    pace.rejected(now + 10, now + 9.9, None)
    assert rate_of(pace) == pytest.approx(50 * START)
    assert reached(pace, now + 10, 50) < 1.5


def test_a_long_round_trip_makes_it_careful() -> None:
    near, now = measured(200, round_trip=0.001)
    far, _ = measured(200, round_trip=0.5)
    assert reached(far, now, 400) > 2 * reached(near, now, 400)


def test_it_does_not_grow_while_it_is_not_what_holds_the_client_back() -> None:
    pace, now = measured(200)
    for step in range(500):  # half of what it may
        pace.reserve(now + step * 0.01)
        pace.meter.accepted += 1
    assert rate_of(pace) == pytest.approx(200 * START, rel=0.01)


def test_a_pace_that_held_nobody_back_for_long_is_forgotten() -> None:
    pace, now = measured(200)
    assert not pace.forgotten(now + FORGOTTEN_AFTER - 1)
    assert pace.forgotten(now + FORGOTTEN_AFTER)
    assert pace.spacing.rate is None
    assert not pace.forgotten(now + FORGOTTEN_AFTER)


def test_a_pause_is_no_reason_to_forget_the_pace() -> None:
    pace, now = measured(200)
    pace.rejected(now, now - 0.001, LONGEST_PAUSE)
    assert not pace.forgotten(now + LONGEST_PAUSE + 1)


# -- an upper bound ------------------------------------------------------------------------------------------------


def test_a_found_pace_grows_to_the_bound_and_no_further() -> None:
    pace = make(100, 10)
    assert rate_of(pace) == 100
    accept(pace, 10)
    pace.rejected(NOW, NOW - 0.001, None)
    assert rate_of(pace) == 10
    send(pace, NOW, NOW + 2)
    assert rate_of(pace) == 100


def test_a_found_pace_allows_no_burst_until_it_has_been_at_the_bound_for_long() -> None:
    pace = make(100, 100)
    accept(pace, 50)
    pace.rejected(NOW, NOW - 0.001, None)
    send(pace, NOW, NOW + 1)
    assert send(pace, NOW + 2, NOW + 2.1) <= 13
    assert not pace.forgotten(NOW + 10)
    assert pace.forgotten(NOW + 1 + FORGOTTEN_AFTER)
    assert send(pace, NOW + 70, NOW + 70.1) >= 100


def test_a_bound_below_one_a_second_holds_after_a_429_too() -> None:
    pace = make(0.5, 1)
    accept(pace, 1)
    pace.rejected(NOW, NOW - 0.001, None)
    assert rate_of(pace) <= 0.5


def test_without_adaptation_429s_are_counted_and_nothing_else() -> None:
    pace = make(100, 10, adaptive=False)
    pace.rejected(NOW, NOW - 0.001, 30)
    assert (rate_of(pace), pace.rejections) == (100, 1)
    assert pace.spacing.ready_at <= NOW


# -- when everybody stops ------------------------------------------------------------------------------------------


def test_retry_after_stops_everybody() -> None:
    pace = make()
    accept(pace, 100)
    pace.rejected(NOW, NOW - 0.001, 7)
    assert pace.spacing.ready_at == NOW + 7


def test_a_second_stops_everybody_where_little_is_being_accepted() -> None:
    pace = make()
    accept(pace, 4)
    pace.rejected(NOW, NOW - 0.001, 1)
    assert pace.spacing.ready_at == NOW + 1


def test_a_second_stops_nobody_where_much_is_being_accepted() -> None:
    pace = make()
    accept(pace, 5)
    pace.rejected(NOW, NOW - 0.001, 1)
    assert pace.spacing.ready_at < NOW + 0.5


def test_a_second_stops_everybody_when_nothing_is_accepted_any_more() -> None:
    pace = make()
    accept(pace, 100)
    pace.rejected(NOW, NOW - 0.001, 1)
    for late in (0.02, 0.04):
        assert pace.spacing.ready_at <= NOW + late
        pace.reserve(NOW + late)
        pace.rejected(NOW + late + 0.001, NOW + late, 1)
    assert pace.spacing.ready_at == pytest.approx(NOW + 1.041)


def test_a_429_that_is_no_news_can_still_ask_for_a_longer_pause() -> None:
    pace = make()
    accept(pace, 100)
    pace.rejected(NOW, NOW - 0.01, None)
    pace.rejected(NOW + 0.001, NOW - 0.01, 5)
    assert pace.spacing.ready_at == NOW + 5.001


def test_a_pause_has_an_end_even_when_the_server_names_none() -> None:
    pace = make()
    pace.rejected(NOW, NOW - 0.001, 86_400)
    assert pace.spacing.ready_at == NOW + LONGEST_PAUSE


@pytest.mark.parametrize("nonsense", [-1.0, 0.0, math.nan])
def test_a_retry_after_that_makes_no_sense_counts_as_none(nonsense: float) -> None:
    pace = make()
    accept(pace, 100)
    pace.rejected(NOW, NOW - 0.001, nonsense)
    assert pace.spacing.ready_at < NOW + 0.1


def test_without_retry_after_a_server_that_accepts_nothing_is_asked_more_seldom_but_often_enough() -> None:
    pace = make()
    now, pauses = NOW, []
    for _ in range(12):
        pace.reserve(now)
        pace.rejected(now + 0.001, now, None)
        pauses.append(pace.spacing.ready_at - now)
        now = pace.spacing.ready_at
    assert pauses[0] <= 1.1
    assert all(0.75 <= pause <= 1.51 for pause in pauses[-4:])


def test_clients_that_stop_together_do_not_come_back_together() -> None:
    ends = set()
    for seed in range(10):
        pace = make(seed=seed)
        pace.rejected(NOW, NOW - 0.001, None)
        ends.add(pace.spacing.held_until)
    assert len(ends) == 10
