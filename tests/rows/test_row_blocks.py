"""History as a block of rows: the same rows as one by one, only stored by column."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from enapter_async import Column, DataType, TimeseriesBatch
from enapter_async.models.timeseries import TimeseriesValue
from enapter_async.rows import Row, make_batch_rows
from enapter_async.rows.batches import make_row_block

START = 1_773_480_000
UNITS = {"d0": {"a0": "W"}, "d1": {"a1": "\ud800"}}
EMPTY = st.none()
VALUES: list[st.SearchStrategy[TimeseriesValue]] = [
    EMPTY | st.floats(),
    EMPTY | st.floats(1e307, 1.7e308),  # whose sum is infinite although they are not
    EMPTY | st.integers() | st.just(10**400),
    EMPTY | st.booleans(),
    EMPTY | st.text(max_size=3),
    EMPTY | st.lists(st.text(max_size=2), max_size=2),
]


@st.composite
def histories(draw: st.DrawFn) -> list[TimeseriesBatch]:
    """Batches of one answer: a few columns, each of one kind of value."""
    heights = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    kinds = draw(st.lists(st.sampled_from(VALUES), max_size=4))
    columns = [draw(st.lists(kind, min_size=sum(heights), max_size=sum(heights))) for kind in kinds]
    batches: list[TimeseriesBatch] = []
    first = 0
    for height in heights:
        batches.append(
            TimeseriesBatch(
                [START + second for second in range(first, first + height)],
                tuple(
                    Column(f"d{index % 2}", f"a{index}", DataType.FLOAT, {}, values[first : first + height])
                    for index, values in enumerate(columns)
                ),
            )
        )
        first += height
    return batches


def find_first_times(rows: Sequence[Row]) -> dict[tuple[str, str], int]:
    return {row[:2]: row[2] for row in sorted(rows, key=lambda row: row[2], reverse=True)}


@given(histories())
def test_a_block_is_a_sequence_of_the_same_rows(batches: list[TimeseriesBatch]) -> None:
    expected = [row for batch in batches for row in make_batch_rows(batch, UNITS)]
    block = make_row_block(batches, UNITS)
    assert sorted(block, key=repr) == sorted(expected, key=repr)
    assert len(block) == len(expected)
    assert [block[index] for index in range(len(block))] == block[:] == list(block)
    assert block.find_first_times() == find_first_times(expected)


@given(histories(), st.integers(0, 8))
def test_some_rows_of_a_block(batches: list[TimeseriesBatch], before: int) -> None:
    block = make_row_block(batches, UNITS)
    limit = (START + before) * 1_000_000
    some = block.select(lambda device, _: (lambda time: time < limit) if device == "d0" else None)
    expected = [row for row in block if row[0] != "d0" or row[2] < limit]
    assert list(some) == expected
    assert len(some) == len(expected)
    assert some.find_first_times() == find_first_times(expected)


def test_numbers_are_stored_by_column_and_nothing_else_is() -> None:
    batch = TimeseriesBatch(
        [START, START + 1],
        (
            Column("d0", "a0", DataType.FLOAT, {}, [1.5, None]),
            Column("d0", "on", DataType.BOOLEAN, {}, [None, True]),
            Column("d1", "mode", DataType.STRING, {}, ["auto", None]),
            Column("d1", "power", DataType.FLOAT, {}, [2.5, math.nan]),
        ),
    )
    block = make_row_block([batch], UNITS)
    assert block.series == [("d0", "a0", "W"), ("d0", "on", None)]
    assert block.numbers == [[1.5, None], [None, 1.0]]
    assert [row[1:5] for row in block.others] == [
        ("mode", START * 1_000_000, None, "auto"),
        ("power", START * 1_000_000, 2.5, None),
        ("power", (START + 1) * 1_000_000, None, "NaN"),
    ]


def test_no_batches_are_an_empty_block() -> None:
    block = make_row_block([], UNITS)
    assert not block
    assert list(block) == []
