"""Telemetry is a pure function of seed, device, attribute and time, and aggregates are those of its samples."""

from __future__ import annotations

import json
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enapter_async.simulator import STOCK, Role, World
from enapter_async.simulator._server.world.aggregates import Column, carry_forward, supports
from enapter_async.simulator._server.world.cells import quote, writer
from enapter_async.simulator._server.world.signals import Signal, signal
from enapter_async.simulator._server.world.tracks import Track

SIGNALS: list[Signal] = [
    signal(name, declaration, tuple(stock.manifest["alerts"]))
    for stock in STOCK
    for name, declaration in stock.manifest["telemetry"].items()
]
START = 1_773_482_400


def samples(track: Track, begin: int, end: int) -> list[int]:
    """List the levels of what history has, sample by sample."""
    gaps = track.gaps(begin, end)
    return [
        track.level(second)
        for second in range(begin, end)
        if second % track.signal.period == 0 and not any(a <= second < b for a, b in gaps)
    ]


def expected_cell(track: Track, levels: list[int], aggregation: str) -> str:
    profile = track.signal
    if not levels:
        return ""
    if aggregation == "avg" and profile.data_type == "integer":
        return repr(floor(Fraction(100 * sum(levels), len(levels)) + Fraction(1, 2)) / 100)
    level = {
        "avg": floor(Fraction(sum(levels), len(levels)) + Fraction(1, 2)),
        "min": min(levels),
        "max": max(levels),
        "bool_or": max(levels),
        "last": levels[-1],
    }[aggregation]
    value = profile.value(level)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return quote(json.dumps(value, ensure_ascii=False))
    return quote(value) if isinstance(value, str) else repr(value)


@settings(max_examples=150, deadline=None)
@given(
    profile=st.sampled_from(SIGNALS),
    device=st.integers(0, 3),
    granularity=st.sampled_from([1, 2, 5, 7, 10, 30, 45, 60, 90, 120, 420, 600, 3600, 3601]),
    aggregation=st.sampled_from(["avg", "min", "max", "last", "bool_or"]),
    start=st.integers(START, START + 5 * 86_400),
)
def test_buckets_hold_the_aggregate_of_their_samples(
    profile: Signal, device: int, granularity: int, aggregation: str, start: int
) -> None:
    if not supports(profile.data_type, aggregation):
        return
    track = Track(profile, 1, f"device-{device}")
    first, count = start // granularity, max(2, min(50, 7200 // granularity))
    cells = Column(track, granularity, aggregation).cells(first, count)
    assert cells == [
        expected_cell(track, samples(track, k * granularity, (k + 1) * granularity), aggregation)
        for k in range(first, first + count)
    ]


@pytest.mark.parametrize("granularity", [10, 45, 120, 420, 3600, 5400])
def test_gaps_are_cut_out_of_buckets_exactly(granularity: int) -> None:
    profile = next(one for one in SIGNALS if one.name == "power")
    track = Track(profile, 1, "device")
    begin, _ = track.gaps(START, START + 30 * 86_400)[0]
    first = begin // granularity - 2
    assert Column(track, granularity, "avg").cells(first, 6) == [
        expected_cell(track, samples(track, k * granularity, (k + 1) * granularity), "avg")
        for k in range(first, first + 6)
    ]


def test_a_long_bucket_with_many_gaps_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    year = 366 * 86_400
    track = Track(next(one for one in SIGNALS if one.name == "power"), 1, "device")
    bucket = START // year
    assert len(track.gaps(bucket * year, (bucket + 1) * year)) > 100
    make, made = Column._outside_gaps, list[int]()
    monkeypatch.setattr(Column, "_outside_gaps", lambda self, one: made.append(one) or make(self, one))
    assert Column(track, year, "avg").cells(bucket, 1) != [""]
    assert made == [bucket]


