"""The export on dask: a worker that is killed half-way changes nothing in the data set."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from enapter_async import EnapterClient, Series, SharedRateLimit, TimeseriesQuery
from enapter_async.simulator import Simulator
from tests.redis.server import BINARY as REDIS
from tests.redis.server import redis_server

pytest.importorskip("distributed", reason="the group `dask` is not installed (nox -s dask)")
pytest.importorskip("pyarrow", reason="the group `dask` is not installed (nox -s dask)")

from distributed import Client, LocalCluster
from pyarrow import dataset

EXAMPLES = Path(__file__).parents[2] / "examples"
START = datetime(2026, 1, 1, tzinfo=UTC)

pytestmark = [
    pytest.mark.anyio,
    # dask's own: of its threads, sockets and loops when workers are killed.
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(EXAMPLES), os.environ.get("PYTHONPATH", "")]))
    import export_on_dask  # type: ignore[import-not-found]

    return export_on_dask


@pytest.fixture
async def simulator(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Simulator]:
    async with Simulator(devices=3, latency=0.1) as running:
        monkeypatch.setenv("ENAPTER_HTTP_API_TOKEN", running.token)
        monkeypatch.setenv("ENAPTER_HTTP_API_BASE_URL", running.url)
        yield running


@contextlib.contextmanager
def shared_limit() -> Iterator[SharedRateLimit | None]:
    try:
        import throttled  # noqa: F401
    except ImportError:
        yield None
        return
    if REDIS is None:
        yield None
        return
    with redis_server() as redis:
        yield SharedRateLimit(redis.url, name="export", requests_per_second=50)


def table(folder: Path) -> Any:
    return dataset.dataset(folder, format="parquet").to_table().sort_by([(key, "ascending") for key in KEYS])


KEYS = ("time", "device_id", "attribute")


async def test_a_worker_killed_half_way_changes_nothing(simulator: Simulator, example: Any, tmp_path: Path) -> None:
    devices = await list_devices(simulator)
    query = TimeseriesQuery(
        start=START,
        end=START + timedelta(hours=30),
        granularity=timedelta(minutes=10),
        series=[Series(device, [attribute]) for device, attribute in devices],
    )
    async with EnapterClient.from_env() as client:
        parts = list(client.telemetry.history(query, window=timedelta(hours=1)).parts)
    assert len(parts) == 30
    for part in parts:
        await asyncio.to_thread(example.export_part, part, str(made(tmp_path / "alone")), None)

    folder = tmp_path / "cluster"
    killed: list[int] = []
    written: dict[str, tuple[int, int]] = {}

    def on_two_workers(share: SharedRateLimit | None) -> int:
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local,
            Client(local) as cluster,
        ):
            pids = cluster.run(os.getpid)

            def kill_one_half_way() -> None:
                while len(files(folder)) < 10:
                    threading.Event().wait(0.01)
                written.update(files(folder))
                pid = next(iter(pids.values()))
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

            killer = threading.Thread(target=kill_one_half_way)
            killer.start()
            rows = int(example.export(cluster, parts, folder, share))
            killer.join()
            return rows

    with shared_limit() as share, anyio.fail_after(60):
        rows = await asyncio.to_thread(on_two_workers, share)
    assert len(killed) == 1
    assert len(written) < len(parts), "killed too late to prove anything"
    assert sorted(path.name for path in folder.iterdir()) == [f"part-{part.index:06}.parquet" for part in parts]
    now = files(folder)
    assert {name: now[name] for name in written} == written  # each was written once
    alone = table(tmp_path / "alone")
    assert rows == len(alone) > 0
    assert table(folder).equals(alone)


async def test_the_program_runs_as_it_stands(simulator: Simulator, tmp_path: Path) -> None:
    (device, attribute), *_ = await list_devices(simulator)
    command = [sys.executable, str(EXAMPLES / "export_on_dask.py"), str(tmp_path / "out")]
    command += ["--device", device, "--attribute", attribute, "--window", "3600", "--workers", "1"]
    command += ["--start", "2026-01-01", "--end", "2026-01-01T03:00"]
    with anyio.fail_after(60):
        result = await anyio.run_process(command, check=False)
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout.decode().splitlines()[-1] == "180 rows"
    assert len(table(tmp_path / "out")) == 180


async def list_devices(simulator: Simulator) -> list[tuple[str, str]]:
    """Return some devices, each with a numeric telemetry attribute."""
    found: list[tuple[str, str]] = []
    async with EnapterClient(base_url=simulator.url, token=simulator.token) as client:
        async for device in client.devices.list(expand={"manifest"}):
            names = [] if device.manifest is None else list(device.manifest.telemetry)
            if names:
                found.append((device.id, names[0]))
    return found[:2]


def made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the finished files, each with what changes when it is written again."""
    if not folder.exists():
        return {}
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("part-*.parquet")}
