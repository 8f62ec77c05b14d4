"""The fixtures under every plugin that runs async tests. Only `nox -s pytest_asyncio` has pytest-asyncio installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

import pytest
from pytest_project import Project

needs_asyncio = pytest.mark.skipif(find_spec("pytest_asyncio") is None, reason="pytest-asyncio is not installed")

TESTS: Final = """
import asyncio
import pytest
from enapter_async import EnapterClient, NotFoundError
from enapter_async.simulator import Fault, Simulator

{mark}

async def count(client: EnapterClient) -> int:
    async with asyncio.timeout(10):
        return len(await client.devices.list().collect())

async def test_reads(enapter_client, enapter_simulator):
    assert await count(enapter_client) == len(enapter_simulator.world.devices) == 20
    assert [request.operation for request in enapter_simulator.requests] == ["listDevices"]

async def test_each_has_its_own(enapter_simulator):
    assert enapter_simulator.requests == []

@pytest.mark.enapter_simulator(devices=5)
@pytest.mark.enapter_faults("getDevice", Fault.answer(404))
async def test_markers(enapter_client):
    assert await count(enapter_client) == 5
    with pytest.raises(NotFoundError):
        await enapter_client.devices.get("nobody")

class TestMethods:
    async def test_it(self, enapter_client):
        assert await count(enapter_client) == 20

@pytest.mark.usefixtures("enapter_environment")
async def test_programs_that_read_the_environment(enapter_simulator):
    async with EnapterClient.from_env() as client:
        assert await count(client) == 20
    assert len(enapter_simulator.requests) == 1

{fixture}
async def five(enapter_client):
    yield await enapter_client.devices.list(max_items=5).collect()
    assert await count(enapter_client) == 20

async def test_with_an_async_fixture_of_its_own(five, enapter_client):
    assert len(five) == 5
    assert await count(enapter_client) == 20

async def test_streams_outlive_the_set_up(enapter_client, five):
    async with enapter_client.telemetry.follow(five[0].id) as stream, asyncio.timeout(10):
        await anext(stream)
"""
SYNC: Final = """
def test_without_a_loop(enapter_simulator_sync):
    assert len(enapter_simulator_sync.devices()) == 20
