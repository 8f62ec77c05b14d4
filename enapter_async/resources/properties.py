"""Properties, the values that a device last reported about itself."""

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
    """Read the properties of devices."""

    async def get(self, device_id: str, *, site_id: str | None = None, timeout: float | None = None) -> dict[str, JSON]:
        """Get the last reported property values of a device.

        This endpoint is not documented. Prefer `devices.get(device_id, expand={"properties"})`, which returns the
        same values.

        Args:
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            site_id: Site of the device.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            Values by property name.

        Raises:
            NotFoundError: The device does not exist, the token cannot see it, or the server lacks the endpoint.
        """
        request = Request(_GET, device_path(device_id, site_id, "properties"))
        return await self._session.send(request, _PROPERTIES, timeout)


class RawProperties(RawResource):
    """The methods of `Properties`. They return a `Response`."""

    def __init__(self, session: Session) -> None:
        super().__init__(Properties(session))

    @raw(Properties.get)
    def get(self) -> None:
        """Like `Properties.get`."""
