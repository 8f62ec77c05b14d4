"""A collector watched over HTTP: what `/metrics` holds, what promtool and a real Prometheus make of it."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enapter_async import ConfigurationError, EnapterClient, InvalidArgumentError
from enapter_async.collector import Collector, SqliteStore
from enapter_async.rows import Row
from enapter_async.simulator import Fault, Simulator
from tests.ports import find_free_port
from tests.waiting import wait_until

pytest.importorskip("prometheus_client", reason="the extra `prometheus` is not installed")
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector as MetricsSource

from enapter_async.integrations import prometheus
from enapter_async.integrations.prometheus import LatestValues, MetricsServer, Sample, render_telemetry

pytestmark = pytest.mark.anyio

UNITS = {"d1": {"power": "W", "mode": None}}


def row(value: float | None, *, at: int = 1, device: str = "d1", attribute: str = "power") -> Row:
    return (device, attribute, at, value, None if value is not None else "text", "W")


# -- latest values -----------------------------------------------------------------------------------------


def test_the_newest_value_counts_in_whatever_order_rows_come() -> None:
    latest = LatestValues()
    latest.take([row(2.0, at=2), row(1.0, at=1)])
    assert latest.list_current(UNITS) == [(["d1", "power", "W"], 2.0)]


@pytest.mark.parametrize(
    ("name", "value"), [("host", ""), ("host", " "), ("host", None), ("port", -1), ("port", 65_536), ("port", "9464")]
)
async def test_an_address_that_is_invalid_is_refused(name: str, value: object, tmp_path: Path) -> None:
    """An empty host would listen on every network."""
    address: dict[str, Any] = {name: value}
    async with EnapterClient(token="secret") as client:
        collector = Collector(client, SqliteStore(tmp_path / "t.sqlite"))
        with pytest.raises(InvalidArgumentError, match=f"^{name}: must "):
            MetricsServer(collector, client, LatestValues(), **address)


def test_text_ends_a_value() -> None:
    latest = LatestValues()
    latest.take([row(1.0, at=1)])
    latest.take([row(None, at=2)])
    assert latest.list_current(UNITS) == []


def test_a_value_is_dropped_once_it_is_stale() -> None:
    now = 0.0
    latest = LatestValues(stale_after=300, clock=lambda: now)
    latest.take([row(1.0)])
    now = 300.0
    assert latest.list_current(UNITS)
    now = 300.1
    assert latest.list_current(UNITS) == []


def test_a_clock_that_was_ahead_hides_a_value_only_until_it_is_stale() -> None:
    now = 0.0
    latest = LatestValues(stale_after=300, clock=lambda: now)
    latest.take([row(1.0, at=10**15)])
    now = 301.0
    assert latest.list_current(UNITS) == []
    latest.take([row(2.0, at=5)])
    assert latest.list_current(UNITS) == [(["d1", "power", "W"], 2.0)]


def test_labels_are_those_of_what_is_collected_now() -> None:
    latest = LatestValues()
    latest.take([row(1.0), row(2.0, attribute="mode"), row(3.0, device="d2"), row(4.0, attribute="secret")])
    assert latest.list_current(UNITS) == [(["d1", "power", "W"], 1.0), (["d1", "mode", ""], 2.0)]
    assert latest.list_current({}) == []
    assert latest.list_current(UNITS) == [], "what was not collected is forgotten"


# -- the text ----------------------------------------------------------------------------------------------

ODD_TEXTS = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from('\\"\n\r{},= ')), max_size=12)


@given(st.lists(st.tuples(st.lists(ODD_TEXTS, min_size=3, max_size=3), st.floats()), max_size=20))
@example([(["", "\\n", '"'], value) for value in (-0.0, 1e6, 999_999.5, 123_456_789.125, 1e16, 5e-324, -1e300)])
def test_latest_values_are_written_with_the_labels_of_prometheus_client(samples: list[Sample]) -> None:
    family = GaugeMetricFamily(
        "enapter_telemetry", "Latest value of a telemetry attribute.", labels=["device_id", "attribute", "unit"]
    )
    for labels, value in samples:
        family.add_metric(labels, value)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(OneFamily(family))
    text = render_telemetry(samples)
    # The number itself is as Python writes it: 1000000.0 instead of 1e+06.
    written, expected = (
        [line.rpartition(b" ")[0] for line in one.split(b"\n")] for one in (text, generate_latest(registry))
    )
    assert written == expected
    (parsed,) = text_string_to_metric_families(text.decode())
    assert parsed.type == "gauge"
    assert [([one.labels[name] for name in LABELS], repr(one.value)) for one in parsed.samples] == [
        (labels, repr(value)) for labels, value in samples
    ]


LABELS = ("device_id", "attribute", "unit")


class OneFamily(MetricsSource):
    """A registry's source of one family."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return [self._family]


