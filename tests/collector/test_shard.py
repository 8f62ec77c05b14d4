"""Several collectors share the devices: each device has exactly one, and few move when one more comes."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async import InvalidArgumentError
from enapter_async.collector import Shard

DEVICES = [f"device-{number}" for number in range(5_000)]


@given(device=st.text(), count=st.integers(1, 20))
def test_each_device_belongs_to_exactly_one(device: str, count: int) -> None:
    assert sum(Shard(index, count).holds(device) for index in range(1, count + 1)) == 1


def owner(device: str, count: int) -> int:
    return next(index for index in range(1, count + 1) if Shard(index, count).holds(device))


def test_the_shares_are_even() -> None:
    shares = Counter(owner(device, 5) for device in DEVICES)
    assert all(900 < share < 1_100 for share in shares.values()), shares


def test_a_fifth_shard_takes_a_fifth_from_the_others_and_nothing_else_moves() -> None:
    moved = [device for device in DEVICES if owner(device, 4) != owner(device, 5)]
    assert 900 < len(moved) < 1_100
    assert {owner(device, 5) for device in moved} == {5}


def test_shares_are_the_same_on_every_machine() -> None:
    assert [owner(f"device-{number}", 5) for number in range(12)] == [5, 2, 4, 1, 5, 3, 5, 4, 2, 4, 3, 5]


@pytest.mark.parametrize("text", ["", "0/5", "6/5", "1", "1/0", "a/b", "-1/2", "1/2/3", "١/٢"])
def test_text_that_is_not_a_shard_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="shard: must be I/N"):
        Shard.parse(text)


def test_it_is_read_and_written() -> None:
    assert str(Shard.parse(" 2/5 ")) == "2/5"