"""
COUNT: Final = 8

ANYIO_ONLY: Final = "pytestmark = pytest.mark.anyio\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n"
MARKED: Final = "pytestmark = pytest.mark.asyncio"
IN_SESSION: Final = "pytestmark = pytest.mark.asyncio(loop_scope='session')"
IN_MODULE: Final = "pytestmark = pytest.mark.asyncio(loop_scope='module')"
PLAIN: Final = "@pytest.fixture"
OF_ASYNCIO: Final = "import pytest_asyncio\n@pytest_asyncio.fixture"

FUNCTION: Final = "asyncio_default_fixture_loop_scope = function\n"
SESSION: Final = "asyncio_default_fixture_loop_scope = session\nasyncio_default_test_loop_scope = session\n"
AUTO: Final = "asyncio_mode = auto\n"

PROJECTS: Final = {
    "auto": (AUTO + FUNCTION, "", PLAIN),
    "auto, loop of the session": (AUTO + SESSION, "", PLAIN),
    "auto, default scopes": (AUTO, "", PLAIN),
    "auto, tests marked for the session": (AUTO + "asyncio_default_fixture_loop_scope = session\n", IN_SESSION, PLAIN),
    "strict": (FUNCTION, MARKED, OF_ASYNCIO),
    "strict, loop of the session": (SESSION, MARKED, OF_ASYNCIO),
    "strict, tests marked for the module": (FUNCTION, IN_MODULE, OF_ASYNCIO + "(loop_scope='module')"),
    "strict, tests marked for the session": (FUNCTION, IN_SESSION, OF_ASYNCIO + "(loop_scope='session')"),
    "anyio beside strict": (FUNCTION, ANYIO_ONLY, PLAIN),
    "anyio with a loop for the module": (
        FUNCTION,
        ANYIO_ONLY.replace("@pytest.fixture", "@pytest.fixture(scope='module')"),
        PLAIN,
    ),
    "anyio's auto mode": (FUNCTION + "anyio_mode = auto\n", ANYIO_ONLY.partition("\n")[2], PLAIN),
}


def write(project: Project, options: str, mark: str, fixture: str) -> None:
    project.write("pytest.ini", f"[pytest]\n{options}")
    project.write("test_it.py", TESTS.format(mark=mark, fixture=fixture))
    project.write("test_sync.py", SYNC)


def expect(project: Project, *arguments: str, count: int = COUNT) -> None:
    done = project.run(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{count} passed" in done.stdout


def test_anyio_alone(project: Project) -> None:
    project.write("test_it.py", TESTS.format(mark=ANYIO_ONLY, fixture=PLAIN))
    project.write("test_sync.py", SYNC)
    expect(project)


@needs_asyncio
@pytest.mark.parametrize("name", PROJECTS)
def test_pytest_asyncio(project: Project, name: str) -> None:
    write(project, *PROJECTS[name])
    expect(project, "-W", "ignore:The configuration option")


@needs_asyncio
@pytest.mark.parametrize("name", ["auto, loop of the session", "strict", "anyio beside strict"])
def test_xdist(project: Project, name: str) -> None:
    write(project, *PROJECTS[name])
    expect(project, "-n", "2")


@needs_asyncio
@pytest.mark.parametrize(
    ("options", "mark", "remedy"),
    [
        (AUTO + FUNCTION, "@pytest.mark.anyio", 'or set asyncio_mode = "strict"'),
        (FUNCTION, "@pytest.mark.anyio\n@pytest.mark.asyncio", "or remove the asyncio marker"),
        (FUNCTION + "anyio_mode = auto\n", "@pytest.mark.asyncio", "or remove the asyncio marker"),
    ],
)
def test_a_test_that_two_plugins_would_run(project: Project, options: str, mark: str, remedy: str) -> None:
    project.write("pytest.ini", f"[pytest]\n{options}")
    project.write("test_it.py", f"import pytest\n\n{mark}\nasync def test_it(enapter_client): pass\n")
    done = project.run()
    assert done.returncode == 1
    assert "two plugins would run test_it" in done.stdout
    assert remedy in done.stdout
    assert "Traceback" not in done.stdout
    assert "AssertionError" not in done.stdout


@pytest.mark.parametrize(
    ("test", "advice"),
    [
        ("async def test_it(enapter_client): pass", "no plugin runs the async test test_it: mark it with"),
        ("def test_it(enapter_client): pass", "use enapter_simulator_sync, or make the test async"),
        ("def test_it(enapter_simulator): pass", "use enapter_simulator_sync, or make the test async"),
    ],
)
def test_a_test_that_no_plugin_runs(project: Project, test: str, advice: str) -> None:
    project.write("test_it.py", test + "\n")
    done = project.run()
    assert done.returncode == 1
    assert advice in done.stdout
    assert "AssertionError" not in done.stdout


@needs_asyncio
def test_without_a_marker_in_strict_mode(project: Project) -> None:
    project.write("pytest.ini", f"[pytest]\n{FUNCTION}")
    project.write("test_it.py", "async def test_it(enapter_client): pass\n")
    assert "mark it with @pytest.mark.anyio or @pytest.mark.asyncio" in project.run().stdout


@needs_asyncio
def test_a_def_test_with_an_async_fixture(project: Project) -> None:
    """What the fixture found is a plain value: no loop is needed to look at it."""
    project.write("pytest.ini", f"[pytest]\n{AUTO + FUNCTION}")
    project.write(
        "test_it.py",
        """
        import pytest

        @pytest.fixture
        async def devices(enapter_client):
            return await enapter_client.devices.list().collect()

        def test_it(devices):
            assert len(devices) == 20
        """,
    )
    expect(project, count=1)


@needs_asyncio
def test_virtual_time_for_the_tests_that_ask_for_it(project: Project) -> None:
    project.write("pytest.ini", f"[pytest]\n{AUTO + FUNCTION}")
    test = """
        import asyncio, time
        import pytest

        @pytest.mark.enapter_virtual_time
        async def test_an_hour(enapter_client):
            began = time.monotonic()
            await asyncio.sleep(3600)
            assert len(await enapter_client.devices.list().collect()) == 20
            assert time.monotonic() - began < 30

        async def test_real_time(enapter_client):
            assert len(await enapter_client.devices.list().collect()) == 20
            assert abs(asyncio.get_running_loop().time() - time.monotonic()) < 1
        """
    project.write("test_it.py", test)
    assert "import pytest_asyncio_loop_factories" in project.run().stdout
    project.write("conftest.py", "from enapter_async.integrations.virtual_time import pytest_asyncio_loop_factories\n")
    expect(project, count=2)


def test_unittest_has_a_simulator_in_a_thread(project: Project) -> None:
    project.write(
        "test_it.py",
        """
        import unittest
        import pytest
        from enapter_async import EnapterClient

        @pytest.mark.usefixtures("enapter_environment")
        class TestService(unittest.IsolatedAsyncioTestCase):
            async def test_it(self):
                async with EnapterClient.from_env() as client:
                    self.assertEqual(len(await client.devices.list().collect()), 20)
        """,
    )
    expect(project, count=1)


HYPOTHESIS: Final = """
import pytest
from hypothesis import HealthCheck, given, settings, strategies

