"""The stored counts, one history for each piece: the last entry is the baseline, and the entries say why it changed."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

MOST = 1.05
"""More than so much of the baseline needs a reason."""
STEADY = 1.005
"""Counts of one piece that differ by more than this say nothing."""


class Comparison(NamedTuple):
    """The count of a piece beside its baseline; None where there is none."""

    piece: str
    before: float | None
    now: float

    @property
    def change(self) -> float | None:
        """How much more it is now: 0.05 is 5 %."""
        return self.now / self.before - 1 if self.before else None

    @property
    def needs_reason(self) -> bool:
        """Whether it is more than may pass without a reason."""
        return self.before is not None and self.now > MOST * self.before


def is_steady(counts: list[float]) -> bool:
    """Whether repeated counts agree."""
    return max(counts) <= STEADY * min(counts)


class Baseline:
    """The counts of one interpreter on one kind of machine; others count differently, and have their own."""

    def __init__(self, path: Path, environment: str) -> None:
        self._path = path
        self._document: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        self._entry: dict[str, Any] = self._document.setdefault(environment, {"libraries": {}, "counts": {}})

    @property
    def is_empty(self) -> bool:
        """Whether this interpreter has never counted."""
        return not self._entry["counts"]

    @property
    def libraries(self) -> dict[str, str]:
        """The versions below us when it was counted."""
        return dict(self._entry["libraries"])

    def compare(self, counts: Mapping[str, float]) -> list[Comparison]:
        """Set counts beside the stored ones."""
        stored = self._entry["counts"]
        return [
            Comparison(piece, stored[piece][-1]["instructions"] if piece in stored else None, count)
            for piece, count in counts.items()
        ]

    def update(self, counts: Mapping[str, float], why: str) -> None:
        """Store counts as the new baseline, with a line for each that says why.

        Raises:
            ValueError: One is more than may pass without a reason, and there is no reason.
        """
        for comparison in self.compare(counts):
            if comparison.needs_reason and not why:
                raise ValueError(f"{comparison.piece} rises by more than 5 %: say --why")
            if comparison.change is None or abs(comparison.change) > STEADY - 1:
                history = self._entry["counts"].setdefault(comparison.piece, [])
                history.append({"instructions": round(comparison.now), "why": why})
        self._entry["libraries"] = libraries()
        self._path.write_text(json.dumps(self._document, indent=2) + "\n", "utf-8")


def environment() -> str:
    """Return what counts depend on besides the code: the build of the interpreter, and the processor's kind."""
    return f"{sys.version} {platform.machine()}"


def libraries() -> dict[str, str]:
    """Return the versions below us that the counts contain."""
    return {name: version(name) for name in ("aiohttp", "attrs", "cattrs", "multidict", "yarl")}
