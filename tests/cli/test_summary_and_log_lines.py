"""The summary and the log of `collect` name devices, stay short, and say what a stranger needs to know."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import anyio
import pytest
from commands import run

from enapter_async.cli.collect import display as display_module
from enapter_async.cli.collect.display import Display
from enapter_async.cli.collect.summary import summarize
from enapter_async.cli.traffic import Traffic
from enapter_async.collector import (
    AttributesChanged,
    CollectorEvent,
    CollectorStatistics,
    DeviceAdded,
    DeviceRemoved,
    Gap,
    GapsNoted,
    Skipped,
)
from enapter_async.collector._reporting import Reporter
from enapter_async.collector.gaps import NotedGaps
from enapter_async.collector.selection import make_labels

SECOND = 1_000_000
IDLE = "no collector was running"


def test_devices_without_a_value_are_named_and_not_counted() -> None:
    names = {"d1": "Pump 3", "d2": "Tank"}
    for given, said in (
        ({"devices_seen": 200, "visible_devices": 210}, "200 of 210; 10 not selected"),
        ({"devices_seen": 185, "visible_devices": 200}, "185 of 200; no value yet: Pump 3, Tank, d3 and 12 more"),
    ):
        done = CollectorStatistics(devices=200, **given)
        text = summarize(done, Traffic(), 1.0, target="t.sqlite", names=names, silent=["d1", "d2", "d3", "d4"])
        (line,) = (line for line in text.splitlines() if line.startswith("  devices"))
        assert " ".join(line.split()[1:]) == said


def test_a_summary_fits_into_the_terminal() -> None:
    done = CollectorStatistics(
        devices=20, visible_devices=20, attributes=900, seen=5, can_repair=True, gaps_open=3, gap_seconds_open=5.0,
        longest_gap=(3.0, "d1", "temperature"),
    )  # fmt: skip
    long = {f"d{number}": f"The name of pump {number}, {'x' * 20}" for number in range(9)}
    said = summarize(
        done, Traffic(), 1.0,
        target="t.sqlite", names=long, silent=list(long), without_value=[("d1", "flow"), ("d2", "flow")], width=80,
    )  # fmt: skip
    assert max(map(len, said.splitlines())) <= 80
    assert "and 19 more" in " ".join(said.split())
    assert "3 gaps remain (0:00:05 in total)" in " ".join(said.split())


def test_gaps_that_the_next_run_cannot_fill_are_told_apart() -> None:
    done = CollectorStatistics(can_repair=True, gaps_open=3, gap_seconds_open=5.0, gaps_unselected=1)
    said = summarize(done, Traffic(), 1.0, target="t.sqlite")
    assert "3 gaps remain (0:00:05 in total); 1 of devices that are not collected" in said


def test_recorded_gaps_are_told_by_reason_and_one_device_far_behind_stretches_no_other() -> None:
    noted = NotedGaps()
    noted.add([Gap(device_id=f"d{n}", start=0, before=60 * SECOND, reason=IDLE) for n in range(9)])
    noted.add([Gap(device_id="d9", start=-86_400 * SECOND, before=60 * SECOND, reason="the device was silent")])
    noted.add([Gap(device_id="d1", start=90 * SECOND, before=95 * SECOND, reason="polls failed")])
    noted.add([Gap(device_id="d1", start=94 * SECOND, before=125 * SECOND, reason="polls failed")])  # it lasts
    assert noted.count == 11
    kinds = [
        "9 gaps of 9 devices, longest 60 s, 540 s in total (no collector was running)",
        "1 gap of 1 device, 86,460 s in total (the device was silent)",
        "1 gap of 1 device, 35 s in total (polls failed)",
    ]
    assert list(map(str, noted.kinds)) == kinds
    done = CollectorStatistics(gaps_noted=noted.count, gap_kinds=noted.kinds, gap_spans=noted.spans)
    lines = summarize(done, Traffic(), 1.0, target="plant.csv").splitlines()
    assert lines[-2:] == [
        "  enapter-async export --from 1970-01-01T00:00:00Z --until 1970-01-01T00:02:05Z",
        "  enapter-async export --from 1969-12-31T00:00:00Z --until 1970-01-01T00:02:05Z --device d9",
    ]
    del lines[-2:]
    assert lines[-4].split() == ["gaps", "recorded", "11", "see", "plant.csv.gaps.jsonl"]
    assert [line.strip() for line in lines[-3:]] == kinds
    assert max(map(len, lines)) <= 82


def test_devices_are_called_by_their_names_and_by_their_ids_if_these_are_not_unique() -> None:
    names = make_labels(
        {"a": "Pump", "b": "Tank", "c": "Tank", "d": "", "e": " ", "f": "x" * 99, "g": "two\nlines\x1b"}
    )
    assert names == {
        "a": "Pump", "b": "Tank (b)", "c": "Tank (c)", "d": "d", "e": "e", "f": "x" * 39 + "…", "g": r"two lines\x1b",
    }  # fmt: skip
    events: list[CollectorEvent] = []
    report = Reporter(events.append)
    report.names.update(names)
    for event in (
        DeviceAdded(device_id="a", attributes=2),
        DeviceRemoved(device_id="b"),
        AttributesChanged(device_id="a", added=("x",), removed=(), units={}),
        Skipped(device_id="a", attribute="x", reason="no"),
        Skipped(device_id="unknown", attribute=None, reason="no"),
        GapsNoted(gaps=(Gap(device_id="a", start=0, before=5 * SECOND, reason="polls failed"),)),
    ):
        report(event)
    assert list(map(str, events)) == [
        "Pump: new, 2 attributes",
        "Tank (b): gone",
        "Pump: new attribute x",
        "Pump x skipped: no",
        "unknown skipped: no",
        "gap recorded: Pump: 1970-01-01T00:00:00Z to 1970-01-01T00:00:05Z (polls failed)",
    ]


def test_a_device_with_a_wrong_clock_is_named() -> None:
    done = CollectorStatistics(wrong_clocks=2)
    said = summarize(done, Traffic(), 1.0, target="t.sqlite", names={"d1": "Pump"}, wrong_clocks=["d1", "d2"])
    (line,) = [line for line in said.splitlines() if "wrong clocks" in line]
    assert line.split(maxsplit=3) == ["wrong", "clocks", "2", "gaps cannot be found: Pump, d2"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_healthy_start_is_logged_once_at_the_first_values(tmp_path: Path, form: str) -> None:
    path = tmp_path / "t.csv"
    ended = run("collect", "--simulate", "2", "--for", "3s", "--log-format", form, "--to", str(path))
    assert ended.code == 0, ended.stderr
    (line,) = (line for line in ended.stderr.splitlines() if "collecting" in line)
    if form == "text":
        assert line.endswith(f" of 2 devices into {path} every 1 s")
    else:
        found = json.loads(line)
        assert (found["event"], found["devices"], found["target"]) == ("Started", 2, str(path))


@pytest.mark.anyio
async def test_a_status_line_names_only_problems_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display_module, "_LINE_SECONDS", 0.05)
    collector = Mock(statistics=CollectorStatistics(devices=3, attributes=1, datapoints=5, gaps_open=2))
    lines: list[str] = []
    log = Mock(write=lambda _, line, **__: lines.append(line))
    display = Display(Mock(), collector, Traffic(), None)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(display.log, log, target="t.csv", interval=0.5))
            while len(lines) < 3:
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
    assert lines[0] == "collecting 1 attribute of 3 devices into t.csv every 0.5 s"
    assert lines[1] == lines[2] == "last 0 s: 3 devices, 0 datapoints, 0 rows, 0 requests, 2 gaps open"
