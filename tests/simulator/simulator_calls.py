"""A plain aiohttp caller that knows nothing of our client."""

from __future__ import annotations

from typing import Any

import aiohttp
from simulator_contract import check_answer

from enapter_async.simulator import Device, Simulator


class Caller:
    """Calls a simulator with its token."""

    def __init__(self, sim: Simulator, session: aiohttp.ClientSession) -> None:
        self.sim = sim
        self.session = session

    async def __call__(self, method: str, path: str, *, status: int = 200, **kwargs: Any) -> Any:
        """Call, check status and contract, and give the JSON."""
        got, answer = await self.answer(method, path, **kwargs)
        assert got == status, answer
        return answer

    async def answer(self, method: str, path: str, *, token: str | None = None, **kwargs: Any) -> tuple[int, Any]:
        """Call, check the contract, and give the status and the JSON, or the bytes of what is none."""
        headers = {
            "X-Enapter-Auth-Token": self.sim.token if token is None else token,
            "X-Enapter-Allow-HTTP": "true",
        } | kwargs.pop("headers", {})
        kwargs.setdefault("allow_redirects", False)
        async with self.session.request(method, self.sim.url + path, headers=headers, **kwargs) as response:
            body = await response.read()
            record = self.sim.requests[-1]
            if record.fault is None:
                check_answer(record.operation, response.status, response.content_type, body)
            is_json = response.content_type == "application/json" and body
            return response.status, await response.json() if is_json else body


def device_of(sim: Simulator, blueprint: str) -> Device:
    """Give the first device that was made from a stock blueprint."""
    wanted = sim.world.find_blueprint(blueprint)
    return next(device for device in sim.world.devices.values() if device.blueprint is wanted)
