"""Which attributes of a device are exported."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from enapter_async import Device, EnapterClient
from enapter_async.exporter import select_devices
from enapter_async.simulator import Simulator

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("attributes", ["numeric", "all"])
async def test_an_attribute_that_no_request_can_name_is_left_out_alone(
    attributes: Literal["numeric", "all"], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    declared: dict[str, Any] = {
        "power": {"type": "float", "display_name": "Power", "unit": "W"},
        "po\ud800wer": {"type": "float", "display_name": "Odd"},
        " ": {"type": "float", "display_name": "Blank"},
    }
    async with Simulator(devices=1) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        (device,) = await client.devices.list(expand={"manifest"}).collect()
        assert device.manifest is not None
        device.manifest.raw["telemetry"] = declared

        async def listing() -> Any:
            yield device

        monkeypatch.setattr(type(client.devices), "list", lambda *_, **__: listing())
        (selected,) = await select_devices(client, (), attributes)
    assert isinstance(device, Device)
    assert list(selected.attributes) == ["power", *(["alerts", "alert_details"] if attributes == "all" else [])]
    assert selected.units["power"] == "W"
    assert "'po\\ud800wer' is left out" in caplog.text
