"""The simulator for `def` tests. It runs in its own thread, and is controlled through its control API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from enapter_async.integrations._pytest_markers import SIMULATOR, is_async, read_faults, read_options

if TYPE_CHECKING:
    from enapter_async.simulator import SimulatorControl


@pytest.fixture
def enapter_simulator_sync(request: pytest.FixtureRequest) -> Iterator[SimulatorControl]:
    """The control of a simulator that runs in its own thread, for `def` tests.

    Use it to test web frameworks, subprocesses, and programs with their own event loop. It takes the same markers as
    `enapter_simulator`. `url` and `token` are those of the API, and `requests` are the requests received.
    """
    from enapter_async.simulator import Simulator, run_in_thread

    item: pytest.Item = request.node
    if item.get_closest_marker("enapter_virtual_time") is not None:
        raise pytest.UsageError(
            "enapter_virtual_time needs an async test with enapter_simulator; "
            "here, move the simulator's clock with enapter_simulator_sync.advance_clock(seconds)"
        )
    if is_async(item):
        raise pytest.UsageError("use enapter_simulator in an async test: enapter_simulator_sync is for def tests")
    simulator = Simulator(**read_options(item, "enapter_simulator"), faults=read_faults(item))
    with run_in_thread(simulator) as control:
        item.stash[SIMULATOR] = simulator
        yield control
