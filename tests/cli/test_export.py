"""`enapter-async export` as users run it: what it writes, and that no end of it loses or doubles a row."""

from __future__ import annotations

import csv
import json
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import attrs
import pyarrow.parquet as parquet
import pytest
from commands import Ended, begin, check_clean, end, watch_terminal

from enapter_async import EnapterClient, Series, TimeseriesQuery
from enapter_async.simulator import Fault, Simulator

pytestmark = pytest.mark.anyio

START = datetime(2026, 3, 14, tzinfo=UTC)
SPAN = ("--from", "2026-03-14T00:00Z", "--until", "2026-03-15T00:00Z")
PARTS = 48
"""Of the span, where `--window 30m` is given and there are at most ten devices."""


@attrs.frozen
class Place:
    """A simulator, and commands that use it."""

    sim: Simulator

    async def do(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await anyio.to_thread.run_sync(partial(work, *arguments))

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return begin(
            "export",
            *arguments,
            ENAPTER_HTTP_API_TOKEN=self.sim.token,
            ENAPTER_HTTP_API_BASE_URL=self.sim.url,
        )

    async def export(self, *arguments: str) -> Ended:
        return await self.do(lambda: end(self.begin(*arguments)))


def finished_parts(target: Path) -> int:
    try:
        return (target.with_name(f"{target.name}.partial") / "finished.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def wait_for_parts(target: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 20
    while finished_parts(target) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextmanager
def answering(sim: Simulator, count: int) -> Iterator[None]:
    """Have only so many queries answered within a block: no export is then at its end before it is stopped."""
    sim.faults.on("queryTimeseries", Fault.hang(100), nth=range(count + 1, 1_000))
    try:
        yield
    finally:
        sim.faults.clear()


def csv_rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def json_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def parquet_rows(path: Path) -> list[dict[str, Any]]:
    return parquet.ParquetFile(path).read().to_pylist()


def only_file(target: Path) -> bool:
    return [path.name for path in target.parent.iterdir()] == [target.name]


@pytest.mark.parametrize("name", ["history.csv", "history.jsonl", "history.parquet"])
async def test_an_export_killed_five_times_equals_one_that_was_not(tmp_path: Path, name: str) -> None:
    chance = random.Random(name)
    arguments = (*SPAN, "--window", "30m", "--concurrency", "3", "--to")
    whole, killed = tmp_path / "whole" / name, tmp_path / "killed" / name
    whole.parent.mkdir()
    killed.parent.mkdir()

    def kill_at_random(place: Place) -> None:
        count = chance.randint(1, 5)
        with answering(place.sim, count + 4):
            process = place.begin(*arguments, str(killed))
            wait_for_parts(killed, finished_parts(killed) + count, process)
            time.sleep(chance.uniform(0, 0.02))
            assert process.poll() is None
            process.kill()
            end(process)
        assert not killed.exists()
        assert 0 < finished_parts(killed) < PARTS

    async with Simulator(devices=4, latency=0.01) as sim:
        place = Place(sim)
        for _ in range(5):
            await place.do(kill_at_random, place)
        done, before = finished_parts(killed), len(sim.requests_of("queryTimeseries"))
        resumed = await place.export(*arguments, str(killed))
        asked = len(sim.requests_of("queryTimeseries")) - before
        straight = await place.export(*arguments, str(whole))
    assert (resumed.code, straight.code) == (0, 0)
    check_clean(resumed)
    assert asked == PARTS - done
    assert len(killed.read_bytes()) > 1_000
    if name.endswith(".parquet"):
        assert parquet_rows(killed) == parquet_rows(whole)
    else:
        assert sorted(killed.read_bytes().splitlines()) == sorted(whole.read_bytes().splitlines())
    assert killed.read_bytes() == whole.read_bytes()
    assert only_file(killed)
    assert only_file(whole)


async def test_every_format_has_every_value_of_the_history(tmp_path: Path) -> None:
    targets = [tmp_path / name for name in ("history.csv", "history.jsonl", "history.parquet")]
    async with Simulator(devices=4) as sim:
        for target in targets:
            ended = await Place(sim).export(
                "--from", "2026-03-14T00:00Z", "--until", "2026-03-14T02:00:30Z", "--to", str(target)
            )
            assert ended.code == 0, ended.stderr
            assert "reading" not in ended.stderr
        expected = await _history(sim)
    table, lines, rows = csv_rows(targets[0]), json_rows(targets[1]), parquet_rows(targets[2])
    assert f"{len(expected):,} rows" in ended.stdout
    assert table[0] == ["device_id", "attribute", "time", "value", "text", "unit"]
    assert [
        (when, device, name, float(value), unit or None)
        for device, name, when, value, text, unit in table[1:]
        if not text
    ] == expected
    assert [
        tuple(line[name] for name in ("time", "device_id", "attribute", "value", "unit")) for line in lines
    ] == expected
    assert {line["text"] for line in lines} == {row["text"] for row in rows} == {None}
    assert [list(line) for line in lines[:1]] == [table[0]]
    assert [
        (
            row["time"].replace(tzinfo=None).isoformat() + "Z",
            row["device_id"],
            row["attribute"],
            row["value"],
            row["unit"],
        )
        for row in rows
    ] == expected


async def _history(sim: Simulator) -> list[tuple[str, str, str, Any, str | None]]:
    """Read the same history with one request."""
    async with EnapterClient(base_url=sim.url, token=sim.token) as client:
        declared = {
            device.id: device.manifest.numeric_telemetry()
            async for device in client.devices.list(expand={"manifest"})
            if device.manifest is not None
        }
        table = await client.telemetry.query_timeseries(
            TimeseriesQuery(
                start=START,
                end=START + timedelta(hours=2, seconds=30),
                granularity=60,
                series=[Series(device, list(names)) for device, names in declared.items()],
            )
        )
    return [
        (
            row.timestamp.replace(tzinfo=None).isoformat() + "Z",
            column.device,
            column.attribute,
            value,
            declared[column.device][column.attribute].unit,
        )
        for row in table.rows()
        for column, value in zip(table.columns, row.values, strict=True)
        if value is not None
    ]


async def test_values_that_are_no_numbers_keep_their_kind(tmp_path: Path) -> None:
    asked = [text for name in ("status", "dryer_on", "active_modules", "power") for text in ("--attribute", name)]
    targets = [tmp_path / name for name in ("history.csv", "history.jsonl", "history.parquet")]
    async with Simulator(devices=8) as sim:
        for target in targets:
            ended = await Place(sim).export("--device", "electrolyser-1", *asked, *SPAN, "--to", str(target))
            assert ended.code == 0, ended.stderr
    table = {(when, name): (value, text) for _, name, when, value, text, _ in csv_rows(targets[0])[1:]}
    lines, rows = json_rows(targets[1]), parquet_rows(targets[2])
    assert {line["attribute"] for line in lines} == {"status", "dryer_on", "active_modules", "power"}
    assert len(table) == len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        value, text = line["value"], line["text"]
        assert table[line["time"], line["attribute"]] == ("" if value is None else repr(value), text or "")
        assert (row["value"], row["text"]) == (value, text)
        if line["attribute"] == "status":
            assert (value, text) == (None, str(text))
        elif line["attribute"] == "active_modules":
            assert value is None
            assert isinstance(json.loads(text), list)
        else:
            assert isinstance(value, float)
            assert text is None
    assert {line["value"] for line in lines if line["attribute"] == "dryer_on"} == {0.0, 1.0}


async def test_devices_by_slug_and_by_name(tmp_path: Path) -> None:
    async with Simulator(devices=8) as sim:
        ended = await Place(sim).export(
            *("--device", "battery-1", "--device", "inverter 1", "--attribute", "power", "--attribute", "voltage"),
            *(*SPAN, "--granularity", "1h", "--aggregation", "max", "--to", str(tmp_path / "history.jsonl")),
        )
    assert ended.code == 0, ended.stderr
    rows = json_rows(tmp_path / "history.jsonl")
    assert len(rows) == 2 * 2 * 24
    assert len({row["device_id"] for row in rows}) == 2


async def test_limits_and_failures_leave_no_mark_on_the_file(tmp_path: Path) -> None:
    arguments = (*SPAN, "--window", "2h", "--simulate", "12", "--seed", "4", "--to")

    def both() -> tuple[Ended, Ended]:
        calm = end(begin("export", *arguments, str(tmp_path / "calm.csv")))
        rough = begin("export", *arguments, str(tmp_path / "rough.csv"), "--rate-limit", "40", "--fault-rate", "0.2")
        return calm, end(rough)

    calm, rough = await anyio.to_thread.run_sync(both)
    assert (calm.code, rough.code) == (0, 0), rough.stderr
    check_clean(rough)
    assert (tmp_path / "calm.csv").read_bytes() == (tmp_path / "rough.csv").read_bytes()


@pytest.mark.parametrize("name", ["history.csv", "history.parquet"])
async def test_ctrl_c_ends_it_and_the_same_command_goes_on_with_the_same_span(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    arguments = ("--from", "4h", "--granularity", "1s", "--window", "5m", "--device", "battery-1", "--to", str(target))

    def interrupt(place: Place) -> Ended:
        with answering(place.sim, 3):
            process = place.begin(*arguments)
            wait_for_parts(target, 3, process)
            process.send_signal(signal.SIGINT)
            return end(process)

    async with Simulator(devices=8) as sim:
        place = Place(sim)
        stopped = await place.do(interrupt, place)
        assert stopped.code == 130
        assert stopped.error == "enapter-async: stopped; repeat the command to resume"
        check_clean(stopped)
        assert not target.exists()
        assert not list(tmp_path.rglob("*.tmp"))
        kept = json.loads((tmp_path / f"{name}.partial" / "export.json").read_text())
        assert (await place.export(*arguments)).code == 0
    if name.endswith(".csv"):
        times = [datetime.fromisoformat(row[2]) for row in csv_rows(target)[1:]]
    else:
        times = [row["time"] for row in parquet_rows(target)]
    assert min(times) == datetime.fromisoformat(kept["start"])
    assert max(times) == datetime.fromisoformat(kept["end"]) - timedelta(seconds=1)
    assert only_file(target)


async def test_another_question_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "history.csv"

    def interrupt(place: Place) -> None:
        with answering(place.sim, 4):
            process = place.begin(*SPAN, "--window", "30m", "--to", str(target))
            wait_for_parts(target, 4, process)
            process.send_signal(signal.SIGINT)
            end(process)

    async with Simulator(devices=2) as sim:
        await anyio.to_thread.run_sync(interrupt, Place(sim))
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        ended = await Place(sim).export(*SPAN, "--window", "1h", "--to", str(target))
    assert ended.code == 2
    assert ended.error == (
        f"enapter-async: window: {target}.partial was begun with 1800, not with 3600; repeat the first request to"
        " resume it, choose another file, or remove the folder to start over"
    )
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


async def test_two_at_a_time_do_not_write_one_file(tmp_path: Path) -> None:
    target = tmp_path / "history.csv"
    arguments = (*SPAN, "--window", "30m", "--to", str(target))

    def both(place: Place) -> tuple[Ended, Ended]:
        first = place.begin(*arguments)
        wait_for_parts(target, 1, first)
        first.send_signal(signal.SIGSTOP)  # it must not end before the second one has looked
        second = end(place.begin(*arguments))
        first.send_signal(signal.SIGCONT)
        return end(first), second

    async with Simulator(devices=2, latency=0.15) as sim:
        first, second = await Place(sim).do(both, Place(sim))
    assert first.code == 0
    assert second.code == 7
    assert second.error == f"enapter-async: {target}: another process exports to it now"


async def test_a_server_that_goes_away_ends_it_with_what_is_finished(tmp_path: Path) -> None:
    target = tmp_path / "history.csv"
    arguments = (*SPAN, "--window", "30m", "--concurrency", "1", "--to", str(target))
    async with Simulator(devices=2, latency=0.05) as sim:
        process = Place(sim).begin(*arguments)
        await anyio.to_thread.run_sync(wait_for_parts, target, 3, process)
        sim.grants[sim.token].expired = True
        ended = await anyio.to_thread.run_sync(end, process)
        assert ended.code == 4
        assert "check ENAPTER_HTTP_API_TOKEN with `enapter-async doctor`" in ended.error
        check_clean(ended)
        assert not target.exists()
        assert finished_parts(target) >= 3
        sim.grants[sim.token].expired = False
        assert (await Place(sim).export(*arguments)).code == 0
    assert only_file(target)


async def test_progress_on_a_terminal_has_rows_percent_and_time_left(tmp_path: Path) -> None:
    def watch(place: Place) -> str:
        return watch_terminal(
            "export", *SPAN, "--window", "30m", "--concurrency", "2", "--to", str(tmp_path / "h.csv"),
            ENAPTER_HTTP_API_TOKEN=place.sim.token, ENAPTER_HTTP_API_BASE_URL=place.sim.url,
        )  # fmt: skip

    async with Simulator(devices=2, latency=0.05) as sim:
        shown = await Place(sim).do(watch, Place(sim))
    states = re.findall(r"reading \S* +(\d+)% ([\d,]+) rows (\S+)", shown)
    percents = [int(percent) for percent, _, _ in states]
    assert percents == sorted(percents)
    assert any(0 < percent < 100 for percent in percents)
    assert any(int(rows.replace(",", "")) > 0 for _, rows, _ in states)
    assert any(re.fullmatch(r"\d+:\d\d:\d\d", left) for *_, left in states)


async def test_all_attributes_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "history.jsonl"
    link.symlink_to(tmp_path / "disk" / "march.jsonl")
    async with Simulator(devices=8) as sim:
        ended = await Place(sim).export(*SPAN, "--attributes", "all", "--granularity", "1h", "--to", str(link))
    assert ended.code == 0, ended.stderr
    assert link.is_symlink()
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["march.jsonl"]
    texts = {row["attribute"]: row["text"] for row in json_rows(link) if row["value"] is None}
    assert {"alerts", "status"} <= texts.keys()


async def test_a_device_that_was_deleted_meanwhile_is_named(tmp_path: Path) -> None:
    arguments = (*SPAN, "--window", "6h", "--concurrency", "1", "--to", str(tmp_path / "history.csv"))
    async with Simulator(devices=2) as sim:
        place, doomed = Place(sim), next(iter(sim.world.devices))
        sim.faults.on("queryTimeseries", Fault.answer(403), nth=range(3, 100))
        assert (await place.export(*arguments)).code == 4
        sim.faults.clear()
        sim.world.devices.remove(doomed)
        ended = await place.export(*arguments)
    assert ended.code == 0, ended.stderr
    assert f"  deleted       {doomed} (rows up to then are in the file)\n" in f"{ended.stdout}\n"
