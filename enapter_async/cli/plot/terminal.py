"""Charts as text: lines of braille dots (plotille), and axes of box-drawing characters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from enapter_async import MissingExtraError
from enapter_async.cli.plot.chart import Chart, Line
from enapter_async.cli.plot.ticks import time_ticks, value_labels, value_ticks

_COLORS: Final = ("cyan", "yellow", "magenta", "green", "red", "blue")
_LEAST_ROWS: Final = 6
_MOST_ROWS: Final = 20
_LEAST_COLUMNS: Final = 20
_COLUMNS_BETWEEN_TIMES: Final = 12
_ROWS_BETWEEN_VALUES: Final = 3


def check_installed() -> None:
    """Check that charts can be drawn in the terminal.

    Raises:
        MissingExtraError: plotille is not installed.
    """
    _plotille()


def _plotille() -> Any:
    try:
        return import_module("plotille")
    except ImportError as error:
        raise MissingExtraError("plotille", "plot") from error


def has_colors(console: Console) -> bool:
    """Return whether colours can distinguish lines."""
    return console.color_system is not None and not console.no_color


def draw(chart: Chart, console: Console) -> None:
    """Print a chart, as wide as the console."""
    span = f"{chart.start:%Y-%m-%d %H:%M} to {chart.end:%Y-%m-%d %H:%M} UTC"
    console.print(Text(f"{chart.title}, {span}", style="bold"), soft_wrap=True)
    room = (console.height - 2) // len(chart.panels) - 4
    rows = max(_LEAST_ROWS, min(_MOST_ROWS, room))
    for lines in chart.panels:
        console.print()
        for text in _panel(chart, lines, console, rows):
            console.print(text, soft_wrap=True)


def _panel(chart: Chart, lines: Sequence[Line], console: Console, rows: int) -> Iterator[Text]:
    values = [value for line in lines for _, value in line.points]
    ticks = value_ticks(min(values), max(values), max(1, rows // _ROWS_BETWEEN_VALUES))
    labels = value_labels(ticks)
    margin = max(map(len, labels)) + 1
    columns = max(_LEAST_COLUMNS, console.width - margin - 2)
    start, end = chart.start.timestamp(), chart.end.timestamp()
    colored = has_colors(console)

    # The last dot, not the one after it, is the end of an axis.
    low, high = ticks[0], ticks[-1]
    canvas: Any = _plotille().Canvas(
        columns,
        rows,
        xmin=start,
        xmax=start + (end - start) * columns * 2 / (columns * 2 - 1),
        ymin=low,
        ymax=low + (high - low) * rows * 4 / (rows * 4 - 1),
        mode="names",
    )
    legend = Text(" " * margin)
    for number, line in enumerate(lines):
        color = _COLORS[number % len(_COLORS)] if colored else None
        _draw_line(canvas, line, color)
        legend.append("  " if number else "")
        legend.append("━ " if colored else "", style=color or "")
        legend.append(line.title)
    yield legend

    at_row = {
        rows - 1 - round((tick - low) / (high - low) * (rows * 4 - 1)) // 4: label
        for tick, label in zip(ticks, labels, strict=True)
    }
    for row, dots in enumerate(canvas.plot(linesep="\n").split("\n")):
        label = at_row.get(row)
        axis = Text(f"{label or '':>{margin - 1}} {'┤' if label else '│'}")
        yield axis + Text.from_ansi(dots.replace("\N{BRAILLE PATTERN BLANK}", " "))
    yield from _time_axis(start, end, columns, margin)


def _draw_line(canvas: Any, line: Line, color: str | None) -> None:
    for piece in line.pieces():
        before = piece[0]
        canvas.point(*before, color=color)
        for point in piece[1:]:
            canvas.line(*before, *point, color=color)
            before = point


def _time_axis(start: float, end: float, columns: int, margin: int) -> Iterator[Text]:
    ticks, labels = time_ticks(start, end, columns // _COLUMNS_BETWEEN_TIMES)
    axis = ["─"] * columns
    below = [" "] * (margin + 1 + columns + 1)
    free = 0
    for tick, label in zip(ticks, labels, strict=True):
        column = min(round((tick - start) / (end - start) * (columns - 1)), columns - 1)
        axis[column] = "┬"
        begin = min(max(margin + 1 + column - len(label) // 2, free), len(below) - len(label))
        if begin >= free:
            below[begin : begin + len(label)] = label
            free = begin + len(label) + 1
    yield Text(f"{'':{margin}}└{''.join(axis)}")
    yield Text("".join(below).rstrip())
