"""Simulate an Enapter Cloud or Gateway on loopback, for tests, examples, and first steps without equipment.

    from enapter_async.simulator import Simulator

    async with Simulator(devices=20, seed=1) as sim:
        print(sim.url, sim.token)

The simulator imports nothing from the client, so that it cannot share the client's mistakes.
"""

from __future__ import annotations

from ._server.catalogue import STOCK, Stock
from ._server.control import ControlError, SimulatorControl
from ._server.errors import Refusal
from ._server.faults import Fault, FaultPlan, FaultRule
from ._server.ledger import RequestRecord
from ._server.options import Behaviour
from ._server.roles import Grant, Role
from ._server.run import run
from ._server.simulator import Simulator
from ._server.thread import run_in_thread
from ._server.world.entities import Blueprint, Device, LogRecord, Site
from ._server.world.world import World

__all__ = [
    "STOCK",
    "Behaviour",
    "Blueprint",
    "ControlError",
    "Device",
    "Fault",
    "FaultPlan",
    "FaultRule",
    "Grant",
    "LogRecord",
    "Refusal",
    "RequestRecord",
    "Role",
    "Simulator",
    "SimulatorControl",
    "Site",
    "Stock",
    "World",
    "run",
    "run_in_thread",
]
