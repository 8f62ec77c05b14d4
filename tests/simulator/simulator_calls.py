"""A plain aiohttp caller that knows nothing of our client."""

from __future__ import annotations

from typing import Any

import aiohttp

from enapter_async.simulator import Device, Simulator


class Caller:
    """Calls a simulator with its token."""

    def __init__(self, sim: Simulator, session: aiohttp.ClientSession) -> None:
        self.sim = sim
        self.session = session

    async def __call__(
        self, method: str, path: str, *, status: int = 200, token: str | None = None, **kwargs: Any
    ) -> Any:
        """Call, check the status, and give the JSON."""
        headers = {
            "X-Enapter-Auth-Token": self.sim.token if token is None else token,
            "X-Enapter-Allow-HTTP": "true",
        } | kwargs.pop("headers", {})
        kwargs.setdefault("allow_redirects", False)
        async with self.session.request(method, self.sim.url + path, headers=headers, **kwargs) as response:
            body = await response.read()
            assert response.status == status, body
            return await response.json() if response.content_type == "application/json" and body else body


def device_of(sim: Simulator, blueprint: str) -> Device:
    """Give the first device that was made from a stock blueprint."""
    wanted = sim.world.find_blueprint(blueprint)
    return next(device for device in sim.world.devices.values() if device.blueprint is wanted)