{mark}

@pytest.mark.parametrize("most", [3, 5])
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=strategies.integers(1, 2))
async def test_it(enapter_client, enapter_environment, count, most):
    assert len(await enapter_client.devices.list(max_items=count)) == count < most

@pytest.mark.usefixtures("enapter_environment")
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=strategies.integers(1, 2))
def test_sync(enapter_simulator_sync, count):
    assert len(enapter_simulator_sync.devices()) > count
"""


@pytest.mark.parametrize(
    ("options", "mark"),
    [
        ("", ANYIO_ONLY.replace("pytestmark", "MARK")),
        pytest.param(AUTO + FUNCTION, "MARK = lambda test: test", marks=needs_asyncio),
        pytest.param(FUNCTION, "MARK = pytest.mark.asyncio", marks=needs_asyncio),
    ],
    ids=["anyio", "auto", "strict"],
)
def test_hypothesis(project: Project, options: str, mark: str) -> None:
    if options:
        project.write("pytest.ini", f"[pytest]\n{options}")
    marked = HYPOTHESIS.replace("@pytest.mark.parametrize", "@MARK\n@pytest.mark.parametrize")
    project.write("test_it.py", marked.format(mark=mark))
    expect(project, count=3)


def test_a_project_may_replace_the_simulators(project: Project) -> None:
    project.write(
        "test_it.py",
        """
        import os, pytest
        from enapter_async import EnapterClient
        from enapter_async.simulator import Simulator, run_in_thread

        @pytest.fixture(scope="module")
        def anyio_backend(): return "asyncio"

        @pytest.fixture(scope="module")
        async def enapter_simulator(anyio_backend):
            async with Simulator(devices=7) as simulator:
                yield simulator

        @pytest.fixture(scope="module")
        def enapter_simulator_sync():
            with run_in_thread(Simulator(devices=3)) as control:
                yield control

        @pytest.mark.anyio
        async def test_async(enapter_client, enapter_environment):
            async with EnapterClient.from_env() as client:
                assert len(await client.devices.list()) == len(await enapter_client.devices.list()) == 7

        def test_sync(enapter_environment, enapter_simulator_sync):
            assert enapter_environment["ENAPTER_HTTP_API_BASE_URL"] == enapter_simulator_sync.url
        """,
    )
    expect(project, count=2)
