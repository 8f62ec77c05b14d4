"""Interleaved rounds of processes, medians, ratios."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

Figures = dict[str, float]
Compared = Callable[[str, str, str], float]
"""Of a figure and two rivals: how many times that of the second the first one has, in the median of all turns."""


def measure(question: str, rivals: list[str], options: dict[str, Any], *, rounds: int = 5) -> dict[str, Figures]:
    """Ask every rival the question in turn, round after round; return the medians by rival.

    Interleaving spreads what else the machine is doing over all rivals alike.
    """
    results: dict[str, list[Figures]] = {rival: [] for rival in rivals}
    for number in range(rounds):
        for rival in rivals if number % 2 == 0 else reversed(rivals):
            results[rival].append(ask(question, rival, options))
    return {rival: _medians(figures) for rival, figures in results.items()}


def take_turns(question: str, rivals: dict[str, dict[str, Any]], *, turns: int) -> tuple[dict[str, Figures], Compared]:
    """Let rivals take short turns, each in a process that goes on; return the medians, and how to compare.

    What else a shared machine does changes within seconds. Turns of a fraction of a second are disturbed alike, so
    the figures of one round are compared with each other, and the median of the rounds is taken.

    Args:
        question: What is asked.
        rivals: Options by rival.
        turns: Rounds.

    Returns:
        Medians by rival, and how to compare two rivals.
    """
    with ExitStack() as stack:
        workers = {rival: stack.enter_context(_worker(question, rival, options)) for rival, options in rivals.items()}
        results: dict[str, list[Figures]] = {rival: [] for rival in rivals}
        for number in range(turns):
            for rival in list(workers) if number % 2 == 0 else reversed(workers):
                results[rival].append(workers[rival]())

    def compared(figure: str, one: str, other: str) -> float:
        pairs = zip(results[one], results[other], strict=True)
        return statistics.median(ratio(mine[figure], theirs[figure]) for mine, theirs in pairs)

    return {rival: _medians(figures) for rival, figures in results.items()}, compared


@contextmanager
def _worker(question: str, rival: str, options: dict[str, Any]) -> Iterator[Callable[[], Figures]]:
    """Run a worker that measures each time that it is called."""
    command = [_python(rival), "-m", "benchmarks.worker", question, rival, json.dumps(options)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def turn() -> Figures:
            stdin.write("\n")
            stdin.flush()
            figures: Figures = json.loads(stdout.readline())
            return figures

        try:
            yield turn
        finally:
            process.kill()


def _python(rival: str) -> str:
    theirs = os.environ.get("ENAPTER_PEER_PYTHON", sys.executable)
    return theirs if rival in ("peer", "httpx") else sys.executable


def ask(question: str, rival: str, options: dict[str, Any]) -> Figures:
    """Run one measurement in a process of its own."""
    command = [_python(rival), "-m", "benchmarks.worker", question, rival, json.dumps(options)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def _medians(figures: list[Figures]) -> Figures:
    names = figures[0].keys()
    return {
        name: statistics.median([value for one in figures if (value := one[name]) is not None] or [float("nan")])
        for name in names
    }


def ratio(better: float, worse: float) -> float:
    """Return how many times as much."""
    return better / worse if worse else float("nan")
