"""What counts as a gap: failed polls and silent devices do, an attribute that has nothing new to say does not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enapter_async.collector._beginning import find_start_gaps
from enapter_async.collector._intake import Intake
from enapter_async.collector._repair_job import StoredSteps
from enapter_async.collector._silence import CHECKED_AGAIN
from enapter_async.collector._times import SECOND
from enapter_async.collector.gaps import Gap, merge_gaps

START = 1_773_480_000
"""2026-03-14T09:20:00Z"""


class Plant:
    """An intake that polls a device each second, and the gaps that it noted, in seconds since the start."""

    def __init__(self, *attributes: str, interval: float = 1.0, step: int = 1, phase: float = 0.3) -> None:
        self.second = phase
        self.interval = interval
        self.intake = Intake(step * SECOND, round(interval * SECOND), self.now, lambda *_: None)
        self.intake.select({"d": dict.fromkeys(attributes)}, self.now())
        self.noted: list[tuple[float, float]] = []
        self.reasons: list[str] = []
        self.known: dict[str, float] = {}

    def now(self) -> int:
        return round((START + self.second) * SECOND)

    def poll(self, values: Mapping[str, float]) -> None:
        """Take an answer: the time of the newest value of each attribute."""
        batch = [
            ("d", name, datetime.fromtimestamp(START, UTC) + timedelta(seconds=time), 1.0)
            for name, time in values.items()
            if time > self.known.get(name, time - 1)
        ]
        self.known.update(values)
        if batch:
            _, gaps = self.intake.take(batch)
            self.noted += [(gap.start / SECOND - START, gap.before / SECOND - START) for gap in merge_gaps(gaps)]
            self.reasons += [gap.reason for gap in gaps]
        self.second += self.interval

    def settle(self, start: int, before: int, *, stored: Collection[int] = (), again: bool = False) -> None:
        """Look up a range in history that has nothing new. The store has rows of some of its seconds."""
        first, end = (START + start) * SECOND, (START + before) * SECOND
        rows = StoredSteps(first, end, SECOND)
        rows.add([("d", "a", (START + second) * SECOND) for second in stored])
        self.intake.settle({"d": (first, end)}, set(), rows, {"d"} if again else ())

    def fail(self, count: int = 1) -> None:
        for _ in range(count):
            due = self.now()
            interval = round(self.interval * SECOND)
            self.intake.doubt(["d"], due - interval, due + interval, "polls failed")
            self.second += self.interval


def every(seconds: float, now: float) -> float:
    return now // seconds * seconds


@pytest.mark.parametrize("phase", [0.0, 0.02, 0.3, 0.97])
@pytest.mark.parametrize("attributes", [{"a": 1, "b": 5, "c": 10}, {"b": 5}, {"b": 5, "c": 7}, {"c": 10}, {"e": 2}])
def test_no_cadence_is_a_gap(attributes: dict[str, float], phase: float) -> None:
    plant = Plant(*attributes, phase=phase)
    for _ in range(120):
        plant.poll({name: every(cadence, plant.second) for name, cadence in attributes.items()})
    assert plant.noted == []


def test_an_attribute_that_changes_seldom_is_no_gap_while_the_device_is_online() -> None:
    plant = Plant("power", "status", "alerts")
    changes = [0, 3, 4, 40, 41, 90]
    for _ in range(100):
        now = plant.second
        status = max(change for change in changes if change <= now)
        plant.poll({"power": every(1, now), "status": status, "alerts": 0 if now < 70 else 70})
    assert plant.noted == []


def test_an_attribute_that_stood_still_is_no_gap_while_the_device_is_online() -> None:
    plant = Plant("a", "b")
    for _ in range(60):
        now = every(1, plant.second)
        plant.poll({"a": now, "b": 20 if 20 <= now < 45 else now})
    assert plant.noted == []


def test_an_old_value_at_the_start_is_no_gap() -> None:
    plant = Plant("a", "b", "c")
    for _ in range(30):
        now = every(1, plant.second)
        plant.poll({"a": now, "b": -3_600 if now < 12 else now, "c": -500 + every(10, now)})
    assert plant.noted == []


def test_a_device_that_comes_back_is_looked_up() -> None:
    plant = Plant("a", "b", "c")
    for _ in range(60):
        now = every(1, plant.second)
        shown = 20 if 20 <= now < 24 else now
        plant.poll({"a": shown, "b": shown, "c": every(10, shown)})
    assert plant.noted == [(21, 24)]
    assert plant.reasons == ["the device was silent"]


@pytest.mark.parametrize("others", [{}, {"b": 1}])
def test_seconds_that_were_skipped_between_two_polls_are_looked_up(others: dict[str, float]) -> None:
    plant = Plant("a", *others)
    for _ in range(30):
        now = every(1, plant.second)
        plant.poll({"a": now if now != 10 else 10, **dict.fromkeys(others, now)})
        if now == 10:
            plant.second += 3
    assert plant.noted == [(11, 14)]


def test_one_attribute_that_skipped_seconds_from_one_poll_to_the_next_is_looked_up() -> None:
    plant = Plant("a", "b")
    for _ in range(30):
        now = every(1, plant.second)
        plant.poll({"a": now, "b": now - 3 if now < 15 else now})
    assert plant.noted == [(12, 15)]


def test_a_silence_right_after_the_start_is_looked_up_once_the_cadence_is_known() -> None:
    plant = Plant("a")
    for _ in range(30):
        now = every(1, plant.second)
        plant.poll({"a": now if now >= 6 else 0})
    assert plant.noted == [(1, 6)]


@pytest.mark.hypothesis
@given(seen=st.lists(st.sampled_from([1, 2, 2, 3]), min_size=1, max_size=9))
@example(seen=[2, 2, 1])
@example(seen=[2, 3, 2, 2])
@example(seen=[3, 2, 1])
def test_polls_that_skip_seconds_from_the_start_are_looked_up(seen: list[int]) -> None:
    """Polls that jitter around a full second see every other one; the next one seen proves that seconds were missed."""
    plant = Plant("a")
    plant.poll({"a": 0})
    second = 0
    for size in [*seen, 1]:
        second += size
        plant.second = max(plant.second, second + 0.02)
        plant.poll({"a": second})
    collected = {0, *accumulate([*seen, 1])}
    looked_up = {moment for start, before in plant.noted for moment in range(round(start), round(before))}
    assert set(range(second)) <= collected | looked_up


def fall_silent_twice(plant: Plant, *looked_up: tuple[int, int], stored: Collection[int] = ()) -> None:
    """Poll for twenty seconds with two silences, and look up ranges after the first one."""
    for _ in range(20):
        now = every(1, plant.second)
        plant.poll({"a": now, "b": now})
        if now in (5, 12):
            plant.second += 3
        if len(plant.noted) == 1:
            for span in looked_up:
                plant.settle(*span, stored=stored)


@pytest.mark.parametrize("handed_in", [False, True])
def test_a_silence_is_not_usual_while_its_history_may_still_come(handed_in: bool) -> None:
    plant = Plant("a", "b")
    for second in range(30):
        now = every(1, plant.second)
        plant.poll({"a": now, "b": now})
        if second in (5, 12, 18):
            plant.second += 3
        if second == 7:
            plant.settle(6, 9, again=True)
        if second == 14:
            assert plant.noted == [(6, 9), (16, 19)]
            assert plant.intake.without_history == {("d", "a"), ("d", "b")}
            plant.settle(6, 9, stored=[6] if handed_in else [])
    assert plant.noted == [(6, 9), (16, 19), *([(25, 28)] if handed_in else [])]
    assert plant.intake.without_history == {("d", "b"), *([] if handed_in else [("d", "a")])}


def test_a_silence_without_history_is_usual_from_then_on_except_in_doubt() -> None:
    plant = Plant("a", "b")
    fall_silent_twice(plant, (6, 9))
    assert plant.noted == [(6, 9)]
    assert plant.intake.without_history == {("d", "a"), ("d", "b")}
    plant.intake.note_late_polls(["d"])
    plant.second += 3
    plant.poll({"a": every(1, plant.second), "b": every(1, plant.second)})
    assert len(plant.noted) == 2


def test_late_responses_at_the_start_say_nothing_about_the_cadence() -> None:
    """Otherwise every other second would be missed in silence as long as responses are late."""
    plant = Plant("a", "b")
    plant.poll({"a": 0, "b": 0})
    for _ in range(4):
        plant.second += 1
        plant.intake.note_late_polls(["d"])
        now = every(1, plant.second)
        plant.poll({"a": now, "b": now})
    assert plant.noted == [(1, 2), (3, 4), (5, 6), (7, 8)]


@pytest.mark.parametrize(
    ("looked_up", "stored"),
    [((-20, 0), []), ((0, 6), [0, 5]), ((6, 8), []), ((6, 9), [7]), ((9, 30), [])],
    ids=["before", "until it", "a part", "filled by another job", "after"],
)
def test_a_silence_is_usual_only_if_history_had_nothing_for_it(looked_up: tuple[int, int], stored: list[int]) -> None:
    plant = Plant("a", "b")
    fall_silent_twice(plant, looked_up, stored=stored)
    assert plant.noted == [(6, 9), (13, 16)]


def test_a_silence_that_was_looked_up_in_two_parts_is_usual() -> None:
    plant = Plant("a", "b")
    fall_silent_twice(plant, (4, 7), (7, 10))
    assert plant.noted == [(6, 9)]


@pytest.mark.parametrize("failures", [1, 2, 10])
def test_failed_polls_are_a_gap_of_all_attributes_and_of_no_more_than_their_time(failures: int) -> None:
    plant = Plant("a", "c", "rare")
    for second in range(60):
        if second == 20:
            plant.fail(failures)
        now = every(1, plant.second)
        plant.poll({"a": now, "c": every(10, now), "rare": 0 if now < 55 else 55})
    ((start, before),) = plant.noted
    assert 17 <= start <= 20
    assert 20 + failures <= before <= 23 + failures
    assert set(plant.reasons) <= {"polls failed", "the device was silent"}


def test_failed_polls_of_a_device_with_nothing_new_are_noted_too() -> None:
    plant = Plant("rare")
    plant.poll({"rare": 0})
    plant.fail(2)
    for _ in range(3):
        plant.second += 1
    plant.intake.select({"d": {"rare": None}, "other": {"a": None}}, plant.now())
    _, gaps = plant.intake.take([("other", "a", datetime.fromtimestamp(START + 7, UTC), 1.0)])
    assert [gap.device_id for gap in gaps] == ["d"]
    assert gaps[0].before <= plant.now()


def test_an_outage_that_lasts_is_noted_before_it_is_over_and_not_at_each_poll() -> None:
    plant = Plant("a")
    for _ in range(10):
        plant.poll({"a": every(1, plant.second)})
    noted = []
    for _ in range(40):
        plant.fail()
        noted.append(plant.intake.list_lasting_outages(["d"]))
    assert [len(gaps) for gaps in noted[:2]] == [0, 0]
    flat = [gap for gaps in noted for gap in gaps]
    assert len(flat) == 2
    assert flat[0].start <= (START + 10) * SECOND
    assert flat[1].start <= flat[0].before, "the two are one"
    plant.poll({"a": every(1, plant.second)})
    (last,) = plant.noted
    assert last[0] <= flat[1].before / SECOND - START
    assert last[1] == every(1, plant.second - 1)


def test_the_last_steps_before_a_kill_are_looked_up_again() -> None:
    reached, since = (START + 20) * SECOND, (START + 22) * SECOND + 300_000
    gaps = find_start_gaps(["d", "new"], {"d": reached}, since, SECOND)
    assert {(gap.device_id, gap.start // SECOND - START, gap.before // SECOND - START) for gap in gaps} == {
        ("d", -10, 23),
        ("new", -10, 23),
    }


def test_a_restart_within_the_second_of_the_newest_row_looks_up_the_last_steps_too() -> None:
    """Otherwise a first poll in the second after the next one reveals nothing."""
    since = (START + 20) * SECOND + 900_000
    (gap,) = find_start_gaps(["d"], {"d": (START + 20) * SECOND}, since, SECOND)
    assert (gap.start // SECOND - START, gap.before // SECOND - START) == (-10, 21)
    plant = Plant("a", phase=20.9)
    plant.intake.begin([gap], {})
    plant.second = 22.1
    plant.poll({"a": 22})
    assert plant.noted == [(21, 22)]


def test_what_was_missed_before_the_first_poll_continues_the_gap_of_the_start() -> None:
    plant = Plant("a")
    plant.intake.begin([Gap(device_id="d", start=0, before=(START + 1) * SECOND)], {})
    plant.second = 4.3
    plant.poll({"a": 4})
    assert plant.noted == [(1, 4)]


def test_a_clock_that_is_ahead_is_asked_for_in_its_own_time() -> None:
    plant = Plant("a")
    for second in range(30):
        if second == 10:
            plant.fail(3)
        plant.poll({"a": every(1, plant.second) + 3_600})
    ((start, before),) = plant.noted
    assert 3_607 <= start <= 3_610
    assert 3_613 <= before <= 3_616


def fails_at(plant: Plant, second: int, offset: Mapping[int, int], *, seconds: int = 60) -> None:
    """Poll a device whose clock changes to another offset at some seconds; three polls fail."""
    shown = 0
    for now in range(seconds):
        if now in offset:
            shown = offset[now]
            plant.known.clear()
        if now == second:
            plant.fail(3)
        plant.poll({"a": every(1, plant.second) + shown, "b": every(1, plant.second) + shown})


@pytest.mark.parametrize("offset", [{0: 3_600, 20: 0}, {20: 36_000, 21: 0}, {0: 20_000, 20: 500, 40: 0}])
def test_a_clock_that_is_set_back_is_followed(offset: dict[int, int]) -> None:
    plant = Plant("a", "b")
    fails_at(plant, 45, offset)
    assert [(start, before) for start, before in plant.noted if start <= 45 and 48 <= before <= 50] != []


def test_seconds_that_were_skipped_after_a_clock_was_set_back_are_looked_up() -> None:
    plant = Plant("a", "b")
    for second in range(60):
        if second == 20:
            plant.known.clear()
        if second == 40:
            plant.second += 5
        now = every(1, plant.second) + (3_600 if second < 20 else 0)
        plant.poll({"a": now, "b": now})
    assert plant.noted == [(40, 45)]


def test_a_clock_that_jumps_ahead_is_no_silence_until_then() -> None:
    plant = Plant("a", "b")
    for second in range(60):
        now = every(1, plant.second) + (36_000 if second >= 20 else 0)
        plant.poll({"a": now, "b": now})
    assert all(before <= 25 for _, before in plant.noted)


def test_polls_that_fail_while_a_clock_is_set_back_are_looked_up_by_both_times() -> None:
    plant = Plant("a", "b")
    fails_at(plant, 20, {0: 3_600, 20: 0})
    assert any(3_617 <= start <= 3_620 and before >= 3_622 for start, before in plant.noted)
    assert any(start <= 20 and 22 <= before <= 24 for start, before in plant.noted)


@pytest.mark.parametrize("failing", [2, 3, 30])
@pytest.mark.parametrize("behind", [60, 3_600, 86_400])
def test_a_clock_that_is_behind_is_asked_for_in_its_own_time(failing: int, behind: int) -> None:
    plant = Plant("a", "b")
    fails_at(plant, failing, {0: -behind})
    looked_up = {second for start, before in plant.noted for second in range(round(start), round(before))}
    assert looked_up >= set(range(failing - behind, failing + 3 - behind))
    assert len(looked_up) <= 75


def test_a_device_whose_clock_is_ahead_is_looked_up_from_its_newest_row() -> None:
    plant = Plant("a", "b")
    plant.intake.begin([], {"d": (START + 3_000) * SECOND})
    fails_at(plant, 30, {0: 3_600})
    assert plant.noted[0] == (3_001 - CHECKED_AGAIN, 3_600)
    assert len(plant.noted) == 2


@pytest.mark.parametrize("second", [1, 2, 30])
def test_a_device_whose_clock_was_ahead_before_the_start_is_followed(second: int) -> None:
    plant = Plant("a", "b")
    plant.intake.begin([], {"d": (START + 3_000) * SECOND})
    fails_at(plant, second, {})
    assert any(start <= second and before >= second + 3 for start, before in plant.noted)
    assert all(start >= -10 and before <= second + 5 for start, before in plant.noted)


def test_the_newest_row_of_a_clock_that_is_ahead_hides_no_gap() -> None:
    """Its clock may have been set back since, and no row of the others shows when it was collected last."""
    since = (START + 600) * SECOND
    newest = {"d": (START + 3_600) * SECOND, "other": START * SECOND}
    gaps = find_start_gaps(["d", "other", "new"], newest, since, SECOND)
    assert {(gap.device_id, gap.start // SECOND - START, gap.before // SECOND - START) for gap in gaps} == {
        (device, -CHECKED_AGAIN, 601) for device in newest.keys() | {"new"}
    }


def test_a_device_whose_clock_is_months_behind_is_looked_up_from_its_newest_row() -> None:
    month = 30 * 86_400
    since = (START + 600) * SECOND
    newest = {"behind": (START - 2 * month) * SECOND, "other": START * SECOND}
    gaps = {gap.device_id: gap for gap in find_start_gaps(newest, newest, since, SECOND)}
    assert gaps["behind"].start == (START - 2 * month - CHECKED_AGAIN) * SECOND
    assert 600 < gaps["behind"].seconds < 700
    away = {gap.seconds for gap in find_start_gaps(["behind"], {"behind": newest["behind"]}, since, SECOND)}
    assert away == {31 * 86_400}, "nobody was collected meanwhile"


def test_polls_that_fail_are_looked_up_by_a_clock_that_is_months_behind() -> None:
    plant = Plant("a", "b")
    fails_at(plant, 20, {0: -5_000_000})
    looked_up = {second for start, before in plant.noted for second in range(round(start), round(before))}
    assert looked_up >= set(range(20 - 5_000_000, 23 - 5_000_000))
    assert len(looked_up) <= 75


def test_a_device_is_marked_by_its_own_clock_once_it_reports_something_new() -> None:
    plant = Plant("a", "b")
    plant.poll({"a": -7_200})
    assert plant.intake.reached() == {}
    plant.poll({"a": -7_199})
    assert plant.intake.reached() == {"d": (START - 7_199) * SECOND}


@pytest.mark.parametrize("behind", [0, 3_600, 5_000_000])
def test_an_outage_that_lasts_is_noted_by_a_clock_that_is_behind(behind: int) -> None:
    plant = Plant("a")
    for _ in range(10):
        plant.poll({"a": every(1, plant.second) - behind})
    plant.fail(10)
    (noted,) = plant.intake.list_lasting_outages(["d"])
    assert noted.start <= (START + 10 - behind) * SECOND
    assert (START + 19 - behind) * SECOND <= noted.before <= (START + 100 - behind) * SECOND


@pytest.mark.parametrize("offset", [-1_700_000_000, 40 * 86_400])
def test_an_attribute_with_an_impossible_time_has_a_value(offset: int) -> None:
    plant = Plant("a", "b")
    plant.poll({"a": 0, "b": offset})
    assert plant.intake.seen == 2
    assert plant.intake.list_without_datapoint(3) == []
    plant.poll({"a": 1, "b": 1})
    assert plant.intake.seen == 2
    plant.intake.select({"d": {"a": None}}, plant.now())
    assert plant.intake.seen == 1
    plant.intake.select({"d": {"a": None, "b": None}}, plant.now())
    assert plant.intake.seen == 2


@pytest.mark.parametrize("step", [-3_600, 3_600])
def test_a_second_that_was_skipped_while_the_time_of_this_machine_was_set_is_looked_up(step: int) -> None:
    plant = Plant("a")
    for second in range(20):
        plant.poll({"a": second if second < 10 else second + 1})
        if second == 9:
            plant.second += step
    assert plant.noted == [(10, 11)]


@pytest.mark.parametrize("asked_before", [0, 1])
@pytest.mark.parametrize("reselected", [0.1, 0.4, 0.7])
@pytest.mark.parametrize("cadence", [1, 3])
def test_an_attribute_that_is_selected_again_misses_nothing_until_its_first_value(
    cadence: int, reselected: float, asked_before: int
) -> None:
    """The last poll without it may be answered after it is selected again, and the next one a second later."""
    plant = Plant("a", "b")

    def poll(*, with_b: bool) -> None:
        b = {"b": every(cadence, plant.second)} if with_b else {}
        plant.poll({"a": every(1, plant.second), **b})

    for _ in range(30):
        poll(with_b=True)
    last = plant.known["b"]
    plant.intake.select({"d": {"a": None}}, plant.now())
    for _ in range(10):
        poll(with_b=False)
    plant.second -= 1 - reselected
    plant.intake.select({"d": {"a": None, "b": None}}, plant.now())
    plant.second += 1 - reselected
    for _ in range(asked_before):
        poll(with_b=False)
    for _ in range(20):
        poll(with_b=True)
    received = {last, *(every(cadence, second) for second in range(40 + asked_before, 60))}
    missing = {second for second in range(int(last), 60) if second % cadence == 0} - received
    assert all(any(start <= second < before for start, before in plant.noted) for second in missing), plant.noted
    assert all(before <= 40 + asked_before + cadence for _, before in plant.noted)
