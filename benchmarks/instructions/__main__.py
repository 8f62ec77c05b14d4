"""Count instructions: `python -m benchmarks.instructions [--only get,slot] [--write] [--why TEXT]`.

Each piece of work is counted twice. Exits with 1 where a count is more than 5 % above the baseline in
benchmarks/instructions.json; `--write --why TEXT` stores the counts, with the reason, as the next baseline.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.instructions.baseline import Baseline, Comparison, environment, is_steady, libraries
from benchmarks.instructions.counting import NotCountableError, build_library, count
from benchmarks.instructions.pieces import PIECES

STORED = Path(__file__).parents[1] / "instructions.json"
REPEATS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PIECES), help="pieces, separated by commas")
    parser.add_argument("--write", action="store_true", help="store the counts as the baseline")
    parser.add_argument("--why", default="", help="the reason, kept beside the counts")
    options = parser.parse_args()
    try:
        counts = count_all(options.only.split(","))
    except NotCountableError as error:
        print(f"nothing counted: {error}", file=sys.stderr)
        return
    baseline = Baseline(STORED, environment())
    for piece, several in counts.items():
        if not is_steady(several):
            print(f"left out: {piece} differs from run to run: {several}", file=sys.stderr)
    steady = {piece: several[0] for piece, several in counts.items() if is_steady(several)}
    comparisons = baseline.compare(steady)
    print(table(comparisons))
    if options.write:
        try:
            baseline.update(steady, options.why)
        except ValueError as error:
            sys.exit(str(error))
    elif baseline.is_empty:
        print(f"\nno baseline for {environment()}; --write stores one", file=sys.stderr)
    else:
        if libraries() != baseline.libraries:
            print(f"\nother libraries than in the baseline: {libraries()}, {baseline.libraries}", file=sys.stderr)
        sys.exit(any(comparison.needs_reason for comparison in comparisons))


def count_all(pieces: Iterable[str]) -> dict[str, list[float]]:
    """Count each piece several times, two at a time: what else the machine does costs no instructions here."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as executor:
        library = build_library(Path(folder))
        counting = {piece: [executor.submit(count, piece, library) for _ in range(REPEATS)] for piece in pieces}
        return {piece: [future.result() for future in futures] for piece, futures in counting.items()}


def table(comparisons: Iterable[Comparison]) -> str:
    """Return counts and changes as a Markdown table."""
    lines = ["| piece | instructions | baseline | change |", "|---|---|---|---|"]
    for piece, before, now in comparisons:
        comparison = Comparison(piece, before, now)
        change = "new" if comparison.change is None else f"{comparison.change:+.1%}"
        mark = " **needs a reason**" if comparison.needs_reason else ""
        lines.append(f"| {PIECES[piece].unit} | {now:,.0f} | {before or 0:,.0f} | {change}{mark} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
