"""Names of any kind and values of any size in a chart."""

from __future__ import annotations

import io
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from enapter_async import Column, DataType, TimeseriesBatch
from enapter_async.cli.plot import image, terminal
from enapter_async.cli.plot.chart import Chart, Line, panels, points

START = datetime(2026, 3, 14, tzinfo=UTC)
FIRST = int(START.timestamp())


def chart_of(*labels: str, title: str = "Pump", unit: str | None = "W", values: tuple[float, ...] = (1, 2)) -> Chart:
    line = [(FIRST + number * 60, value) for number, value in enumerate(values)]
    return Chart(title, START, START + timedelta(minutes=5), panels([Line(label, unit, line) for label in labels]))


def picture(chart: Chart, tmp_path: Path) -> str:
    image.draw(chart, tmp_path / "chart.svg")
    return (tmp_path / "chart.svg").read_text("utf-8")


@pytest.mark.parametrize("name", [r"Line $\frac$ x", "Meter $1 and $2", "100 $", r"\alpha_{", "a^b_c"])
def test_dollar_signs_are_text_and_no_formula(name: str, tmp_path: Path) -> None:
    content = picture(chart_of(name, "Other", title=f"{name} title", unit=f"{name} unit"), tmp_path)
    for text in (name, f"{name} title", f"{name} unit"):
        assert f"<!-- {text} -->" in content
    assert f"<!-- {name} ({name}) -->" in picture(chart_of(name, unit=name), tmp_path)


def test_a_name_that_begins_with_an_underscore_is_in_the_legend(tmp_path: Path) -> None:
    content = picture(chart_of("_hidden", "__also", "shown"), tmp_path)
    for name in ("_hidden", "__also", "shown"):
        assert f"<!-- {name} -->" in content


def test_characters_that_no_font_has_are_told_and_warn_of_nothing(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert image.draw(chart_of("Power \U0010fffd"), tmp_path / "chart.png") == "\U0010fffd"
        assert image.draw(chart_of("Мощность", "ισχύς", "Größe"), tmp_path / "chart.png") == ""


def test_another_font_is_used_for_what_the_usual_one_lacks(tmp_path: Path) -> None:
    from matplotlib import font_manager, rc_context

    found = font_manager.findfont("DejaVu Sans Mono")
    with rc_context({"font.sans-serif": ["STIXSizeOneSym"]}):  # a font of large brackets
        assert font_manager.findfont(font_manager.FontProperties()) != found
        assert image.draw(chart_of("Мощность"), tmp_path / "chart.png") == ""


@pytest.mark.parametrize("values", [(-1e300, 1e300), (1e300, 1e300), (0, 1e-320), (1e-300, 2e-300), (-1e300, 0)])
def test_numbers_as_large_and_as_small_as_a_float_can_be(values: tuple[float, ...], tmp_path: Path) -> None:
    chart = chart_of("Power", values=values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert picture(chart, tmp_path)
        file = io.StringIO()
        terminal.draw(chart, Console(file=file, width=80, height=20))
    assert "┤" in file.getvalue()


def test_what_is_no_number_that_can_be_drawn_is_counted() -> None:
    values = [1.0, float("nan"), float("inf"), 1.7e308, -1.7e308, 10**400, None, 2]
    column = Column("pump", "power", DataType.FLOAT, {}, values)
    batch = TimeseriesBatch(list(range(len(values))), (column,))
    found, left_out = points([batch], ["power"])
    assert [value for _, value in found["power"]] == [1.0, 2.0]
    assert left_out == {"power": 5}
