"""A figure, its goal, and the table of them: written to JSON, compared with a stored baseline."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

WORSE = 0.9
"""A ratio below so much of the baseline's is pointed out."""


class Figure(NamedTuple):
    """One measured figure.

    Attributes:
        name: What was measured, against what.
        value: The figure; a ratio where that is possible, since it travels between machines.
        unit: `x` for a ratio, where more is better unless `at_most`.
        goal: What is to be reached, None where nothing was promised.
        at_most: The goal is an upper bound.
        note: Absolute values for people.
    """

    name: str
    value: float
    unit: str = "x"
    goal: float | None = None
    at_most: bool = False
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached, None without one."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.at_most else self.value >= self.goal


def machine() -> dict[str, str]:
    """Return what the figures were measured on and with."""
    packages = ("aiohttp", "attrs", "cattrs", "tenacity", "anyio")
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(len(os.sched_getaffinity(0))),
        **{name: version(name) for name in packages},
    }


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as a Markdown table."""
    lines = ["| what | figure | goal | | absolute |", "|---|---|---|---|---|"]
    for figure in figures:
        goal = "" if figure.goal is None else f"{'at most' if figure.at_most else 'at least'} {figure.goal:g}"
        mark = {None: "", True: "reached", False: "**not reached**"}[figure.reached]
        value = f"{figure.value:.2f}" if abs(figure.value) < 100 else f"{figure.value:,.0f}"
        lines.append(f"| {figure.name} | {value} {figure.unit} | {goal} | {mark} | {figure.note} |")
    return "\n".join(lines)


def save(path: Path, figures: Iterable[Figure]) -> None:
    """Write figures and machine as JSON, and keep figures of other names."""
    stored = json.loads(path.read_text("utf-8"))["figures"] if path.exists() else []
    every = {entry["name"]: entry for entry in stored} | {figure.name: figure._asdict() for figure in figures}
    document: dict[str, Any] = {"machine": machine(), "figures": [*every.values()]}
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def worse(baseline: Path, figures: Iterable[Figure]) -> list[str]:
    """Return what got clearly worse than in a stored run, in words."""
    if not baseline.exists():
        return []
    before = {entry["name"]: entry["value"] for entry in json.loads(baseline.read_text("utf-8"))["figures"]}
    found: list[str] = []
    for figure in figures:
        old = before.get(figure.name)
        if old and (figure.value > old / WORSE if figure.at_most else figure.value < old * WORSE):
            found.append(f"{figure.name}: {figure.value:.2f}, was {old:.2f}")
    return found
