"""The blueprints of the simulated plant: manifests of spec device/3.0 (reference.md, section 13)."""

from __future__ import annotations

from .declarations import Stock
from .electrolyser import ELECTROLYSER
from .infrastructure import GATEWAY, HARDWARE_UCM, VIRTUAL_UCM
from .power import BATTERY, ENERGY_METER, INVERTER, PV_ARRAY
from .sensors import HYDROGEN_TANK, WEATHER_STATION

INFRASTRUCTURE = (GATEWAY, VIRTUAL_UCM, HARDWARE_UCM)
EQUIPMENT = (
    ELECTROLYSER,
    BATTERY,
    INVERTER,
    PV_ARRAY,
    WEATHER_STATION,
    ENERGY_METER,
    HYDROGEN_TANK,
)
STOCK = INFRASTRUCTURE + EQUIPMENT

__all__ = ["EQUIPMENT", "GATEWAY", "HARDWARE_UCM", "INFRASTRUCTURE", "STOCK", "VIRTUAL_UCM", "Stock"]
