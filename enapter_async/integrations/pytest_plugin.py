"""The pytest plugin (extra `testing`): a simulator and a client for each test that asks for them.

Every pytest of an environment loads this module, so it imports nothing but pytest until a fixture is used.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Generator
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from enapter_async.client import EnapterClient
    from enapter_async.simulator import FaultPlan, Simulator

_MARKERS = (
    "enapter_simulator(**options): arguments of the Simulator of this test, such as devices=5 or mode='gateway'.",
    "enapter_client(**options): arguments of the EnapterClient of this test, such as timeouts=Timeouts(total=5).",
    "enapter_faults(operation, fault, *, method, path, nth=1, when): what goes wrong, as for FaultPlan.on; repeatable.",
    "enapter_virtual_time: run this test in a loop whose clock jumps instead of waiting.",
)
_SIMULATOR: Final = pytest.StashKey["Simulator"]()
_SHOWN_REQUESTS: Final = 50


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have anyio run tests in virtual time on our loop."""
    if metafunc.definition.get_closest_marker("enapter_virtual_time") and "anyio_backend" in metafunc.fixturenames:
        from enapter_async.integrations.virtual_time import VirtualTimeLoop

        backend = ("asyncio", {"loop_factory": VirtualTimeLoop})
        # As a marker, not with `metafunc.parametrize`: this wins over the parameters that the fixture itself has.
        values = [pytest.param(backend, id="virtual_time")]
        metafunc.definition.add_marker(pytest.mark.parametrize("anyio_backend", values))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the variants that anyio makes for trio: the simulator and the client run on asyncio only."""
    left_out = [item for item in items if "enapter_simulator" in _fixtures(item) and _backend(item) == "trio"]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture
async def enapter_simulator(request: pytest.FixtureRequest) -> AsyncIterator[Simulator]:
    """A running `Simulator` with 20 devices; `@pytest.mark.enapter_simulator(...)` says otherwise.

    Its `requests` are the requests that came in; when the test fails, they are shown.
    """
    from enapter_async.simulator import Simulator

    item: pytest.Item = request.node
    options = _options(item, "enapter_simulator")
    if "faults" in options:
        raise pytest.UsageError("script faults with @pytest.mark.enapter_faults(...), or with enapter_simulator.faults")
    clock = _virtual_clock(item)
    if clock is not None:
        options.setdefault("clock", clock)
    async with Simulator(**options, faults=_faults(item)) as simulator:
        item.stash[_SIMULATOR] = simulator
        yield simulator


@pytest.fixture
async def enapter_client(enapter_simulator: Simulator, request: pytest.FixtureRequest) -> AsyncIterator[EnapterClient]:
    """An `EnapterClient` on `enapter_simulator`; `@pytest.mark.enapter_client(...)` gives it other settings."""
    from enapter_async.client import EnapterClient

    options: dict[str, Any] = {"base_url": enapter_simulator.url, "token": enapter_simulator.token}
    if enapter_simulator.ca_file is not None:
        options["ssl_context"] = ssl.create_default_context(cafile=enapter_simulator.ca_file)
    options.update(_options(request.node, "enapter_client"))
    async with EnapterClient(**options) as client:
        yield client


@pytest.fixture
def enapter_environment(enapter_simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment variables of `EnapterClient.from_env()`, set to `enapter_simulator` during the test.

    With `tls=True`, `SSL_CERT_FILE` is among them: other processes trust its certificate.
    """
    environment = {
        "ENAPTER_HTTP_API_BASE_URL": enapter_simulator.url,
        "ENAPTER_HTTP_API_TOKEN": enapter_simulator.token,
    }
    if enapter_simulator.ca_file is not None:
        environment["SSL_CERT_FILE"] = str(enapter_simulator.ca_file)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ENAPTER_HTTP_API_USER", raising=False)
    return environment


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what a failed test sent."""
    report = yield
    simulator = item.stash.get(_SIMULATOR, None)
    if simulator is not None and report.when == "call" and report.failed:
        report.sections.append(("Requests to enapter_simulator", _told(simulator)))
    return report


def _fixtures(item: pytest.Item) -> list[str]:
    return item.fixturenames if isinstance(item, pytest.Function) else []


def _backend(item: pytest.Item) -> str | None:
    """Name the backend of anyio that a test is a variant for."""
    callspec = getattr(item, "callspec", None)
    parameters: dict[str, Any] = {} if callspec is None else callspec.params
    match parameters.get("anyio_backend"):
        case str(name) | (str(name), _):
            return name
        case _:
            return None


def _options(node: pytest.Item, marker: str) -> dict[str, Any]:
    """Merge the keyword arguments of a marker; the one closest to the test wins."""
    options: dict[str, Any] = {}
    for mark in node.iter_markers(marker):
        if mark.args:
            raise pytest.UsageError(f"@pytest.mark.{marker} takes keyword arguments only")
        options = {**mark.kwargs, **options}
    return options


def _faults(node: pytest.Item) -> FaultPlan:
    from enapter_async.simulator import FaultPlan
    from enapter_async.simulator.resources import OPERATIONS, UNLISTED

    known = {operation.id for operation in (*OPERATIONS, *UNLISTED)}
    plan = FaultPlan()
    for mark in node.iter_markers("enapter_faults"):
        operation = mark.args[0] if mark.args else mark.kwargs.get("operation")
        if operation is not None and operation not in known:
            raise pytest.UsageError(f"enapter_faults: there is no operation {operation!r}{_similar(operation, known)}")
        plan.on(*mark.args, **mark.kwargs)
    return plan


def _similar(operation: object, known: set[str]) -> str:
    from difflib import get_close_matches

    found = get_close_matches(str(operation), sorted(known), n=1)
    return f"; did you mean {found[0]!r}?" if found else ", see the page «Names of operations» of the documentation"


def _virtual_clock(node: pytest.Item) -> Callable[[], float] | None:
    """Give the wall clock of a loop in virtual time, None of any other loop."""
    import asyncio
    import time

    from enapter_async.integrations.virtual_time import VirtualTimeLoop

    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualTimeLoop):
        epoch = time.time() - loop.time()
        return lambda: epoch + loop.time()
    if node.get_closest_marker("enapter_virtual_time") is not None:
        raise pytest.UsageError(
            "enapter_virtual_time: another loop runs already; this works with @pytest.mark.anyio, "
            "and without async fixtures of a wider scope than the test"
        )
    return None


def _told(simulator: Simulator) -> str:
    records = simulator.requests
    lines = [
        f"{record.operation or 'no operation'}: {record.method} {record.path} -> {record.status or 'no answer'}"
        + (f" (fault: {record.fault}, {'applied' if record.applied else 'not applied'})" if record.fault else "")
        for record in records[-_SHOWN_REQUESTS:]
    ]
    if len(records) > _SHOWN_REQUESTS:
        lines.insert(0, f"... {len(records) - _SHOWN_REQUESTS} earlier ones")
    return "\n".join(lines) or "none"
