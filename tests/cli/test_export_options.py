"""What `export` is asked: spans, devices, attributes; bad input is one line before anything is made."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import anyio.to_thread
import click
import pytest
from click.testing import CliRunner, Result

from enapter_async.cli.application import application
from enapter_async.cli.parameters import duration
from enapter_async.cli.span import moment
from enapter_async.simulator import Simulator

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 14, 9, 26, 53, 589_000, UTC)
MINUTE = timedelta(minutes=1)


def invoke(*arguments: str, **variables: str) -> Result:
    nothing: dict[str, str | None] = dict.fromkeys(
        ("ENAPTER_HTTP_API_TOKEN", "ENAPTER_HTTP_API_BASE_URL", "ENAPTER_HTTP_API_USER", "ENAPTER_PROFILE")
    )
    return CliRunner().invoke(
        application,
        ["export", *arguments],
        prog_name="enapter-async",
        env={**nothing, "XDG_CONFIG_HOME": "/nonexistent", **variables},
    )


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-03-01T00:00Z", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T02:00:30+02:00", datetime(2026, 3, 1, 0, 0, 30, tzinfo=UTC)),
        ("now", NOW.replace(second=0, microsecond=0)),
        ("30d", datetime(2026, 2, 12, 9, 26, tzinfo=UTC)),
        ("1h30m", datetime(2026, 3, 14, 7, 56, tzinfo=UTC)),
        ("90", datetime(2026, 3, 14, 9, 25, tzinfo=UTC)),
    ],
)
def test_times(text: str, at: datetime) -> None:
    assert moment(text).resolve(NOW, MINUTE) == at


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2026-03-14", "'2026-03-14' has no time zone; write 2026-03-14T00:00Z for UTC"),
        ("2026-03-14T09:26", "'2026-03-14T09:26' has no time zone; write 2026-03-14T09:26Z for UTC"),
        ("yesterday", "'yesterday' is not a time; write 2026-03-14T09:26Z, or how long ago: 30d, 12h, now"),
        ("", "'' is not a time"),
        ("٣٠d", "is not a time"),
        ("1714000000", "'1714000000' is ambiguous; write 2026-03-14T09:26Z, or how long ago: 1714000000s"),
        ("1714000000.5", "is ambiguous"),
        ("1714000000000", "is ambiguous"),
        ("2026", "is ambiguous"),
        ("20260314", "is ambiguous"),
        ("1M", "'1M' is ambiguous: m is minutes, and there is no unit for months"),
    ],
)
def test_what_is_no_time(text: str, message: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        moment(text)
    assert message in caught.value.message


@pytest.mark.parametrize("text", ["9999999d", "99999999999999999999d"])
def test_before_all_times(text: str) -> None:
    with pytest.raises(click.BadParameter, match="before all times"):
        moment(text).resolve(NOW, MINUTE)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "Missing option '--to'"),
        (["--to", "history.txt"], 2, ".parquet, .csv or .jsonl, or be postgresql://...; otherwise, set --format"),
        (["--to", "h.csv", "--format", "xml"], 2, "--format"),
        (["--to", "h.csv", "--from", "monday"], 2, "'monday' is not a time"),
        (["--to", "h.csv", "--until", "2026-03-14"], 2, "has no time zone"),
        (["--to", "h.csv", "--granularity", "1ms"], 2, "too short; the minimum is 1 s"),
        (["--to", "h.csv", "--granularity", "1M"], 2, "'1M' is ambiguous: m is minutes"),
        (["--to", "h.csv", "--window", "2h30M"], 2, "is ambiguous"),
        (["--to", "h.csv", "--from", "1714000000"], 2, "is ambiguous"),
        (
            ["--to", "h.csv", "--attribute", "a", "--attributes", "all"],
            2,
            "--attribute and --attributes cannot be used together",
        ),
        (["--to", "h.csv", "--aggregation", "median"], 2, "--aggregation"),
        (["--to", "h.csv", "--concurrency", "0"], 2, "--concurrency"),
        (["--to", "h.csv", "--rate-limit", "3"], 2, "--rate-limit is for the simulator: add --simulate N"),
        (["--to", "h.csv"], 3, "ENAPTER_HTTP_API_TOKEN is not set"),
        (["--to", "no/h.csv", "--simulate", "1"], 7, "no; create it first"),
    ],
)
def test_wrong_usage(
    arguments: list[str], code: int, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert len(result.stderr.splitlines()) == 1
    assert text in result.stderr
    assert not list(tmp_path.iterdir())


def test_parquet_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "enapter_async.rows.parquet", raising=False)
    monkeypatch.delitem(sys.modules, "enapter_async.exporter._parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = invoke("--to", str(tmp_path / "history.parquet"), "--simulate", "1")
    assert result.exit_code == 1
    assert result.stderr == "enapter-async: pyarrow is not installed: pip install 'enapter-async[arrow]'\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--device", "toaster"], 5, "the token cannot see device 'toaster'"),
        (["--device", "battery-1", "--attribute", "powr"], 5, "Battery 1 has no telemetry attribute 'powr'; it has "),
        (["--attribute", "powr"], 5, "the token can see 8 devices, none with an attribute powr"),
        (["--from", "1d", "--until", "2d"], 2, "2d is not later than --from 1d"),
        (["--granularity", "1.5"], 2, "granularity: must be a whole number of seconds"),
    ],
)
async def test_what_is_not_there(arguments: list[str], code: int, text: str, tmp_path: Path) -> None:
    async with Simulator(devices=8) as sim:
        server = {"ENAPTER_HTTP_API_TOKEN": sim.token, "ENAPTER_HTTP_API_BASE_URL": sim.url}
        target = str(tmp_path / "history.csv")
        result = await anyio.to_thread.run_sync(partial(invoke, "--to", target, *arguments, **server))
    assert (result.exit_code, result.stdout) == (code, "")
    assert text in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1M", "'1M' is ambiguous: m is minutes, and there is no unit for months"),
        ("1h5M", "is ambiguous"),
        ("٣٠", "is not a duration"),
        ("9" * 400, "is too long"),
    ],
)
def test_what_is_no_length_of_time_or_could_be_two(text: str, message: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        duration(0)(text)
    assert message in caught.value.message


@pytest.mark.parametrize(("text", "seconds"), [("1H", 3_600), ("2D", 172_800), ("90", 90), ("1m", 60)])
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert duration(0)(text) == seconds