# -- the server --------------------------------------------------------------------------------------------


class Watched:
    """A collector on a simulator, with its metrics served."""

    def __init__(self, simulator: Simulator, collector: Collector, server: MetricsServer, latest: LatestValues) -> None:
        self.simulator = simulator
        self.collector = collector
        self.server = server
        self.latest = latest

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(self.server.url + path) as response:
            return response.status, await response.text()

    async def read_values(self) -> dict[tuple[str, str, str], float]:
        """The latest values of `/metrics`."""
        status, text = await self.get("/metrics")
        assert status == 200
        (family,) = [one for one in text_string_to_metric_families(text) if one.name == "enapter_telemetry"]
        return {
            (one.labels["device_id"], one.labels["attribute"], one.labels["unit"]): one.value for one in family.samples
        }


@asynccontextmanager
async def watched(database: Path, *, rediscover: float = 300.0) -> AsyncIterator[Watched]:
    latest = LatestValues()
    async with (
        Simulator(devices=6) as sim,
        EnapterClient(base_url=sim.url, token=sim.token) as client,
        SqliteStore(database) as store,
    ):
        collector = Collector(
            client, store, on_rows=latest.take, rediscover=rediscover, on_event=lambda _: None, interval=0.5
        )
        async with (
            MetricsServer(collector, client, latest, port=0, interval=0.5) as server,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(collector.run)
            yield Watched(sim, collector, server, latest)
            collector.stop()


async def test_a_scrape_holds_what_the_collector_did_and_every_latest_value(database: Path) -> None:
    async with watched(database) as it:
        await wait_until(lambda: it.collector.statistics.rows)
        _, text = await it.get("/metrics")
        values = await it.read_values()
        done = it.collector.statistics
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["enapter_collector_devices"].samples[0].value == done.devices
    assert 0 < families["enapter_collector_rows_committed"].samples[0].value <= done.rows
    assert families["enapter_collector_requests"].type == "counter"
    assert {"process_cpu_seconds", "process_resident_memory_bytes"} <= families.keys() or sys.platform != "linux"
    targets = it.collector.targets.units
    assert values
    assert all(targets[device][attribute] == (unit or None) for device, attribute, unit in values)


async def test_a_device_that_is_gone_disappears(database: Path) -> None:
    async with watched(database, rediscover=0.5) as it:
        await wait_until(lambda: it.collector.statistics.rows)
        before = {device for device, _, _ in await it.read_values()}
        gone = min(before)
        it.simulator.world.devices.remove(gone)
        await wait_until(lambda: gone not in it.collector.targets.units)
        assert {device for device, _, _ in await it.read_values()} == before - {gone}


async def test_ready_is_who_commits(database: Path) -> None:
    async with watched(database) as it:
        assert await it.get("/healthz") == (200, "ok\n")
        await wait_until(lambda: it.collector.statistics.committed_at)
        status, _ = await it.get("/readyz")
        assert status == 200
        it.simulator.faults.on("getLatestTelemetry", Fault.answer(502, "down"), nth=None)
        it.server._ready_within = 0.2
        with anyio.fail_after(10):
            while (await it.get("/readyz"))[0] == 200:
                await anyio.sleep(0.1)
        assert "the last commit was" in (await it.get("/readyz"))[1]
        assert await it.get("/healthz") == (200, "ok\n")


async def test_nobody_is_ready_before_the_first_commit(database: Path) -> None:
    async with EnapterClient(base_url="http://127.0.0.1:1", token="t") as client, SqliteStore(database) as store:
        latest = LatestValues()
        collector = Collector(client, store)
        async with MetricsServer(collector, client, latest, port=0) as server:
            it = Watched(None, collector, server, latest)  # type: ignore[arg-type]
            assert await it.get("/readyz") == (503, "nothing has been committed yet\n")
            assert await it.read_values() == {}


async def test_an_unreadable_name_costs_itself_only(database: Path) -> None:
    async with watched(database) as it:
        await wait_until(lambda: it.collector.statistics.rows)
        device, names = next(iter(it.collector.targets.units.items()))
        name = next(iter(names))
        names[name] = '\ud800"\\\n°C'  # type: ignore[index]
        assert (device, name, '\ufffd"\\\n°C') in await it.read_values()


async def test_a_client_that_reads_nothing_is_cut_off_and_others_are_served(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "_ANSWER_SECONDS", 0.5)
    async with watched(database) as it:
        await wait_until(lambda: it.collector.statistics.rows)
        units = {f"device-{number}": {"a" * 200: None} for number in range(20_000)}
        monkeypatch.setattr(it.latest, "list_current", lambda _: [([name, "a" * 200, ""], 1.0) for name in units])
        with socket.create_connection(("127.0.0.1", it.server.port)) as stalling:
            stalling.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            stalling.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            before = it.collector.statistics.rows
            assert (await it.get("/healthz"))[0] == 200
            await wait_until(lambda: it.collector.statistics.rows > before)
            runner = it.server._runner
            assert runner is not None
            assert runner.server is not None
            await wait_until(lambda: not runner.server.connections)  # type: ignore[union-attr]


async def test_the_start_page_names_the_paths(database: Path) -> None:
    async with watched(database) as it:
        status, text = await it.get("/")
        assert status == 200
        paths = [line.split()[0] for line in text.splitlines() if line.startswith("/")]
        assert paths == ["/metrics", "/healthz", "/readyz"]
        assert (await it.get("/favicon.ico"))[0] == 404


async def test_a_port_in_use_is_said(database: Path) -> None:
    async with watched(database) as it:
        with pytest.raises(
            ConfigurationError, match=r"cannot serve metrics at 127\.0\.0\.1:\d+: Address already in use"
        ):
            async with MetricsServer(it.collector, it.collector._client, it.latest, port=it.server.port):
                pass
        with pytest.raises(ConfigurationError, match=r"cannot serve metrics at no-such-host\.invalid:1"):
            async with MetricsServer(
                it.collector, it.collector._client, it.latest, host="no-such-host.invalid", port=1
            ):
                pass


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian's prometheus)")
async def test_promtool_finds_nothing_to_complain_about(database: Path) -> None:
    async with watched(database) as it:
        await wait_until(lambda: it.collector.statistics.rows)
        _, text = await it.get("/metrics")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# -- a real Prometheus -------------------------------------------------------------------------------------


@contextmanager
def running_prometheus(folder: Path, target: str) -> Iterator[str]:
    """A Prometheus that scrapes a target each second; gives its address."""
    configuration = folder / "prometheus.yml"
    jobs = [{"job_name": "enapter", "static_configs": [{"targets": [target]}]}]
    configuration.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
    address = f"127.0.0.1:{find_free_port()}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={configuration}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed (Debian's prometheus)")
