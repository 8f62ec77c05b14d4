"""The content of a chart, independent of how it is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Final, TypeAlias

import attrs

from enapter_async import DataType, TimeseriesBatch
from enapter_async.cli.exits import Exit, Failure

Point: TypeAlias = tuple[int, float]
"""Unix seconds and a value."""

_NUMBERS: Final = frozenset({DataType.FLOAT, DataType.INTEGER, DataType.BOOLEAN})
_LARGEST: Final = 1e300
"""Largest number to draw. Axes need room above it, and floats end at 1.8e308."""
_GAP: Final = 3
"""Factor of the usual distance between two points. No line is drawn across a larger distance."""


@attrs.frozen
class Line:
    """The line of an attribute.

    Attributes:
        label: Human-readable name.
        unit: Unit of the values.
        points: Values in time order.
    """

    label: str
    unit: str | None
    points: Sequence[Point]

    @property
    def title(self) -> str:
        """Label and unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def pieces(self) -> list[Sequence[Point]]:
        """Return the pieces of the line. Points on either side of a gap are in different pieces."""
        usual = median(after[0] - before[0] for before, after in pairwise(self.points)) if len(self.points) > 1 else 0
        cuts = [
            place
            for place, (before, after) in enumerate(pairwise(self.points), start=1)
            if after[0] - before[0] > _GAP * usual
        ]
        return [self.points[start:stop] for start, stop in pairwise([0, *cuts, len(self.points)])]


@attrs.frozen
class Chart:
    """Lines over a time range, grouped by unit.

    Attributes:
        title: Title of the chart.
        start: Where the time axis begins.
        end: Where it ends.
        panels: Lines that share a vertical axis.
    """

    title: str
    start: datetime
    end: datetime
    panels: Sequence[Sequence[Line]]


def panels(lines: Sequence[Line], *, apart: bool = False) -> list[list[Line]]:
    """Group lines by unit.

    Args:
        lines: The lines.
        apart: Give every line a separate panel, if lines would be indistinguishable.
    """
    shared: dict[object, list[Line]] = {}
    for number, line in enumerate(lines):
        shared.setdefault(number if apart else line.unit, []).append(line)
    return list(shared.values())


def points(
    batches: Sequence[TimeseriesBatch], attributes: Iterable[str]
) -> tuple[dict[str, list[Point]], Counter[str]]:
    """Return the numbers of each attribute in time order, booleans as 1 and 0, and how many cannot be drawn.

    Raises:
        Failure: The values of an attribute are not numbers.
    """
    found: dict[str, list[Point]] = {attribute: [] for attribute in attributes}
    left_out: Counter[str] = Counter()
    for batch in batches:
        for column in batch.columns:
            if column.data_type not in _NUMBERS:
                raise Failure(
                    f"{column.attribute} cannot be drawn: its values are of type {column.data_type}, not numbers",
                    Exit.USAGE,
                )
            for moment, value in zip(batch.unix_seconds, column.values, strict=True):
                if isinstance(value, (int, float)):
                    if -_LARGEST <= value <= _LARGEST:
                        found[column.attribute].append((moment, float(value)))
                    else:
                        left_out[column.attribute] += 1
    return found, left_out
