"""Shared by all tests: asyncio is the only backend. Servers that several folders use are started here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from enapter_async import EnapterClient
from tests.postgres_server import PostgresServer, running_postgres
from tests.recorder import Recorder, recording
from tests.secrecy import TOKEN

# How long an example takes says more of the machine than of the code.
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# Examples are the same in every run, so that a change is judged by what it changes and not by luck;
# `nox -s properties` looks for new ones.
settings.register_profile("project", parent=settings.get_profile("random"), derandomize=True)
settings.load_profile("project")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "loop(factory): run async tests in an event loop of this class.")


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run async tests on asyncio: the SDK stands on aiohttp."""
    chosen = request.node.get_closest_marker("loop")
    return "asyncio", {} if chosen is None else {"loop_factory": chosen.kwargs["factory"]}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The path of a database that does not exist yet."""
    return tmp_path / "telemetry.sqlite"


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    async with recording() as running:
        yield running


@pytest.fixture
async def client(recorder: Recorder) -> AsyncIterator[EnapterClient]:
    """A client of the recorder; folders with a simulator have one of their own."""
    async with EnapterClient(base_url=recorder.url, token=TOKEN) as ours:
        yield ours


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as running:
        yield running


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """The address of a database of the test's own."""
    return postgres.create_database()
