"""Properties: what a device last reported of itself."""

from __future__ import annotations

from typing import Final

from enapter_async._protocol.decoding.envelopes import Optionally
from enapter_async._protocol.request import Operation, Request, Safety
from enapter_async._session import Session
from enapter_async.models.common import JSON
from enapter_async.resources._resource import RawResource, Resource, device_path, raw

_GET: Final = Operation("properties.get", "GET", Safety.READ)

_PROPERTIES: Final = Optionally("properties", dict[str, JSON])


class Properties(Resource):
    """Properties of devices."""

    async def get(self, device_id: str, *, site_id: str | None = None, timeout: float | None = None) -> dict[str, JSON]:
        """Get the last reported property values of a device.

        The established way to the same values is `devices.get(device_id, expand={"properties"})`: this
        endpoint is not documented.

        Args:
            device_id: Its ID, or its slug (on the Cloud with `site_id` only).
            site_id: Site of the device.
            timeout: Seconds for the whole call.

        Returns:
            Values by property name. Re-sent freely. Role: READONLY, and per property what the manifest says.

        Raises:
            NotFoundError: There is no such device, the token cannot see it, or the server lacks the endpoint.
        """
        request = Request(_GET, device_path(device_id, site_id, "properties"))
        return await self._session.send(request, _PROPERTIES, timeout)


class RawProperties(RawResource):
    """The methods of `Properties`, with the facts of their call."""

    def __init__(self, session: Session) -> None:
        super().__init__(Properties(session))

    @raw(Properties.get)
    def get(self) -> None:
        """Like `Properties.get`."""
