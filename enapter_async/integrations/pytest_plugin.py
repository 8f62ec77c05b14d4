"""The pytest plugin (extra `testing`), with fixtures for a simulator and a client.

Every pytest run in an environment loads this module, so it imports only pytest until a fixture is used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from typing import TYPE_CHECKING, Any, Final

import pytest

from enapter_async.integrations._pytest_markers import SIMULATOR, is_async, list_requests, read_faults, read_options
from enapter_async.integrations._pytest_runners import FixtureFunction, register_variants, request_variant
from enapter_async.integrations._pytest_sync import enapter_simulator_sync

if TYPE_CHECKING:
    from enapter_async.client import EnapterClient
    from enapter_async.simulator import Simulator

__all__ = [
    "enapter_client",
    "enapter_environment",
    "enapter_simulator",
    "enapter_simulator_sync",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_runtest_makereport",
]

_MARKERS = (
    "enapter_simulator(**options): arguments of the Simulator of this test, such as devices=5 or mode='gateway'.",
    "enapter_client(**options): arguments of the EnapterClient of this test, such as timeouts=Timeouts(total=5).",
    "enapter_faults(operation, fault, *, method, path, nth=1, when): faults, as for FaultPlan.on; repeatable.",
    "enapter_virtual_time: run this test in a loop whose clock jumps instead of waiting.",
)
_ASYNC: Final = {"enapter_simulator", "enapter_environment"}


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and the async fixtures for the plugins that can run them."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    register_variants(config, {"enapter_simulator": _make_simulator_fixture, "enapter_client": _make_client_fixture})


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let anyio run tests in virtual time on `VirtualTimeLoop`."""
    if metafunc.definition.get_closest_marker("enapter_virtual_time") and "anyio_backend" in metafunc.fixturenames:
        from enapter_async.integrations.virtual_time import VirtualTimeLoop

        backend = ("asyncio", {"loop_factory": VirtualTimeLoop})
        # As a marker, not with `metafunc.parametrize`, since this overrides the parameters of the fixture itself.
        values = [pytest.param(backend, id="virtual_time")]
        metafunc.definition.add_marker(pytest.mark.parametrize("anyio_backend", values))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the trio variants of anyio, since the simulator and the client run only on asyncio."""
    left_out = [item for item in items if _backend(item) == "trio" and not _ASYNC.isdisjoint(_fixtures(item))]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def enapter_simulator(request: pytest.FixtureRequest) -> Simulator:
    """A running `Simulator` with 20 devices. Configure it with `@pytest.mark.enapter_simulator(...)`.

    `requests` are the requests received. They are shown if the test fails.
    """
    simulator: Simulator = request_variant(request, "enapter_simulator")
    return simulator


@pytest.fixture
def enapter_client(enapter_simulator: Simulator, request: pytest.FixtureRequest) -> EnapterClient:
    """An `EnapterClient` for `enapter_simulator`. Configure it with `@pytest.mark.enapter_client(...)`."""
    client: EnapterClient = request_variant(request, "enapter_client")
    return client


def _make_simulator_fixture() -> FixtureFunction:
    async def open_simulator(request: pytest.FixtureRequest) -> AsyncIterator[Simulator]:
        from enapter_async.simulator import Simulator

        item: pytest.Item = request.node
        options = read_options(item, "enapter_simulator")
        clock = _virtual_clock(item)
        if clock is not None:
            options.setdefault("clock", clock)
        async with Simulator(**options, faults=read_faults(item)) as simulator:
            item.stash[SIMULATOR] = simulator
            yield simulator

    return open_simulator


def _make_client_fixture() -> FixtureFunction:
    async def open_client(enapter_simulator: Simulator, request: pytest.FixtureRequest) -> AsyncIterator[EnapterClient]:
        from enapter_async._files import load_ca_file
        from enapter_async.client import EnapterClient

        options: dict[str, Any] = {"base_url": enapter_simulator.url, "token": enapter_simulator.token}
        if enapter_simulator.ca_file is not None:
            options["ssl_context"] = load_ca_file(enapter_simulator.ca_file)
        options.update(read_options(request.node, "enapter_client"))
        async with EnapterClient(**options) as client:
            yield client

    return open_client


@pytest.fixture
def enapter_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment variables of `EnapterClient.from_env()`, set during the test.

    They point to `enapter_simulator`, or in a `def` test to `enapter_simulator_sync`. With `tls=True` they include
    `SSL_CERT_FILE`, so that other processes trust the certificate.
    """
    item: pytest.Item = request.node
    # Requested by name, since a `def` test must not start the fixture that needs an event loop.
    server = request.getfixturevalue("enapter_simulator" if is_async(item) else "enapter_simulator_sync")
    environment = {"ENAPTER_HTTP_API_BASE_URL": server.url, "ENAPTER_HTTP_API_TOKEN": server.token}
    # A project may replace the fixture, for example by one for the whole session.
    ca_file = getattr(item.stash.get(SIMULATOR, server), "ca_file", None)
    if ca_file is not None:
        environment["SSL_CERT_FILE"] = str(ca_file)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ENAPTER_HTTP_API_USER", raising=False)
    return environment


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the requests of a failed test."""
    report = yield
    simulator = item.stash.get(SIMULATOR, None)
    if simulator is not None and report.when == "call" and report.failed:
        report.sections.append(("Requests to enapter_simulator", list_requests(simulator)))
    return report


def _fixtures(item: pytest.Item) -> list[str]:
    return item.fixturenames if isinstance(item, pytest.Function) else []


def _backend(item: pytest.Item) -> str | None:
    """Return the anyio backend of a test variant."""
    callspec = getattr(item, "callspec", None)
    parameters: dict[str, Any] = {} if callspec is None else callspec.params
    match parameters.get("anyio_backend"):
        case str(name) | (str(name), _):
            return name
        case _:
            return None


def _virtual_clock(node: pytest.Item) -> Callable[[], float] | None:
    """Return the wall clock of a loop in virtual time, or None for any other loop."""
    import asyncio
    import time

    from enapter_async.integrations.virtual_time import VirtualTimeLoop

    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualTimeLoop):
        epoch = time.time() - loop.time()
        return lambda: epoch + loop.time()
    if node.get_closest_marker("enapter_virtual_time") is not None:
        raise pytest.UsageError(
            "enapter_virtual_time: another loop is running; this works with @pytest.mark.anyio, and without async "
            "fixtures of a wider scope than the test; with pytest-asyncio, import pytest_asyncio_loop_factories "
            "from enapter_async.integrations.virtual_time in conftest.py"
        )
    return None
