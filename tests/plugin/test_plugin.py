"""The pytest plugin, tried by pytest itself in small projects that have nothing but the package."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent

import pytest
from pytest_project import HEAD, Project


def test_the_client_trusts_the_certificate_of_the_simulator(project: Project) -> None:
    project.passes(
        """
        @pytest.mark.enapter_simulator(devices=3, tls=True, mode="cloud")
        async def test_reads(enapter_client: EnapterClient, enapter_simulator: Simulator, enapter_environment):
            assert enapter_simulator.url.startswith("https://")
            assert len(await enapter_client.devices.list().collect()) == 3
            assert enapter_environment["SSL_CERT_FILE"] == str(enapter_simulator.ca_file)
        """,
        1,
    )


def test_a_simulator_and_a_client_for_each_test(project: Project) -> None:
    project.passes(
        """
        async def test_reads(enapter_client: EnapterClient, enapter_simulator: Simulator):
            devices = await enapter_client.devices.list().collect()
            assert len(devices) == len(enapter_simulator.world.devices) == 20
            assert [r.operation for r in enapter_simulator.requests] == ["listDevices"]

        async def test_each_has_its_own(enapter_simulator):
            assert enapter_simulator.requests == []

        @pytest.mark.enapter_simulator(devices=5, mode="gateway", command_seconds=0)
        @pytest.mark.enapter_client(retry=RetryPolicy.none(), timeouts=Timeouts(total=5))
        async def test_options(enapter_client, enapter_simulator):
            assert len(enapter_simulator.world.devices) == 5
            assert (await enapter_client.sites.get_own()).id
            assert enapter_simulator.url.endswith("/api")

        @pytest.mark.enapter_simulator(devices=5)
        class TestClosestMarkerWins:
            @pytest.mark.enapter_simulator(devices=7)
            async def test_it(self, enapter_simulator):
                assert len(enapter_simulator.world.devices) == 7

            async def test_other(self, enapter_simulator):
                assert len(enapter_simulator.world.devices) == 5

        async def test_programs_that_read_the_environment(enapter_environment, enapter_simulator):
            async with EnapterClient.from_env() as client:
                await client.devices.list().first()
            assert len(enapter_simulator.requests) == 1
        """,
        6,
    )


def test_faults_are_scripted_by_a_marker(project: Project) -> None:
    project.passes(
        """
        @pytest.mark.enapter_faults("executeCommand", Fault.reset(), when="after")
        @pytest.mark.enapter_faults("getDevice", Fault.answer(404), nth=None)
        async def test_a_lost_answer_is_not_a_lost_command(enapter_client, enapter_simulator):
            device, command = command_of(enapter_simulator)
            with pytest.raises(OutcomeUnknownError):
                await enapter_client.commands.execute(device, command)
            sent, = enapter_simulator.requests_of("executeCommand")
            assert sent.applied and sent.fault == "reset"
            with pytest.raises(NotFoundError):
                await enapter_client.devices.get(device)
        """,
        1,
    )


def test_time_that_does_not_wait(project: Project) -> None:
    """Minutes of back-off, of pacing and of watching, over real sockets, in a fraction of a second each."""
    project.passes(
        """
        import asyncio, time
        pytestmark = [pytest.mark.anyio, pytest.mark.enapter_virtual_time]

        def now():
            return asyncio.get_running_loop().time()

        @pytest.mark.enapter_faults("listDevices", Fault.rate_limited(30))
        async def test_a_429_is_waited_out(enapter_client, enapter_simulator):
            began, really = now(), time.monotonic()
            assert await enapter_client.devices.list().collect()
            assert 30 <= now() - began < 40
            assert time.monotonic() - really < 60
            first, second = enapter_simulator.requests
            assert second.received_at - first.received_at >= 30

        @pytest.mark.enapter_faults("getDevice", Fault.hang(1000))
        async def test_a_silent_server_is_given_up(enapter_client, enapter_simulator):
            began = now()
            device = next(iter(enapter_simulator.world.devices))
            assert (await enapter_client.devices.get(device)).id == device
            assert 30 <= now() - began < 40  # Timeouts.attempt

        @pytest.mark.enapter_simulator(rate_limit=1, burst=1)
        async def test_a_slow_server_is_paced(enapter_simulator, enapter_client):
            patient = enapter_client.with_options(timeout=3600)
            began = now()
            async with anyio.create_task_group() as tasks:
                for device in list(enapter_simulator.world.devices)[:10]:
                    tasks.start_soon(patient.devices.get, device)
            assert now() - began >= 9

        async def test_watching_for_minutes(enapter_client, enapter_simulator):
            device = next(d for d in await enapter_client.devices.list(expand={"manifest"}).collect()
                          if list(d.manifest.numeric_telemetry()))
            attribute = next(iter(device.manifest.numeric_telemetry()))
            began = now()
            count = 0
            async with enapter_client.telemetry.watch({device.id: [attribute]}, interval=10) as points:
                async for point in points:
                    count += 1
                    if count == 12:
                        break
            assert now() - began >= 100

        async def test_commands_take_their_time(enapter_client, enapter_simulator):
            began = now()
            device, command = command_of(enapter_simulator)
            execution = await enapter_client.commands.run(device, command)
            execution.raise_for_state()
            assert now() - began >= 0.5

        async def test_threads_are_waited_for(enapter_client):
            began = now()
            await anyio.to_thread.run_sync(time.sleep, 0.05)
            await asyncio.to_thread(time.sleep, 0.05)
            with anyio.move_on_after(100) as scope:
                await anyio.to_thread.run_sync(time.sleep, 0.05)
            assert not scope.cancelled_caught
            assert now() - began < 1

        async def test_an_hour_of_sleep():
            began, really = now(), time.monotonic()
            await anyio.sleep(3600)
            assert now() - began == pytest.approx(3600)
            assert time.monotonic() - really < 60
        """,
        7,
    )


def test_synchronous_tests_have_a_simulator_in_a_thread(project: Project) -> None:
    """Blocking clients, subprocesses and programs with a loop of their own, with the markers of the async fixture."""
    project.write(
        "test_it.py",
        """
        import asyncio, os, subprocess, sys, threading, urllib.error, urllib.request
        import pytest
        from enapter_async import EnapterClient
        from enapter_async.simulator import Fault, SimulatorControl

        def read(simulator, path):
            headers = {"X-Enapter-Auth-Token": simulator.token}
            try:
                return urllib.request.urlopen(urllib.request.Request(simulator.url + path, headers=headers)).status
            except urllib.error.HTTPError as error:
                with error:
                    return error.code

        @pytest.mark.enapter_simulator(devices=5, rate_limit=100)
        @pytest.mark.enapter_faults("listDevices", Fault.answer(503), nth=2)
        def test_it(enapter_simulator_sync: SimulatorControl):
            simulator = enapter_simulator_sync
            assert len(simulator.devices()) == 5
            assert [read(simulator, "/v3/devices") for _ in range(3)] == [200, 503, 200]
            assert [r.status for r in simulator.requests_of("listDevices")] == [200, 503, 200]
            simulator.add_fault("listSites", Fault.answer(500))
            assert [read(simulator, "/v3/sites") for _ in range(2)] == [500, 200]

        def test_each_has_its_own_and_the_thread_ends(enapter_simulator_sync):
            assert enapter_simulator_sync.requests == []
            assert [thread.name for thread in threading.enumerate()].count("enapter-simulator") == 1

        PROGRAM = '''
        import asyncio
        from enapter_async import EnapterClient

        async def main():
            async with EnapterClient.from_env() as client:
                print(len(await client.devices.list().collect()))

        asyncio.run(main())
        '''

        def test_other_processes(enapter_environment, enapter_simulator_sync):
            from textwrap import dedent
            done = subprocess.run([sys.executable, "-c", dedent(PROGRAM)], capture_output=True, text=True, check=True)
            assert done.stdout == "20\\n"
            assert enapter_simulator_sync.wait_for_request("listDevices").status == 200

        @pytest.mark.usefixtures("enapter_environment")
        def test_a_loop_of_its_own():
            async def main():
                async with EnapterClient.from_env() as client:
                    return await client.devices.list().collect()
            assert len(asyncio.run(main())) == 20

        @pytest.mark.anyio
        @pytest.mark.usefixtures("enapter_environment")
        async def test_async_ones_still_have_theirs(enapter_simulator):
            async with EnapterClient.from_env() as client:
                await client.devices.list().first()
            assert len(enapter_simulator.requests) == 1

        def test_no_thread_is_left():
            assert "enapter-simulator" not in {thread.name for thread in threading.enumerate()}
        """,
    )
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout


def test_synchronous_tests_name_mistakes_and_show_requests(project: Project) -> None:
    project.write(
        "test_it.py",
        """
        import urllib.request
        import pytest
        from enapter_async.simulator import Fault

        @pytest.mark.enapter_virtual_time
        def test_time(enapter_simulator_sync): pass

        @pytest.mark.anyio
        async def test_async(enapter_simulator_sync): pass

        @pytest.mark.enapter_faults("listDevice", Fault.reset())
        def test_name(enapter_simulator_sync): pass

        def test_fails(enapter_simulator_sync):
            headers = {"X-Enapter-Auth-Token": enapter_simulator_sync.token}
            request = urllib.request.Request(enapter_simulator_sync.url + "/v3/devices", headers=headers)
            with urllib.request.urlopen(request):
                assert False
        """,
    )
    done = project.run("-k", "not trio")
    assert "1 failed" in done.stdout
    assert "3 errors" in done.stdout
    for complaint in (
        "enapter_simulator_sync.advance_clock(seconds)",
        "use enapter_simulator in an async test",
        "did you mean 'listDevices'",
        "listDevices: GET /v3/devices -> 200",
    ):
        assert complaint in done.stdout


def test_trio_is_left_out_without_being_told(project: Project) -> None:
    project.write(
        "test_it.py",
        """
        import pytest

        @pytest.mark.anyio
        async def test_reads(enapter_client, anyio_backend_name):
            assert anyio_backend_name == "asyncio"
            assert await enapter_client.devices.list().collect()

        @pytest.mark.anyio
        async def test_of_something_else(anyio_backend_name):
            assert anyio_backend_name in ("asyncio", "trio")
        """,
    )
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed, 1 deselected" in done.stdout


@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md", "docs/how-to/testing.md"])
def test_what_the_pages_show_is_true(project: Project, name: str) -> None:
    page = (Path(__file__).parents[2] / name).read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    tests = [block for block in blocks if "def test_" in block]
    for number, block in enumerate(tests):
        project.write(f"test_{number}.py", block)
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{page.count('def test_')} passed" in done.stdout


def test_a_failed_test_shows_what_was_sent_and_not_the_token(project: Project) -> None:
    project.write(
        "test_it.py",
        HEAD
        + dedent("""
        @pytest.mark.enapter_simulator(token="-".join(("very", "secret")))
        @pytest.mark.enapter_faults("listDevices", Fault.answer(503))
        async def test_fails(enapter_client):
            await enapter_client.devices.list().collect()
            assert False
        """),
    )
    done = project.run()
    assert done.returncode == 1
    assert "Requests to enapter_simulator" in done.stdout
    assert "listDevices: GET /v3/devices -> 503 (fault: answer 503, not applied)" in done.stdout
    assert "GET /v3/devices -> 503 (fault: answer 503, not applied)" in done.stdout
    assert "GET /v3/devices -> 200" in done.stdout
    assert "very-secret" not in done.stdout + done.stderr


def test_mistakes_are_named(project: Project) -> None:
    mistakes = {
        'enapter_faults("listDevice", Fault.reset())': "unknown operation 'listDevice'; did you mean 'listDevices'",
        'enapter_faults("listDevices", 503)': "fault must be a Fault, such as Fault.answer(503), got 503",
        "enapter_simulator(device=5)": "unexpected keyword argument 'device'; did you mean 'devices'",
        "enapter_simulator(5)": "accepts only keyword arguments",
        "enapter_simulator(faults=None)": "script faults with @pytest.mark.enapter_faults",
        "enapter_client(max_in_flight=0)": "max_in_flight must be a whole number",
    }
    tests = [
        f"@pytest.mark.{marker}\nasync def test_{number}(enapter_client): pass\n"
        for number, marker in enumerate(mistakes)
    ]
    project.write("test_it.py", HEAD + "\n".join(tests))
    done = project.run()
    assert f"{len(mistakes)} errors" in done.stdout
    for complaint in mistakes.values():
        assert complaint in done.stdout


def test_virtual_time_that_cannot_be_had_is_an_error(project: Project) -> None:
    project.write(
        "test_it.py",
        """
        import pytest
        pytestmark = [pytest.mark.anyio, pytest.mark.enapter_virtual_time]

        @pytest.fixture
        async def running_already():
            yield

        class TestWithALoopOfAnother:
            @pytest.fixture(scope="module")
            def anyio_backend(self):
                return "asyncio"

            async def test_a_plain_override_of_the_backend_is_no_obstacle(self, enapter_simulator): pass
        """,
    )
    done = project.run()
    assert done.returncode == 0, done.stdout
    project.write(
        "test_it.py",
        """
        import pytest
        pytestmark = pytest.mark.anyio

        @pytest.fixture(scope="module")
        def anyio_backend():
            return "asyncio"

        @pytest.fixture(scope="module", autouse=True)
        async def wide(anyio_backend):
            yield

        async def test_first(): pass

        @pytest.mark.enapter_virtual_time
        async def test_it(enapter_simulator): pass
        """,
    )
    done = project.run()
    assert done.returncode == 1
    assert "another loop is running" in done.stdout or "ScopeMismatch" in done.stdout


@pytest.mark.skipif(find_spec("pytest_asyncio") is None, reason="pytest-asyncio is not installed")
def test_pytest_asyncio_in_auto_mode(project: Project) -> None:
    project.write("pytest.ini", "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    project.write(
        "conftest.py",
        """
        from enapter_async.integrations.virtual_time import VirtualTimeLoop

        def pytest_asyncio_loop_factories(config, item):
            return {"virtual": VirtualTimeLoop}
        """,
    )
    project.write(
        "test_it.py",
        """
        import asyncio

        async def test_it(enapter_client):
            assert len(await enapter_client.devices.list().collect()) == 20

        async def test_time(enapter_client):
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(1000)
            assert asyncio.get_running_loop().time() - began >= 1000
        """,
    )
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr


def test_costs_next_to_nothing_where_it_is_not_used(project: Project) -> None:
    """Every pytest of the environment imports it: no aiohttp, no asyncio of ours, a few milliseconds."""
    project.write(
        "test_it.py",
        """
        import sys

        def test_it():
            assert "enapter_async.pytest_plugin" in sys.modules
            heavy = {"aiohttp", "cattrs", "enapter_async.client", "enapter_async.simulator"}
            assert not heavy & set(sys.modules)
        """,
    )
    done = project.run("-p", "no:anyio")
    assert done.returncode == 0, done.stdout + done.stderr
    code = "import enapter_async.pytest_plugin"
    timed = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True)
    ours = {
        found[2]: int(found[1])
        for found in re.finditer(r"import time: +(\d+) \| +\d+ \| +(enapter_async[\w.]*)", timed.stderr)
    }
    assert set(ours) == {
        "enapter_async",
        "enapter_async.integrations",
        "enapter_async.integrations._pytest_markers",
        "enapter_async.integrations._pytest_runners",
        "enapter_async.integrations._pytest_sync",
        "enapter_async.integrations.pytest_plugin",
        "enapter_async.pytest_plugin",
    }
