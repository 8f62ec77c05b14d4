"""The journal of gaps forgets a second only when that second was repaired."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enapter_async.collector import Gap, SqliteStore
from tests.collector.platform import SECOND

pytestmark = pytest.mark.anyio

NOON = 1_773_480_000 * SECOND

Step = tuple[str, str, int, int]


def gap(device: str, start: int, length: int) -> Gap:
    return Gap(
        device_id=device,
        start=NOON + start * SECOND,
        before=NOON + (start + length) * SECOND,
        reason="polls failed",
    )


def seconds(of: Gap) -> set[tuple[str | None, int]]:
    return {(of.device_id, moment) for moment in range(of.start, of.before, SECOND)}


steps = st.lists(
    st.tuples(
        st.sampled_from(["note", "hold", "finish", "finish half"]),
        st.sampled_from(["a", "b"]),
        st.integers(0, 30),
        st.integers(1, 15),
    ),
    max_size=25,
)


@pytest.mark.hypothesis
@given(steps=steps)
@example(steps=[("note", "a", 16, 6), ("hold", "a", 0, 1), ("note", "a", 19, 15), ("finish", "a", 0, 1)])
@example(
    steps=[("note", "a", 0, 1), ("hold", "a", 0, 1), ("finish", "a", 0, 1), ("note", "b", 5, 9), ("finish", "a", 0, 1)]
)
@example(steps=[("note", "a", 0, 9), ("hold", "a", 0, 1), ("note", "a", 3, 2), ("finish", "a", 0, 1)])
@settings(max_examples=60)
async def test_a_repair_ends_only_what_it_read(steps: list[Step]) -> None:
    """A repair reads the journal and works for a while, during which gaps are noted, joined and repaired by others."""
    with TemporaryDirectory() as folder:
        async with SqliteStore(Path(folder) / "telemetry.sqlite") as store:
            missing: dict[tuple[str | None, int], int] = {}  # and in which step a second was last noted
            held: list[tuple[int, Gap]] = []
            for number, (action, device, start, length) in enumerate(steps):
                if action == "note":
                    noted = gap(device, start, length)
                    await store.commit([], note=[noted])
                    missing.update(dict.fromkeys(seconds(noted), number))
                elif action == "hold":
                    held += [(number, one) for one in await store.read_gaps()]
                elif held:
                    read_at, done = held[start % len(held)]
                    assert done.id is not None
                    rest: list[Gap] = []
                    if action == "finish half":
                        middle = done.start + (done.before - done.start) // 2 // SECOND * SECOND
                        if middle > done.start:
                            rest = [Gap(device_id=done.device_id, start=middle, before=done.before, reason=done.reason)]
                    await store.commit([], replace={done.id: rest})
                    for second in seconds(done) - {second for left in rest for second in seconds(left)}:
                        if missing.get(second, number) < read_at:
                            del missing[second]
                known = {second for one in await store.read_gaps() for second in seconds(one)}
                assert missing.keys() <= known


async def test_a_journal_whose_ids_were_used_again_is_migrated(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute(
            "CREATE TABLE telemetry_gaps (id INTEGER PRIMARY KEY, device_id TEXT, start TEXT NOT NULL,"
            " before TEXT NOT NULL, reason TEXT NOT NULL)"
        )
        connection.execute(
            "INSERT INTO telemetry_gaps VALUES (7, 'd', '2026-03-14T09:20:00Z', '2026-03-14T09:21:00Z', 'outage')"
        )
    connection.close()
    async with SqliteStore(database) as store:
        (old,) = await store.read_gaps()
        assert (old.device_id, old.before - old.start, old.reason) == ("d", 60 * SECOND, "outage")
        assert old.id is not None
        await store.commit([], replace={old.id: []})
        await store.commit([], note=[gap("d", 0, 5)])
        (new,) = await store.read_gaps()
        assert new.id != old.id


async def test_a_repair_of_a_file_that_was_replaced_ends_no_gap_of_the_new_one(database: Path) -> None:
    async with SqliteStore(database) as store:
        await store.commit([], note=[gap("a", 0, 5)])
        (held,) = await store.read_gaps()
        database.unlink()
        await store.commit([], note=[gap("b", 10, 5)])  # in a new file, whose numbers begin again
        assert held.id is not None
        await store.commit([], replace={held.id: [gap("a", 3, 2)]})
        (left,) = await store.read_gaps()
        assert seconds(left) == seconds(gap("b", 10, 5))
        assert left.id is not None
        await store.commit([], replace={left.id: []})
        assert await store.read_gaps() == []
