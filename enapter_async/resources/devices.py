"""Devices, such as electrolysers, batteries, inverters and sensors, and the UCMs and Gateways they run on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from enapter_async._protocol import query
from enapter_async._protocol.body import json_request, nothing, select_given
from enapter_async._protocol.decoding.envelopes import Enveloped, OrNone, PageOf, Whole
from enapter_async._protocol.request import Operation, Request, Safety
from enapter_async._protocol.terminal import terminal_request
from enapter_async._session import Session
from enapter_async._streaming.terminal import Terminal
from enapter_async.errors import InvalidArgumentError
from enapter_async.models.common import UNSET, Unset
from enapter_async.models.communication import CommunicationConfig, MqttProtocol, MqttProtocolName
from enapter_async.models.devices import Device
from enapter_async.models.manifest import Manifest
from enapter_async.models.terminal import TerminalSession
from enapter_async.pagination import DEFAULT_CONCURRENCY, Pager
from enapter_async.resources._resource import RawResource, Resource, device_path, raw, site_path

DeviceExpand: TypeAlias = Literal[
    "site", "manifest", "properties", "connectivity", "communication", "raised_alert_names"
]
"""Optional parts of a device. Parts that you do not request are None."""

_LIST: Final = Operation("devices.list", "GET", Safety.READ)
_GET: Final = Operation("devices.get", "GET", Safety.READ)
_UPDATE: Final = Operation("devices.update", "PATCH", Safety.CONVERGE)
_DELETE: Final = Operation("devices.delete", "DELETE", Safety.CONVERGE)
_GET_MANIFEST: Final = Operation("devices.get_manifest", "GET", Safety.READ)
_ASSIGN_BLUEPRINT: Final = Operation("devices.assign_blueprint", "POST", Safety.CONVERGE)
_GENERATE_CONFIG: Final = Operation("devices.generate_communication_config", "POST", Safety.UNSAFE)
_RUN_TERMINAL: Final = Operation("devices.run_terminal", "POST", Safety.UNSAFE)


_DEVICE: Final = Enveloped("device", Device)
_DEVICE_IF_ANY: Final = OrNone("device", Device)
_MANIFEST: Final = Enveloped("manifest", Manifest)
_CONFIG: Final = Enveloped("config", CommunicationConfig)
_TERMINAL: Final = Whole(TerminalSession)
_PAGE: Final = PageOf("devices", Device)
_EXPANDS: Final = frozenset({"site", "manifest", "properties", "connectivity", "communication", "raised_alert_names"})
# Manifests are large, and all pages of a window are in memory at once. For 5,000 devices at 20 ms, 4 pages at a time
# take
# 1.3 s, 8 take 0.9 s, 16 take 0.7 s.
_CONCURRENCY_WITH_MANIFESTS: Final = 8


class Devices(Resource):
    """Manage devices, of all sites or of one site."""

    def list(
        self,
        *,
        site_id: str | None = None,
        expand: Iterable[DeviceExpand] = (),
        page_size: int | None = None,
        offset: int = 0,
        max_items: int | None = None,
        concurrency: int | None = None,
        timeout: float | None = None,
    ) -> Pager[Device]:
        """List the devices that the token can see, ordered by ID.

        Args:
            site_id: Only devices of this site.
            expand: Parts to include: site, manifest, properties, connectivity, communication, raised_alert_names.
            page_size: Items per request, 1 to 50.
            offset: Number of items to skip.
            max_items: Maximum number of items to return.
            concurrency: Maximum number of pages requested at once. 1 requests them one after another.
            timeout: Timeout of each request, in seconds.

        Returns:
            A `Pager`. Requests are sent when you iterate or await it.

        Raises:
            InvalidArgumentError: An argument is invalid.
        """
        expanded = query.chosen(expand, _EXPANDS, "expand")
        return self._pager(
            _LIST,
            "v3/devices" if site_id is None else site_path(site_id, "devices"),
            _PAGE,
            key=_id,
            filters=[("expand", expanded)] if expanded else [],
            page_size=page_size,
            offset=offset,
            max_items=max_items,
            concurrency=concurrency,
            timeout=timeout,
            default_concurrency=_CONCURRENCY_WITH_MANIFESTS if "manifest" in expanded else DEFAULT_CONCURRENCY,
        )

    async def get(
        self,
        device_id: str,
        *,
        site_id: str | None = None,
        expand: Iterable[DeviceExpand] = (),
        timeout: float | None = None,
    ) -> Device:
        """Get a device.

        Args:
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            site_id: Site of the device.
            expand: Parts to include: site, manifest, properties, connectivity, communication, raised_alert_names.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The device. Parts that were not requested with `expand` are None.

        Raises:
            NotFoundError: The device does not exist, or the token cannot see it.
        """
        expanded = query.chosen(expand, _EXPANDS, "expand")
        request = Request(
            _GET, device_path(device_id, site_id), query.encode([("expand", expanded)]) if expanded else ""
        )
        return await self._session.send(request, _DEVICE, timeout)

    async def update(
        self,
        device_id: str,
        *,
        name: str | Unset = UNSET,
        slug: str | Unset = UNSET,
        site_id: str | None = None,
        timeout: float | None = None,
    ) -> Device:
        """Change the name or slug of a device. Fields that you omit stay unchanged.

        Args:
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            name: New display name.
            slug: New slug, unique within the site.
            site_id: Site of the device.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The updated device.

        Raises:
            InvalidArgumentError: No change was given.
            ConflictError: Another device already has this slug.
        """
        fields = select_given({"name": name, "slug": slug})
        if not fields:
            raise InvalidArgumentError("name", "give at least one of name and slug")
        for argument, value in fields.items():
            query.text(value, argument)
        request = json_request(_UPDATE, device_path(device_id, site_id), fields)
        return await self._session.send(request, _DEVICE, timeout)

    async def delete(self, device_id: str, *, site_id: str | None = None, timeout: float | None = None) -> None:
        """Delete a device. Delete Lua devices before the UCM that they run on.

        Args:
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            site_id: Site of the device.
            timeout: Timeout of the whole call, in seconds.

        Raises:
            NotFoundError: The device does not exist. A retried deletion that finds nothing counts as success.
        """
        return await self._session.send(Request(_DELETE, device_path(device_id, site_id)), nothing, timeout)

    async def get_manifest(
        self, device_id: str, *, site_id: str | None = None, timeout: float | None = None
    ) -> Manifest:
        """Get the manifest of a device's blueprint: its telemetry, properties, configuration and commands.

        Args:
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            site_id: Site of the device.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The manifest.

        Raises:
            NotFoundError: The device does not exist, or it has no blueprint.
        """
        request = Request(_GET_MANIFEST, device_path(device_id, site_id, "manifest"))
        return await self._session.send(request, _MANIFEST, timeout)

    async def assign_blueprint(
        self, device_id: str, blueprint_id: str, *, site_id: str | None = None, timeout: float | None = None
    ) -> Device:
        """Assign a blueprint to a device.

        Args:
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            blueprint_id: ID of the blueprint.
            site_id: Site of the device.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The updated device. If the server does not return it, it is fetched with `get`.

        Raises:
            NotFoundError: The device or the blueprint does not exist.
        """
        left = self._countdown(timeout)
        device = await self._assign_blueprint(device_id, blueprint_id, site_id=site_id, timeout=left())
        return device if device is not None else await self.get(device_id, site_id=site_id, timeout=left())

    async def _assign_blueprint(
        self, device_id: str, blueprint_id: str, *, site_id: str | None = None, timeout: float | None = None
    ) -> Device | None:
        fields = {"blueprint_id": query.text(blueprint_id, "blueprint_id")}
        request = json_request(_ASSIGN_BLUEPRINT, device_path(device_id, site_id, "assign_blueprint"), fields)
        return await self._session.send(request, _DEVICE_IF_ANY, timeout)

    async def generate_communication_config(
        self,
        device_id: str,
        *,
        protocol: MqttProtocol | MqttProtocolName,
        site_id: str | None = None,
        timeout: float | None = None,
    ) -> CommunicationConfig:
        """Generate the communication config that a device connects with. An earlier config may stop working.

        Args:
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            protocol: MQTT (with a password) or MQTTS (with a certificate).
            site_id: Site of the device.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The config. It contains secrets.

        Raises:
            OutcomeUnknownError: No response was received. The device may have a new config that was lost.
        """
        path = device_path(device_id, site_id, "generate_config")
        request = json_request(_GENERATE_CONFIG, path, {"protocol": query.member(protocol, MqttProtocol, "protocol")})
        return await self._session.send(request, _CONFIG, timeout)

    async def run_terminal(
        self, device_id: str, *, site_id: str | None = None, timeout: float | None = None
    ) -> TerminalSession:
        """Start a terminal session on a Gateway that allows it. Connect to it with `open_terminal`. Cloud only.

        Args:
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            site_id: Site of the device.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The address of the session and the secret that opens it.

        Raises:
            OutcomeUnknownError: No response was received. A session may be open.
        """
        request = Request(_RUN_TERMINAL, device_path(device_id, site_id, "run_terminal"))
        return await self._session.send(request, _TERMINAL, timeout)

    def open_terminal(self, session: TerminalSession, *, timeout: float | None = None) -> Terminal:
        r"""Open the terminal of a session that `run_terminal` started.

        Use it as `async with client.devices.open_terminal(session) as terminal:`, with
        `await terminal.send("uptime\n")` and `async for text in terminal: ...`. Only the session's own token is sent,
        never your API token. An open terminal counts towards `max_streams`.

        Args:
            session: The result of `run_terminal`.
            timeout: Timeout for opening the terminal, in seconds.

        Raises:
            InvalidArgumentError: The session's address or token is invalid, or the address is plain `ws://` although
                the client uses https.
        """
        request = terminal_request(session, base_url=self._session.base_url)
        return Terminal(self._session, request, session.channel_id, timeout=timeout)


class RawDevices(RawResource):
    """The methods of `Devices` that send one request. They return a `Response`."""

    def __init__(self, session: Session) -> None:
        super().__init__(Devices(session))

    @raw(Devices.get)
    def get(self) -> None:
        """Like `Devices.get`."""

    @raw(Devices.update)
    def update(self) -> None:
        """Like `Devices.update`."""

    @raw(Devices.delete)
    def delete(self) -> None:
        """Like `Devices.delete`."""

    @raw(Devices.get_manifest)
    def get_manifest(self) -> None:
        """Like `Devices.get_manifest`."""

    @raw(Devices._assign_blueprint)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    def assign_blueprint(self) -> None:
        """Like `Devices.assign_blueprint`, but in one request: the value is None if the server does not return it."""

    @raw(Devices.generate_communication_config)
    def generate_communication_config(self) -> None:
        """Like `Devices.generate_communication_config`."""

    @raw(Devices.run_terminal)
    def run_terminal(self) -> None:
        """Like `Devices.run_terminal`."""


def _id(device: Device) -> str:
    return device.id