async def test_a_query_of_prometheus_gives_the_row_in_the_store(database: Path, tmp_path: Path) -> None:
    async with watched(database) as it, aiohttp.ClientSession() as session:
        await wait_until(lambda: it.collector.statistics.rows)

        async def ask(url: str) -> list[tuple[dict[str, str], float]]:
            try:
                async with session.get(f"{url}/api/v1/query", params={"query": "enapter_telemetry"}) as response:
                    answer = await response.json()
            except (aiohttp.ClientError, ValueError):
                return []  # it starts
            found = answer["data"]["result"] if answer["status"] == "success" else []
            return [(one["metric"], float(one["value"][1])) for one in found]

        # What Prometheus has must be a row: the device has stopped, so that its newest row stays the newest.
        with running_prometheus(tmp_path, it.server.url.removeprefix("http://")) as url:
            with anyio.fail_after(60):
                while not await ask(url):
                    await anyio.sleep(0.1)
            it.simulator.faults.on("getLatestTelemetry", Fault.answer(502, "down"), nth=None)
            await wait_until(lambda: it.collector.statistics.waiting == 0)
            stopped_at = time.monotonic()
            expected: dict[tuple[str, str], tuple[float, str]] = {}
            with anyio.fail_after(30):
                while True:
                    answer = await ask(url)
                    with closing(sqlite3.connect(database)) as connection:
                        newest = connection.execute(
                            "SELECT device_id, attribute, value, unit, max(time) FROM telemetry"
                            " WHERE value IS NOT NULL GROUP BY device_id, attribute"
                        ).fetchall()
                    expected = {(device, name): (value, unit or "") for device, name, value, unit, _ in newest}
                    got = {
                        (labels["device_id"], labels["attribute"]): (value, labels.get("unit", ""))
                        for labels, value in answer
                    }
                    if got == expected and time.monotonic() > stopped_at + 2:
                        break
                    await anyio.sleep(0.2)
    assert expected