@settings(max_examples=50, deadline=None)
@given(
    profile=st.sampled_from(SIGNALS),
    granularity=st.sampled_from([1, 10, 60, 90, 3600]),
    cut=st.integers(1, 199),
    look_around=st.sampled_from([0, 30, 600, 86_400]),
)
def test_any_cut_of_a_span_gives_the_same_cells(profile: Signal, granularity: int, cut: int, look_around: int) -> None:
    column = Column(Track(profile, 3, "device"), granularity, "auto", look_around)
    first = START // granularity
    assert column.cells(first, 200) == column.cells(first, cut) + column.cells(first + cut, 200 - cut)


def test_latest_values_are_those_of_the_samples() -> None:
    world = World(clock=lambda: START + 0.7)
    for device in world.devices.values():
        for attribute in world.readable(device, Role.SYSTEM):
            track = world.track(device, attribute)
            latest = world.latest(device, attribute)
            assert track is not None
            assert latest is not None
            value, timestamp = latest
            assert START - 10 < timestamp <= START
            if attribute not in ("alerts", "alert_details"):  # those tell of the alerts that are raised
                assert value == track.signal.value(track.level(timestamp))


def test_numbers_of_an_enumeration_are_the_same_in_history_and_latest_and_averaged_as_such() -> None:
    profile = signal("level", {"type": "integer", "enum": [10, 20, 40]})
    track = Track(profile, 1, "device")
    begin = START // 60
    for aggregation in ("min", "max", "last", "avg"):
        cells = Column(track, 60, aggregation).cells(begin, 600)
        values = [track.latest(minute * 60)[0] for minute in range(begin, begin + 600)]
        assert {float(cell) for cell in cells if cell} == {10.0, 20.0, 40.0}
        assert all(float(cell) == value for cell, value in zip(cells, values, strict=True) if cell)


def test_every_level_of_a_signal_is_written_like_its_value() -> None:
    for profile in SIGNALS:
        if profile.data_type in ("float", "integer"):
            lowest, highest = profile.range
            middle = (lowest + highest) // 2
            levels = [lowest, lowest + 1, middle, highest - 1, highest]
            for chosen in (levels, levels[:1], []):
                cells = writer(profile, profile.data_type)(chosen)
                assert cells == [repr(profile.value(level)) for level in chosen]


def test_values_lie_in_the_range_of_their_unit() -> None:
    for profile in SIGNALS:
        if profile.shape == "counter" or profile.words:
            continue
        track = Track(profile, 1, "device")
        levels = [level + track.offset for level in track.minutes(START // 60, 1440)]
        assert profile.low <= min(levels)
        assert max(levels) + max(profile.ripple) <= profile.high + 2 * profile.spread


def test_seed_device_and_attribute_each_matter() -> None:
    power = next(one for one in SIGNALS if one.name == "power")
    voltage = next(one for one in SIGNALS if one.name == "voltage")

    def week(profile: Signal, seed: int, device: str) -> list[str]:
        return Column(Track(profile, seed, device), 3600, "avg").cells(START // 3600, 168)

    assert week(power, 1, "a") == week(power, 1, "a")
    assert len({tuple(week(p, s, d)) for p in (power, voltage) for s in (1, 2) for d in "ab"}) == 8


def test_the_last_known_value_is_carried_over_no_more_buckets_than_the_look_around() -> None:
    cells = ["", "a", "", "", "", "b", ""]
    carry_forward(cells, 2)
    assert cells == ["", "a", "a", "a", "", "b", "b"]


def test_every_data_type_is_in_the_plant() -> None:
    assert {one.data_type for one in SIGNALS} == {"float", "integer", "boolean", "string", "string_array"}


def test_ten_thousand_devices_are_made_quickly_and_share_their_manifests() -> None:
    world = World(devices=10_000, sites=3)
    assert len(world.devices) == 10_000
    assert len({id(device.blueprint.manifest) for device in world.devices.values()}) <= len(STOCK)
    ids = list(world.devices)
    assert ids == sorted(set(ids))
    assert ids == list(World(devices=10_000, sites=3).devices)
    assert ids != list(World(devices=10_000, sites=3, seed=2).devices)
