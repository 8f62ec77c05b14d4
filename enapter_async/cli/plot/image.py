"""Charts as image files (matplotlib)."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from enapter_async import MissingExtraError
from enapter_async._files import NewFile
from enapter_async.cli.plot.chart import Chart, Line

SUFFIXES: Final = (".png", ".svg")

_WIDTH: Final = 10.0  # inches
_PANEL_HEIGHT: Final = 2.8
_HEAD_HEIGHT: Final = 1.2
_DOTS_PER_INCH: Final = 150


def check_installed() -> None:
    """Check that images can be drawn.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    _matplotlib("figure")


def _matplotlib(module: str) -> Any:
    """Import a part of matplotlib when it is needed, since that takes a second. Its type annotations are incomplete."""
    try:
        return import_module(f"matplotlib.{module}")
    except ImportError as error:
        raise MissingExtraError("matplotlib", "plot") from error


def draw(chart: Chart, target: Path) -> str:
    """Write a chart to a file, which is created or replaced when the chart is complete.

    Returns:
        Characters that no installed font has, drawn as boxes.

    Raises:
        OSError: The file cannot be written.
    """
    lines = [line for lines in chart.panels for line in lines]
    families, missing = _fonts_with({*chart.title, *"".join(line.title for line in lines)})
    # Names with dollar signs are text, not formulas.
    settings = {"text.parse_math": False, "font.family": families}
    with warnings.catch_warnings(), import_module("matplotlib").rc_context(settings):
        warnings.filterwarnings("ignore", "Glyph")  # the caller reports it once
        _draw(chart, target)
    return "".join(sorted(missing))


def _fonts_with(characters: set[str]) -> tuple[list[str], set[str]]:
    """Return font families with the characters, the default one first, and the characters that no font has."""
    fonts = _matplotlib("font_manager")
    usual = fonts.findfont(fonts.FontProperties())
    missing = characters - _characters_of(usual)
    families: list[str] = [fonts.get_font(usual).family_name]
    for font in fonts.fontManager.ttflist if missing else ():
        if font.name.startswith("Last Resort"):  # it contains a box for every character
            continue
        try:
            found = missing & _characters_of(font.fname)
        except (OSError, RuntimeError):  # removed in the meantime, or in an unreadable format
            continue
        if found:
            families.append(font.name)
            missing -= found
    return families, missing


def _characters_of(font: str) -> set[str]:
    return set(map(chr, _matplotlib("font_manager").get_font(font).get_charmap()))


def _draw(chart: Chart, target: Path) -> None:
    dates = _matplotlib("dates")
    figure = _matplotlib("figure").Figure(
        figsize=(_WIDTH, _HEAD_HEIGHT + _PANEL_HEIGHT * len(chart.panels)), layout="constrained"
    )
    figure.suptitle(chart.title)
    axes = figure.subplots(len(chart.panels), 1, sharex=True, squeeze=False)[:, 0]
    number = 0
    for axis, lines in zip(axes, chart.panels, strict=True):
        for line in lines:
            _draw_line(axis, line, f"C{number}")
            number += 1
        axis.yaxis.set_major_formatter("{x:,.10g}")
        axis.grid(visible=True, alpha=0.3)
        axis.margins(x=0)
        if len(lines) > 1:
            axis.set_ylabel(lines[0].unit or "")
            # Above the chart, since inside it would hide lines.
            legend = axis.legend(
                loc="lower right", bbox_to_anchor=(1, 1), ncols=len(lines), frameon=False, borderaxespad=0.2
            )
            for text, line in zip(legend.get_texts(), lines, strict=True):
                text.set_text(line.label)
        else:
            axis.set_ylabel(lines[0].title)
    figure.align_ylabels()
    last = axes[-1]
    last.set_xlim(chart.start, chart.end)
    locator = dates.AutoDateLocator(tz=UTC)
    last.xaxis.set_major_locator(locator)
    last.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))
    last.set_xlabel("UTC")
    form = target.suffix.lower().removeprefix(".")
    with NewFile(target) as new:
        figure.savefig(new.file, format=form, dpi=_DOTS_PER_INCH, metadata={"Date": None} if form == "svg" else None)


def _draw_line(axis: Any, line: Line, color: str) -> None:
    label: str | None = "line"  # matplotlib leaves labels that begin with _ out of legends, so set the name later
    for piece in line.pieces():
        moments = [datetime.fromtimestamp(moment, UTC) for moment, _ in piece]
        values = [value for _, value in piece]
        # A point between two gaps has no line, so draw a marker.
        axis.plot(moments, values, color=color, label=label, linewidth=1.2, marker="." if len(piece) == 1 else "")
        label = None
