"""Where marks and lines of a chart stand."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from enapter_async.cli.plot import terminal
from enapter_async.cli.plot.chart import Chart, Line, Point, panels
from enapter_async.cli.plot.ticks import time_ticks, value_labels, value_ticks

START = datetime(2026, 3, 14, tzinfo=UTC)
FIRST = int(START.timestamp())
BLANK = "\N{BRAILLE PATTERN BLANK}"


def drawn(*lines: Line, color: bool = False, width: int = 60, hours: int = 10) -> list[str]:
    file = io.StringIO()
    console = Console(
        file=file, width=width, height=20, force_terminal=color, color_system="truecolor" if color else None
    )
    chart = Chart("Pump", START, START + timedelta(hours=hours), panels(lines, apart=not color))
    terminal.draw(chart, console)
    return file.getvalue().splitlines()


def dots(lines: list[str]) -> list[str]:
    """What is right of the axis."""
    return [line[line.index("┤" if "┤" in line else "│") + 1 :] for line in lines if "┤" in line or "│" in line]


def hourly(*values: float) -> list[Point]:
    return [(FIRST + number * 3_600, value) for number, value in enumerate(values)]


def test_a_rising_line_goes_from_the_lower_left_to_the_upper_right() -> None:
    rows = dots(drawn(Line("Power", "W", hourly(*range(11)))))
    columns = [next(place for place, letter in enumerate(row) if letter not in f" {BLANK}") for row in rows]
    assert columns == sorted(columns, reverse=True)
    assert columns[-1] == 0
    assert len(rows[0].rstrip()) == len(rows[0]) == 60 - len("10.0 ┤") - 1


def test_marks_stand_at_the_height_of_their_values() -> None:
    shown = drawn(Line("Power", "W", hourly(0, 100, 0, 50, 50, 50, 50, 50, 50, 50, 50)))
    marks = {line.split("┤")[0].strip(): number for number, line in enumerate(shown) if "┤" in line}
    assert list(marks) == ["100", "75", "50", "25", "0"]
    assert marks["0"] - marks["50"] == pytest.approx(marks["50"] - marks["100"], abs=1)
    right_end = [
        number for number, line in enumerate(shown) if "┤" in line or ("│" in line and line[-1] not in f" {BLANK}")
    ]
    assert marks["50"] in right_end


def test_nothing_is_drawn_where_nothing_is_known() -> None:
    known = [point for point in hourly(*[5.0] * 11) if not 3 <= (point[0] - FIRST) / 3_600 <= 7]
    line = Line("Power", "W", known)
    assert [len(piece) for piece in line.pieces()] == [3, 3]
    (row,) = [row for row in dots(drawn(line)) if row.strip(f" {BLANK}")]
    middle = row[len(row) * 3 // 10 : len(row) * 7 // 10]
    assert not middle.strip(f" {BLANK}")
    assert row[:5].strip(f" {BLANK}")


@pytest.mark.parametrize("points", [[], hourly(1), hourly(1, 2), hourly(*range(20))])
def test_pieces_have_every_point_once(points: list[Point]) -> None:
    assert [point for piece in Line("", None, points).pieces() for point in piece] == points


def test_one_value_and_one_that_never_changes_are_drawn() -> None:
    for values in ([0.0], [230.0] * 5, [-1e12], [1e-9, 1e-9]):
        shown = drawn(Line("Power", None, hourly(*values)))
        assert any(row.strip(f" {BLANK}") for row in dots(shown))
        assert shown[2].strip() == "Power"


def test_colors_tell_lines_of_one_unit_apart() -> None:
    lines = [Line("Charge", "%", hourly(1, 2)), Line("Health", "%", hourly(3, 4)), Line("Power", "W", hourly(5, 6))]
    colored = "\n".join(drawn(*lines, color=True))
    assert colored.count("└") == 2
    assert "\x1b[36m" in colored
    assert "\x1b[33m" in colored
    plain = "\n".join(drawn(*lines))
    assert plain.count("└") == 3
    assert "\x1b" not in plain


@pytest.mark.parametrize("width", [10, 30, 200])
def test_a_terminal_of_any_width(width: int) -> None:
    shown = drawn(Line("Power", "W", hourly(*range(11))), width=width)
    assert max(map(len, shown[3:])) <= max(width, 30)


@given(st.floats(-1e12, 1e12), st.floats(-1e12, 1e12), st.integers(1, 12))
@example(0.0, 5e-324, 1)
@example(-1e-300, 1e-200, 12)
def test_marks_of_values_are_round_few_and_around_all_of_them(one: float, other: float, most: int) -> None:
    low, high = sorted((one, other))
    ticks = value_ticks(low, high, most)
    room = max(high - low, abs(low), abs(high)) * 1e-6
    assert ticks[0] <= low + room
    assert ticks[-1] >= high - room
    assert 2 <= len(ticks) <= max(most, 2) + 1
    steps = [after - before for before, after in pairwise(ticks)]
    assert min(steps) == pytest.approx(max(steps), rel=1e-3)


@pytest.mark.parametrize(
    ("low", "high", "most", "labels"),
    [
        (0, 100, 4, ["0", "25", "50", "75", "100"]),
        (3, 19_350, 4, ["0", "5,000", "10,000", "15,000", "20,000"]),
        (-0.02, 0.03, 5, ["-0.02", "-0.01", "0.00", "0.01", "0.02", "0.03"]),
        (0, 9, 4, ["0.0", "2.5", "5.0", "7.5", "10.0"]),
        (230, 230, 4, ["226", "228", "230", "232", "234"]),
        (0, 4e12, 2, ["0", "2e+12", "4e+12"]),
    ],
)
def test_values_at_marks(low: float, high: float, most: int, labels: list[str]) -> None:
    assert value_labels(value_ticks(low, high, most)) == labels


@pytest.mark.parametrize(
    ("seconds", "most", "labels"),
    [
        (60, 6, ["Mar 14", "00:00:10", "00:00:20", "00:00:30", "00:00:40", "00:00:50", "00:01:00"]),
        (3_600, 4, ["Mar 14", "00:15", "00:30", "00:45", "01:00"]),
        (86_400, 4, ["Mar 14", "06:00", "12:00", "18:00", "Mar 15"]),
        (7 * 86_400, 4, ["Mar 14", "Mar 16", "Mar 18", "Mar 20"]),
    ],
)
def test_times_at_marks(seconds: int, most: int, labels: list[str]) -> None:
    assert time_ticks(FIRST, FIRST + seconds, most)[1] == labels


@given(st.integers(0, 2**32), st.integers(1, 2**30), st.integers(1, 20))
def test_marks_of_times_are_in_the_span(start: int, seconds: int, most: int) -> None:
    ticks, labels = time_ticks(start, start + seconds, most)
    assert all(start <= tick <= start + seconds for tick in ticks)
    assert len(ticks) == len(labels) <= most + 1
