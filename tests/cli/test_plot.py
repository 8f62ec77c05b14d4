"""`enapter-async plot`: what users see, in the terminal and as a picture, and how it fails."""

from __future__ import annotations

import struct
import sys
from functools import partial
from pathlib import Path

import anyio.to_thread
import pytest
from click.testing import CliRunner, Result

from enapter_async.cli.application import application
from enapter_async.simulator import Simulator

pytestmark = pytest.mark.anyio

SPAN = ("--from", "2026-03-14T00:00Z", "--until", "2026-03-15T00:00Z")


def invoke(*arguments: str, **variables: str) -> Result:
    nothing: dict[str, str | None] = dict.fromkeys(
        ("ENAPTER_HTTP_API_TOKEN", "ENAPTER_HTTP_API_BASE_URL", "ENAPTER_HTTP_API_USER", "ENAPTER_PROFILE")
    )
    environment = {**nothing, "XDG_CONFIG_HOME": "/nonexistent", "COLUMNS": "80", "LINES": "40", **variables}
    return CliRunner().invoke(application, ["plot", *arguments], prog_name="enapter-async", env=environment)


async def plotted(*arguments: str, **variables: str) -> Result:
    async with Simulator(devices=8) as sim:
        server = {"ENAPTER_HTTP_API_TOKEN": sim.token, "ENAPTER_HTTP_API_BASE_URL": sim.url, **variables}
        return await anyio.to_thread.run_sync(partial(invoke, *arguments, **server))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "chart"


async def test_in_the_terminal() -> None:
    result = await plotted("battery-1", "soc", "power", *SPAN)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "Battery 1, 2026-03-14 00:00 to 2026-03-15 00:00 UTC"
    first, second = (lines.index(next(line for line in lines if line.endswith(end))) for end in ("(%)", "(W)"))
    assert lines[first].strip() == "State of charge (%)"
    assert lines[second].strip() == "Power (W)"
    for panel in (lines[first + 1 : second - 1], lines[second + 1 :]):
        *rows, axis, times = panel
        assert 6 <= len(rows) <= 20
        assert all(line[axis.index("└")] in "┤│" for line in rows)
        assert [line for line in rows if any("\N{BRAILLE PATTERN BLANK}" < letter <= "⣿" for letter in line)]
        assert times.split() == ["Mar", "14", "06:00", "12:00", "18:00", "Mar", "15"]
    assert max(map(len, lines)) <= 80


async def test_lines_that_could_not_be_told_apart_without_colors_stand_apart() -> None:
    result = await plotted("battery-1", "soc", "soh", *SPAN, NO_COLOR="1")
    titles = [line.strip() for line in result.stdout.splitlines() if line.endswith("(%)")]
    assert titles == ["State of charge (%)", "State of health (%)"]


@pytest.mark.parametrize("panels", [["soc"], ["soc", "soh"], ["soc", "power", "voltage"]])
async def test_as_png(panels: list[str], target: Path) -> None:
    picture = target.with_suffix(".png")
    result = await plotted("battery-1", *panels, *SPAN, "--output", str(picture))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{picture}: ")
    content = picture.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    assert width == 1500
    assert height == 180 + 420 * (1 if len(panels) < 3 else 3)
    assert [path.name for path in target.parent.iterdir()] == ["chart.png"]


async def test_as_svg(target: Path) -> None:
    picture = target.with_suffix(".svg")
    picture.write_text("an older one")
    result = await plotted("battery-1", "soc", "soh", "power", *SPAN, "-o", str(picture))
    assert result.exit_code == 0
    content = picture.read_text()
    # matplotlib draws text as shapes, each under a comment with its words.
    for words in ("Battery 1", "State of charge", "State of health", "%", "Power (W)", "UTC", "06:00"):
        assert f"<!-- {words} -->" in content


async def test_a_longer_span_has_longer_steps(target: Path) -> None:
    counts = []
    for span in ("1h", "1d", "30d"):
        result = await plotted("battery-1", "power", "--from", span, "-o", str(target.with_suffix(".png")))
        counts.append(int(result.stdout.split()[-2].replace(",", "")))
    assert all(150 <= count <= 500 for count in counts), counts


async def test_steps_as_asked(target: Path) -> None:
    asked = ("--granularity", "1h", "--aggregation", "max", "-o", str(target.with_suffix(".png")))
    result = await plotted("battery-1", "power", *SPAN, *asked)
    assert result.stdout.endswith(": 24 points\n")


async def test_booleans_are_drawn() -> None:
    result = await plotted("Electrolyser 1", "dryer_on", *SPAN)
    assert result.exit_code == 0
    assert "Electrolyser 1" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["battery-1"], 2, "Missing argument"),
        (["toaster", "power"], 5, "the token cannot see device 'toaster'"),
        (["battery-1", "powr"], 5, "Battery 1 has no telemetry attribute 'powr'; it has "),
        (["battery-1", "status"], 2, "status cannot be drawn: its values are of type string, not numbers"),
        (["battery-1", "power", "--from", "1h", "--until", "2h"], 2, "2h is not later than --from 1h"),
        (["battery-1", "power", "--from", "365d", "--granularity", "1s"], 2, "points are more than a chart can show"),
        (["battery-1", "power", "-o", "chart.pdf"], 2, "chart.pdf must end in .png or .svg"),
        (["battery-1", "power", "-o", "no/chart.png"], 7, "No such file or directory"),
        (["electrolyser-1", "board_temperature"], 5, "Electrolyser 1 has no value of board_temperature from "),
    ],
)
async def test_what_cannot_be_drawn(
    arguments: list[str], code: int, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = await plotted(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert text in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


async def test_one_attribute_of_several_has_no_value() -> None:
    result = await plotted("electrolyser-1", "board_temperature", "power", *SPAN)
    assert result.exit_code == 0
    assert result.stderr == "enapter-async: no value of board_temperature in this time range\n"
    assert "Power (W)" in result.stdout


@pytest.mark.parametrize(
    ("module", "arguments"), [("plotille", []), ("matplotlib", ["-o", "chart.png"]), ("matplotlib", ["-o", "a.svg"])]
)
def test_without_the_extra_it_says_what_to_install(
    module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == module:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    result = invoke("battery-1", "power", *arguments)
    assert result.exit_code == 1
    assert result.stderr == f"enapter-async: {module} is not installed: pip install 'enapter-async[plot]'\n"
