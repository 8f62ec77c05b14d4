"""Run all benchmarks: `python -m benchmarks [--rounds N] [--only calls,decode,...] [--write]`.

Prints one table. `--write` puts it into benchmarks/README.md and stores the figures in benchmarks/baseline.json, with
which later runs are compared. The figures of other parts are kept. Nothing fails on a figure; a part whose server is
not installed is left out, and says so.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.figures import Figure, machine, save, table, worse

HERE = Path(__file__).parent
BASELINE = HERE / "baseline.json"
PARTS = {
    "calls": "Calls, lists, opening",
    "decode": "Decoding",
    "timeseries": "Time series",
    "rate_limit": "Rate limit",
    "shared_rate": "Rate limit shared by two processes",
    "history": "History",
    "watch": "Watch",
    "collector": "Collector",
    "metrics": "Metrics of a collector",
    "pressure": "Pressure",
    "stores": "Stores",
    "shards": "Several collectors",
}
_BEGIN, _END = "<!-- figures -->", "<!-- end of figures -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--write", action="store_true", help="store table and figures")
    options = parser.parse_args()
    sections: dict[str, str] = {}
    figures: list[Figure] = []
    for part in options.only.split(","):
        began = time.perf_counter()
        module = importlib.import_module(f"benchmarks.bench_{part}")
        try:
            found = list(module.figures(options.rounds))
        except RuntimeError as error:
            print(f"\n### {PARTS[part]}\n\nleft out: {error}", flush=True)
            continue
        figures += found
        section = f"`python -m benchmarks.bench_{part}`, {time.strftime('%Y-%m-%d')}\n\n{table(found)}"
        print(f"\n### {PARTS[part]}\n\n{section}\n\n({time.perf_counter() - began:.0f} s)", flush=True)
        sections[PARTS[part]] = section
    for line in worse(BASELINE, figures):
        print("worse:", line, file=sys.stderr)
    if options.write:
        write_page(sections)
        save(BASELINE, figures)


def write_page(sections: Mapping[str, str]) -> None:
    """Replace the sections of the README that were measured, and keep the others."""
    page = HERE / "README.md"
    before, _, rest = page.read_text("utf-8").partition(_BEGIN)
    old, _, after = rest.partition(_END)
    kept = {title: text.strip() for title, _, text in (part.partition("\n") for part in old.split("### ")[1:])}
    every = {**kept, **sections}
    facts = ", ".join(f"{name} {value}" for name, value in machine().items())
    text = "\n\n".join(f"### {title}\n\n{every[title]}" for title in PARTS.values() if title in every)
    page.write_text(f"{before}{_BEGIN}\n\nMeasured on: {facts}.\n\n{text}\n\n{_END}{after}", "utf-8")


if __name__ == "__main__":
    main()
