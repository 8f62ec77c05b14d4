"""What `collect` says at its end, and that it ends when it was told to."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import begin, end, figure, run

from enapter_async import WatchStatistics
from enapter_async.cli.collect.summary import summarize
from enapter_async.cli.traffic import Traffic
from enapter_async.collector import CollectorStatistics, Gap, GapsFilled, GapsNoted
from tests.waiting import block_until


def summary(**figures: object) -> dict[str, str]:
    """Return the lines of a summary by name."""
    done = CollectorStatistics(**{"can_repair": True, **figures})  # type: ignore[arg-type]
    lines = summarize(done, Traffic(), 10.0, target="t.sqlite", without_value=[("d1", "a"), ("d2", "b")])
    return {line[2:20].strip(): line[22:].strip() for line in lines.splitlines()}


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({}, "no gaps"),
        ({"gaps_noted": 1, "seconds_repaired": 60.0}, "all gaps are filled: checked 0:01:00 of history"),
        (
            {"gaps_noted": 1, "seconds_repaired": 60.0, "without_history": 1},
            "all gaps are filled: checked 0:01:00 of history; history had nothing for 1 attribute",
        ),
        (
            {"gaps_noted": 2, "gaps_open": 2, "gap_seconds_open": 5},
            "2 gaps remain (0:00:05 in total); the next run fills them",
        ),
    ],
)
def test_gaps_are_told_as_they_are(figures: dict[str, object], said: str) -> None:
    assert summary(**figures)["filled in"].split(maxsplit=1)[1] == said


def test_rows_that_the_store_did_not_accept_are_counted() -> None:
    assert summary(waiting=1_200)["not stored"] == "1,200  rows were received, but the store did not accept them"
    assert "not stored" not in summary()


def test_attributes_with_a_value_are_counted_and_some_others_named() -> None:
    assert summary(attributes=200, seen=195)["attributes"] == "195  of 200; without a value: d1 a, d2 b and 3 more"
    assert summary(attributes=200, seen=200)["attributes"] == "200  of 200"


def test_duplicates_are_counted_once_for_all() -> None:
    pytest.importorskip("prometheus_client", reason="the extra `prometheus` is not installed")
    from enapter_async import Load
    from enapter_async.integrations.prometheus import render_metrics

    done = CollectorStatistics(duplicates=17, duplicate_rows=3, polls=WatchStatistics(repeats=14))
    said = summarize(done, Traffic(), 10.0, target="t.sqlite")
    (line,) = [line for line in said.splitlines() if "duplicates skipped" in line]
    assert line.split() == ["duplicates", "skipped", "17", "3", "were", "already", "in", "the", "store"]
    assert "enapter_collector_rows_duplicate_total 17.0" in render_metrics(done, Load(0, 0, None, 0.0), []).decode()


def test_events_of_gaps_are_sentences() -> None:
    filled = GapsFilled(devices=50, start=0, before=71_000_000, rows=1_200, without_history=2)
    assert (
        str(filled) == "checked 71 s of history for 50 devices, added 1,200 rows; history had nothing for 2 attributes"
    )
    gaps = tuple(Gap(device_id=f"d{number}", start=0, before=5_000_000, reason="polls failed") for number in range(3))
    assert str(GapsNoted(gaps=gaps)) == (
        "gaps recorded: 3 gaps of 3 devices, longest 5 s, 15 s in total (polls failed)"
    )
    assert gaps[0].until(4_000_000).before == 4_000_000
    assert gaps[0].until(0) is gaps[0]


@pytest.mark.parametrize("wait", ["--wait", "--no-wait"])
def test_an_api_that_is_down_ends_it_in_time_with_6(tmp_path: Path, wait: str) -> None:
    ended = run(
        *("collect", wait, "--for", "2s", "--to", str(tmp_path / "t.sqlite")),
        ENAPTER_HTTP_API_TOKEN="t", ENAPTER_HTTP_API_BASE_URL="http://127.0.0.1:9",
    )  # fmt: skip
    assert ended.code == 6, ended.stderr
    assert "Traceback" not in ended.stderr
    if wait == "--wait":
        assert ended.error.startswith("enapter-async: could not begin within 2 s: ")


def test_a_store_that_is_locked_ends_it_in_time_with_7(tmp_path: Path) -> None:
    first = begin("collect", "--simulate", "1", "--for", "20s", "--to", str(tmp_path / "t.csv"))
    block_until((tmp_path / "t.csv").exists)
    try:
        ended = run("collect", "--simulate", "1", "--wait", "--for", "9s", "--to", str(tmp_path / "t.csv"))
    finally:
        first.terminate()
        assert end(first).code == 0
    assert ended.code == 7, ended.stderr


def test_a_healthy_run_has_no_gaps(database: Path) -> None:
    ended = run("collect", "--simulate", "10", "--attributes", "all", "--for", "12s", "--to", str(database))
    assert ended.code == 0
    if figure(ended, "missed ticks") == 0:
        assert "gap recorded" not in ended.stderr
        assert figure(ended, "filled in") == 0
        assert "no gaps" in ended.stdout
