"""Provisioning of new devices."""

from __future__ import annotations

from typing import Final

from enapter_async._protocol import query
from enapter_async._protocol.body import json_request
from enapter_async._protocol.decoding.envelopes import Whole
from enapter_async._protocol.request import Operation, Safety
from enapter_async._session import Session
from enapter_async.models.common import UNSET, Unset
from enapter_async.models.communication import MqttProtocol, MqttProtocolName
from enapter_async.models.provisioning import ProvisionedDevice
from enapter_async.resources._resource import RawResource, Resource, raw

_STANDALONE: Final = Operation("provisioning.standalone", "POST", Safety.UNSAFE)
_VUCM: Final = Operation("provisioning.vucm", "POST", Safety.UNSAFE)
_LUA_DEVICE: Final = Operation("provisioning.lua_device", "POST", Safety.UNSAFE)
_UCM: Final = Operation("provisioning.ucm", "POST", Safety.UNSAFE)

_DEVICE: Final = Whole(ProvisionedDevice)


class Provisioning(Resource):
    """Provision new devices. Get the new device with `devices.get(provisioned.device_id)`."""

    async def standalone(
        self, *, name: str, site_id: str | None = None, slug: str | Unset = UNSET, timeout: float | None = None
    ) -> ProvisionedDevice:
        """Provision a standalone device that speaks MQTT. Continue with `devices.generate_communication_config`.

        Args:
            name: Display name.
            site_id: Site of the device. Required on the Cloud.
            slug: Short name, unique within the site.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The ID of the new device.

        Raises:
            OutcomeUnknownError: No response was received. The device may exist, so check before you try again.
            ConflictError: Another device already has this slug.
        """
        return await self._provision(_STANDALONE, "standalone", timeout, name=name, site_id=_site(site_id), slug=slug)

    async def vucm(
        self, *, name: str, hardware_id: str, site_id: str | None = None, timeout: float | None = None
    ) -> ProvisionedDevice:
        """Provision a virtual UCM, on which Lua devices run. Gateway only.

        Args:
            name: Display name.
            hardware_id: An identifier that you choose: `V` followed by 32 upper-case hexadecimal digits.
            site_id: Site of the device. Not needed on a Gateway.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The ID of the new device.

        Raises:
            OutcomeUnknownError: No response was received. The device may exist, so check before you try again.
        """
        return await self._provision(_VUCM, "vucm", timeout, name=name, hardware_id=hardware_id, site_id=_site(site_id))

    async def lua_device(
        self,
        *,
        runtime_id: str,
        blueprint_id: str,
        name: str,
        slug: str | Unset = UNSET,
        timeout: float | None = None,
    ) -> ProvisionedDevice:
        """Provision a device whose Lua program runs on a UCM. The same device cannot be provisioned again.

        Args:
            runtime_id: ID of the hardware or virtual UCM. On the Cloud, a slug does not work.
            blueprint_id: ID of the blueprint.
            name: Display name.
            slug: Short name, unique within the site.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The ID of the new device.

        Raises:
            OutcomeUnknownError: No response was received. The device may exist, so check before you try again.
            ConflictError: Another device already has this slug.
        """
        return await self._provision(
            _LUA_DEVICE, "lua_device", timeout, runtime_id=runtime_id, blueprint_id=blueprint_id, name=name, slug=slug
        )

    async def ucm(
        self,
        *,
        name: str,
        hardware_id: str,
        site_id: str | None = None,
        protocol: MqttProtocol | MqttProtocolName | Unset = UNSET,
        timeout: float | None = None,
    ) -> ProvisionedDevice:
        """Provision a hardware UCM. Repeating it with the same arguments gives a new config, not a new device.

        Args:
            name: Display name.
            hardware_id: The identifier assigned by the manufacturer: 32 upper-case hexadecimal digits.
            site_id: Site of the device.
            protocol: MQTT or MQTTS.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The device's ID and, in `config`, the secrets it connects with.

        Raises:
            OutcomeUnknownError: No response was received. The device may exist, with a config that was lost.
        """
        if protocol is not UNSET:
            protocol = MqttProtocol(query.member(protocol, MqttProtocol, "protocol"))
        return await self._provision(
            _UCM, "ucm", timeout, name=name, hardware_id=hardware_id, site_id=_site(site_id), protocol=protocol
        )

    async def _provision(
        self, operation: Operation, path: str, timeout: float | None, **fields: str | Unset
    ) -> ProvisionedDevice:
        body = {name: query.text(value, name) for name, value in fields.items() if value is not UNSET}
        return await self._session.send(json_request(operation, f"v3/provisioning/{path}", body), _DEVICE, timeout)


class RawProvisioning(RawResource):
    """The methods of `Provisioning`. They return a `Response`."""

    def __init__(self, session: Session) -> None:
        super().__init__(Provisioning(session))

    @raw(Provisioning.standalone)
    def standalone(self) -> None:
        """Like `Provisioning.standalone`."""

    @raw(Provisioning.vucm)
    def vucm(self) -> None:
        """Like `Provisioning.vucm`."""

    @raw(Provisioning.lua_device)
    def lua_device(self) -> None:
        """Like `Provisioning.lua_device`."""

    @raw(Provisioning.ucm)
    def ucm(self) -> None:
        """Like `Provisioning.ucm`."""


def _site(site_id: str | None) -> str | Unset:
    return UNSET if site_id is None else site_id
