"""From the bytes of an answer to models: this SDK beside the vendor's, 1,000 devices at a time.

    ENAPTER_PEER_PYTHON=... python -m benchmarks.bench_decode [--rounds 60] [--json results.json]

`ENAPTER_PEER_PYTHON` (or `--peer-python`) is an interpreter in which `enapter` is installed. Each rival is a
process of its own that stays; they decode the same bytes in turn, and what counts is CPU time. Both read the JSON
with the standard library; `ours, orjson` reads it with orjson where that is installed. Ratios are medians over the
rounds of the vendor's time by ours: more than 1 is faster than the vendor's SDK. `latest` is what `telemetry.latest`
pays for an answer; `tick` is what `Watch.tuples` and so the collector pay for the next answer of the same devices, of
which they compare each time with those before. The vendor's SDK decodes the same bytes for both. Issue 6 asks 1.2 for
plain devices and 1.1 for expanded ones (of which the vendor's SDK leaves out the site).
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure

DEVICES = 1000
SITES = 10
PARTS = ["plain", "expanded", "manifests", "latest", "tick"]
ASKED = {"plain": 1.2, "expanded": 1.1, "latest": 2.5, "tick": 2.5}
ASKED_WITH_ORJSON = {"plain": 1.5, "expanded": 1.35, "latest": 3.5, "tick": 3.5}
DECODES = 3


def answer(part: str) -> bytes:
    """Return the bytes of an answer, the same each time."""
    if part in ("latest", "tick"):
        point = {f"attribute_{n}": {"value": 1.5 * n, "timestamp": 1773482399 + n % 3} for n in range(10)}
        return json.dumps({"telemetry": {f"device-{n}": point for n in range(DEVICES)}}).encode()
    devices = [device(number, part) for number in range(DEVICES)]
    return json.dumps({"devices": devices, "total_count": DEVICES}).encode()


def device(number: int, part: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "id": f"7b1e4c90-25d3-4f6a-8e57-{number:012}",
        "blueprint_id": "e5d4c3b2-a190-4f8e-b7d6-c5a493827160",
        "name": f"Rooftop inverter {number}",
        "site_id": f"3f0c1d52-8a4e-4b7e-9d21-{number % SITES:012}",
        "updated_at": "2026-03-14T09:26:53.589793Z",
        "slug": f"rooftop-inverter-{number}",
        "type": "LUA",
        "authorized_role": "OWNER",
    }
    if part == "expanded":
        fields["site"] = {
            "id": fields["site_id"],
            "name": f"Harbour Microgrid {number % SITES}",
            "timezone": "Europe/Lisbon",
            "version": "V3",
            "authorized_role": "OWNER",
            "archived": False,
            "location": {"name": "Porto", "latitude": 41.1496, "longitude": -8.611},
        }
        fields["connectivity"] = {"status": "ONLINE" if number % 7 else "OFFLINE"}
        fields["communication"] = {"type": "UCM_LUA", "upstream_id": "c2a9d8f1-6b34-4e05-9a7c-58d0e1f2a3b4"}
        fields["properties"] = {"serial_number": f"INV-{number:05}", "firmware_version": "2.4.1"}
        fields["raised_alert_names"] = ["grid_overvoltage"] if number % 3 == 0 else []
    if part == "manifests":
        fields["manifest"] = {
            "blueprint_spec": "device/3.0",
            "display_name": "Inverter",
            "telemetry": {
                f"attribute_{n}": {"type": "float", "display_name": f"Attribute {n}", "unit": "W"} for n in range(20)
            },
        }
    return fields


def decoder(rival: str, part: str) -> Callable[[bytes], object]:
    if rival == "peer":
        return peer_decoder(part)
    from enapter_async._protocol.decoding.converter import structurer
    from enapter_async.models.devices import Device
    from enapter_async.models.telemetry import LatestPoint

    loads: Callable[[bytes], Any] = json.loads
    if rival == "ours, orjson":
        import orjson

        loads = orjson.loads
    if part == "latest":
        points = structurer(dict[str, dict[str, LatestPoint]], at="telemetry")
        return lambda body: points(loads(body)["telemetry"])
    if part == "tick":
        from enapter_async._streaming.latest_reader import LatestReader

        reader = LatestReader(print)
        return lambda body: reader.read(loads(body)["telemetry"], late=False)
    devices = structurer(list[Device], at="devices")
    return lambda body: devices(loads(body)["devices"])


def peer_decoder(part: str) -> Callable[[bytes], object]:
    if part in ("latest", "tick"):
        from enapter.http.api.telemetry.latest_datapoint import LatestDatapoint

        return lambda body: {
            device: {name: LatestDatapoint.from_dto(point) for name, point in points.items()}
            for device, points in json.loads(body)["telemetry"].items()
        }
    from enapter.http.api.devices import Device

    return lambda body: [Device.from_dto(dto) for dto in json.loads(body)["devices"]]


def work(rival: str) -> None:
    """Decode whatever part is asked for on standard input; answer with CPU milliseconds."""
    bodies = {part: answer(part) for part in PARTS}
    decoders = {part: decoder(rival, part) for part in PARTS}
    gc.freeze()  # else full collections measure how much each rival imports
    for number, line in enumerate(sys.stdin):
        part = line.strip()
        decode = decoders[part]
        # Later times for each decoding: a tick whose values are known already costs less.
        stamps = (b'"timestamp": %d' % (17734 + number * DECODES + one) for one in range(DECODES))
        later = [bodies[part].replace(b'"timestamp": 17734', stamp) for stamp in stamps]
        began = time.process_time()
        for body in later:
            decode(body)
        print((time.process_time() - began) * 1000 / DECODES, flush=True)


class Worker:
    """A rival in a process of its own."""

    def __init__(self, python: str, rival: str) -> None:
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.bench_decode", "--work", rival],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, part: str) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(part + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()


def measure(pythons: dict[str, str], rounds: int) -> dict[str, dict[str, float]]:
    """Return median milliseconds by part and rival, and the median ratios to the peer."""
    workers = {rival: Worker(python, rival) for rival, python in pythons.items()}
    try:
        return {part: measure_part(workers, part, rounds) for part in PARTS}
    finally:
        for worker in workers.values():
            worker.close()


def measure_part(workers: dict[str, Worker], part: str, rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {rival: [] for rival in workers}
    for number in range(rounds + 2):
        order = list(workers.items())
        for rival, worker in order if number % 2 else reversed(order):
            elapsed = worker.ask(part)
            if number >= 2:  # the first rounds warm up
                times[rival].append(elapsed)
    figures = {f"{rival} ms": statistics.median(values) for rival, values in times.items()}
    for rival, values in times.items():
        if rival != "peer" and "peer" in times:
            pairs = zip(times["peer"], values, strict=True)
            figures[f"{rival} ratio"] = statistics.median(theirs / mine for theirs, mine in pairs)
    return figures


def figures(rounds: int = 5) -> Iterator[Figure]:
    """Measure everything of this file; the peer's interpreter is ENAPTER_PEER_PYTHON or this one."""
    pythons = {"ours": sys.executable, "peer": os.environ.get("ENAPTER_PEER_PYTHON", sys.executable)}
    if importlib.util.find_spec("orjson"):
        pythons["ours, orjson"] = sys.executable
    goals = {"ours": ASKED, "ours, orjson": ASKED_WITH_ORJSON}
    for part, found in measure(pythons, max(10 * rounds, 20)).items():
        for rival, asked in goals.items():
            if f"{rival} ratio" in found:
                yield Figure(
                    f"decode {part}{', orjson' if 'orjson' in rival else ''}: speed relative to the vendor's SDK",
                    found[f"{rival} ratio"],
                    goal=asked.get(part),
                    note=f"{found[f'{rival} ms']:.1f} ms, vendor's {found['peer ms']:.1f} ms",
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--peer-python", default=os.environ.get("ENAPTER_PEER_PYTHON"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work)
        return
    pythons = {"ours": sys.executable}
    if importlib.util.find_spec("orjson"):
        pythons["ours, orjson"] = sys.executable
    if options.peer_python:
        pythons["peer"] = options.peer_python
    else:
        print("no peer: set ENAPTER_PEER_PYTHON or --peer-python", file=sys.stderr)
    results = measure(pythons, options.rounds)
    print(f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {options.rounds} rounds")
    for part, figures in results.items():
        asked = f"   asked: {ASKED[part]}" if part in ASKED else ""
        print(f"{part:10}", "  ".join(f"{name} {value:.2f}" for name, value in figures.items()) + asked)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
