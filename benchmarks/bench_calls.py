"""Calls, lists, opening and load, beside bare aiohttp behind the same semaphore and the vendor's SDK.

    ENAPTER_PEER_PYTHON=... python -m benchmarks.bench_calls [--rounds 5]

nginx answers from static files on the last core, the client has the first. `ENAPTER_PEER_PYTHON` names an
interpreter in which `enapter` 0.25 is installed; by default it is this one.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator

from benchmarks.figures import Figure, table
from benchmarks.runner import Compared, Figures, measure, ratio, take_turns
from benchmarks.servers import nginx, paging


def calls(rounds: int) -> Iterator[Figure]:
    """GET of one device, decoded to a model."""
    with nginx() as url:
        for callers, calls, few in ((1, 500, 200), (10, 1500, 200), (100, 2000, 150), (500, 3000, 500)):
            fast = ["ours", "bare"]
            if callers == 100 and importlib.util.find_spec("uvloop"):
                fast += ["ours on uvloop", "bare on uvloop"]
            options = {rival: {"url": url, "callers": callers, "calls": calls} for rival in fast}
            yield from _against_bare(callers, *take_turns("get", options, turns=5 * rounds))
            options = {
                rival: {"url": url, "callers": callers, "calls": few if rival in ("peer", "httpx") else calls}
                for rival in ("ours", "peer", "httpx")
            }
            yield from _against_others(callers, *take_turns("get", options, turns=rounds + 1))
        for number in (1000, 10_000):
            results = measure("gathered", ["ours", "bare"], {"url": url, "calls": number}, rounds=1)
            results |= measure("gathered", ["peer"], {"url": url, "calls": 1000}, rounds=1)
            yield from _load_figures(number, results)


def _against_bare(callers: int, results: dict[str, Figures], compared: Compared) -> Iterator[Figure]:
    ours, bare = results["ours"], results["bare"]
    yield Figure(
        f"GET, {callers} callers: throughput relative to bare aiohttp",
        compared("per_second", "ours", "bare"),
        goal=0.95 if callers == 500 else 0.97,
        note=f"{ours['per_second']:,.0f}/s, bare {bare['per_second']:,.0f}/s",
    )
    yield Figure(
        f"GET, {callers} callers: additional CPU per call over bare aiohttp",
        (compared("cpu_us", "ours", "bare") - 1) * bare["cpu_us"],
        "µs",
        goal=15 if callers == 100 else None,
        at_most=True,
        note=f"{ours['cpu_us']:.0f} µs, bare {bare['cpu_us']:.0f} µs",
    )
    if "ours on uvloop" in results:
        faster, bare_faster = results["ours on uvloop"], results["bare on uvloop"]
        yield Figure(
            f"GET, {callers} callers, on uvloop: throughput relative to asyncio's own loop",
            compared("per_second", "ours on uvloop", "ours"),
            note=f"{faster['per_second']:,.0f}/s, bare {bare_faster['per_second']:,.0f}/s; "
            f"{faster['cpu_us']:.0f} µs a call, bare {bare_faster['cpu_us']:.0f} µs",
        )
    if callers >= 100:
        yield Figure(
            f"GET, {callers} callers: p99 over p50",
            ratio(ours["p99_ms"], ours["p50_ms"]),
            goal=1.5 if callers == 500 else None,
            at_most=True,
            note=f"p50 {ours['p50_ms']:.0f} ms, p99 {ours['p99_ms']:.0f} ms; failed {ours['failed']:.1%}",
        )


def _against_others(callers: int, results: dict[str, Figures], compared: Compared) -> Iterator[Figure]:
    for rival, name in (("peer", "the vendor's SDK"), ("httpx", "httpx")):
        figures = results[rival]
        yield Figure(
            f"GET, {callers} callers: throughput relative to {name}",
            compared("per_second", "ours", rival),
            goal={1: 4.0, 100: 12.0}.get(callers) if rival == "peer" else None,
            note=f"{figures['per_second']:,.0f}/s, {figures['cpu_us']:,.0f} µs a call, fails {figures['failed']:.0%}",
        )


def _load_figures(number: int, results: dict[str, Figures]) -> Iterator[Figure]:
    ours, bare, peer = (results[rival] for rival in ("ours", "bare", "peer"))
    yield Figure(
        f"{number:,} calls gathered: failed",
        ours["failed"] * 100,
        "%",
        goal=0,
        at_most=True,
        note=f"{ours['seconds']:.2f} s; vendor's (1,000) fails {peer['failed']:.0%} in {peer['seconds']:.1f} s",
    )
    if number == 1000:
        yield Figure(
            "1,000 calls gathered: memory relative to the vendor's SDK",
            ratio(ours["grown_mib"], peer["grown_mib"]),
            goal=0.5,
            at_most=True,
            note=f"{ours['grown_mib']:.1f} MiB, bare {bare['grown_mib']:.1f} MiB, vendor's {peer['grown_mib']:.1f} MiB",
        )
        yield Figure(
            "1,000 calls gathered: CPU relative to the vendor's SDK",
            ratio(ours["cpu_s"], peer["cpu_s"]),
            goal=0.03,
            at_most=True,
            note=f"{ours['cpu_s']:.2f} s, bare {bare['cpu_s']:.2f} s, vendor's {peer['cpu_s']:.2f} s",
        )


def lists(rounds: int) -> Iterator[Figure]:
    """The list of 5,000 devices, to the last item."""
    for latency, manifests, goal in ((0, False, None), (20, False, 10.0), (0, True, None), (20, True, 5.0)):
        with paging(latency, 5000, manifests=manifests) as url:
            results = measure("list", ["ours", "peer"], {"url": url, "manifests": manifests}, rounds=rounds)
        ours, peer = results["ours"], results["peer"]
        what = f"list of 5,000 devices{' with manifests' if manifests else ''} at {latency} ms"
        times = f"{ours['seconds']:.2f} s, vendor's {peer['seconds']:.2f} s"
        yield Figure(
            f"{what}: speed relative to the vendor's SDK",
            ratio(peer["seconds"], ours["seconds"]),
            goal=goal,
            note=times,
        )
        yield Figure(
            f"{what}: first item after",
            ratio(ours["first_ms"], peer["first_ms"]),
            "of the vendor's time",
            at_most=True,
            note=f"{ours['first_ms']:.0f} ms, vendor's {peer['first_ms']:.0f} ms",
        )
    with paging(20, 1) as url:
        results = measure("latest", ["ours", "peer"], {"url": url, "devices": 1000}, rounds=rounds)
    ours, peer = results["ours"], results["peer"]
    yield Figure(
        "latest telemetry of 1,000 devices at 20 ms: speed relative to the vendor's SDK",
        ratio(peer["seconds"], ours["seconds"]),
        note=f"{ours['seconds']:.2f} s, vendor's {peer['seconds']:.2f} s",
    )


def opening(rounds: int) -> Iterator[Figure]:
    """Import the package, open a client, close it."""
    results = measure("open", ["ours", "peer"], {}, rounds=2 * rounds + 1)
    ours, peer = results["ours"]["ms"], results["peer"]["ms"]
    yield Figure(
        "import and open: time relative to the vendor's SDK",
        ratio(ours, peer),
        goal=1.1,
        at_most=True,
        note=f"{ours:.0f} ms, vendor's {peer:.0f} ms",
    )


def figures(rounds: int = 5) -> Iterator[Figure]:
    """Measure everything of this file."""
    yield from calls(rounds)
    yield from lists(max(rounds // 2, 1))
    yield from opening(rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    print(table(figures(parser.parse_args().rounds)))


if __name__ == "__main__":
    main()
