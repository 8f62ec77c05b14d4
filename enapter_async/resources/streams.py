"""Live streams of everything that selected devices send."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from enapter_async._protocol import query
from enapter_async._protocol.decoding.frames import DEVICE_FRAME
from enapter_async._protocol.request import Operation, Request, Safety
from enapter_async._streaming.stream import Stream
from enapter_async._streaming.stream_reader import Subscription
from enapter_async.config import StreamPolicy
from enapter_async.models.streams import DeviceFrame
from enapter_async.resources._resource import Resource, site_path

_DEVICES: Final = Operation("streams.devices", "GET", Safety.READ)


class Streams(Resource):
    """Follow several devices at once."""

    def devices(
        self,
        device_ids: Iterable[str],
        *,
        site_id: str | None = None,
        policy: StreamPolicy | None = None,
        timeout: float | None = None,
    ) -> Stream[DeviceFrame]:
        """Follow telemetry, properties and log records of several devices.

        Use it as `async with client.streams.devices(ids) as stream: async for frame in stream: ...`.

        Args:
            device_ids: IDs of the devices; slugs may not work here. About 180 devices share a connection, since a URL
                should stay below 8,000 bytes. Each connection counts towards `max_streams`.
            site_id: Site of the devices.
            policy: How to keep the stream open, and what to do when frames arrive faster than you read them.
            timeout: Timeout for opening the stream, in seconds.

        Returns:
            A `Stream`, which connects when you enter it. Lost connections are reported as `StreamGap`; the messages
            missed in between are not replayed.

        Raises:
            InvalidArgumentError: There are no devices, or an ID is invalid.
        """
        path = "v3/devices/" if site_id is None else site_path(site_id, "devices", "")
        parts = _parts(device_ids)
        subscriptions = [
            Subscription[DeviceFrame](Request(_DEVICES, path, encoded), ids if len(parts) > 1 else ())
            for encoded, ids in parts
        ]
        return Stream(self._session, subscriptions, DEVICE_FRAME, policy=policy, timeout=timeout)


def _parts(device_ids: Iterable[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return query strings that together cover every device once, each with its devices."""
    parts: list[tuple[str, tuple[str, ...]]] = []
    pairs: list[str] = []
    devices: list[str] = []
    length = 0
    for device_id in dict.fromkeys(query.texts(device_ids, "device_ids")):
        # The parameter is repeated, once for each device (reference.md, Streams).
        pair = query.encode([("id.in", device_id)])
        if pairs and length + len(pair) > query.MAX_BYTES:
            parts.append(("&".join(pairs), tuple(devices)))
            pairs, devices, length = [], [], 0
        pairs.append(pair)
        devices.append(device_id)
        length += len(pair) + 1
    parts.append(("&".join(pairs), tuple(devices)))
    return parts
