"""Interleaved rounds of processes, medians, ratios."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from typing import Any

Figures = dict[str, float]


def measure(question: str, rivals: list[str], options: dict[str, Any], *, rounds: int = 5) -> dict[str, Figures]:
    """Ask every rival the question in turn, round after round; return the medians by rival.

    Interleaving spreads what else the machine is doing over all rivals alike.
    """
    results: dict[str, list[Figures]] = {rival: [] for rival in rivals}
    for number in range(rounds):
        for rival in rivals if number % 2 == 0 else reversed(rivals):
            results[rival].append(ask(question, rival, options))
    return {rival: _medians(figures) for rival, figures in results.items()}


def ask(question: str, rival: str, options: dict[str, Any]) -> Figures:
    """Run one measurement in a process of its own."""
    peer = os.environ.get("ENAPTER_PEER_PYTHON", sys.executable) if rival in ("peer", "httpx") else sys.executable
    command = [peer, "-m", "benchmarks.worker", question, rival, json.dumps(options)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    return json.loads(done.stdout.splitlines()[-1])


def _medians(figures: list[Figures]) -> Figures:
    names = figures[0].keys()
    return {
        name: statistics.median([value for one in figures if (value := one[name]) is not None] or [float("nan")])
        for name in names
    }


def ratio(better: float, worse: float) -> float:
    """Return how many times as much."""
    return better / worse if worse else float("nan")
