"""An Enapter Cloud or Gateway on loopback: for tests, examples, and first steps without equipment.

    from enapter_async.simulator import Simulator

    async with Simulator(devices=20, seed=1) as sim:
        print(sim.url, sim.token)

It imports nothing of the client, so that it cannot share its mistakes.
"""

from __future__ import annotations

from .catalogue import STOCK, Stock
from .control import ControlError, SimulatorControl
from .entities import Blueprint, Device, LogRecord, Site
from .errors import Refusal
from .faults import Fault, FaultPlan, FaultRule
from .ledger import RequestRecord
from .options import Behaviour
from .roles import Grant, Role
from .run import run
from .simulator import Simulator
from .thread import run_in_thread
from .world import World

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
