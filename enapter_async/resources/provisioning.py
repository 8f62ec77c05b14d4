"""Provisioning: how devices come into being."""

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
    """New devices. Read what was made with `devices.get(provisioned.device_id)`."""

    async def standalone(
        self, *, name: str, site_id: str | None = None, slug: str | Unset = UNSET, timeout: float | None = None
    ) -> ProvisionedDevice:
        """Provision a device of your own that speaks MQTT; `devices.generate_communication_config` comes next.

        Args:
            name: Name for people.
            site_id: Its site; needed on the Cloud.
            slug: Short name, unique within the site.
            timeout: Seconds for the whole call.

        Returns:
            The new device's ID. Never re-sent after an ambiguous failure. Role: OWNER.

        Raises:
            OutcomeUnknownError: No answer came; the device may exist. Look before repeating.
            ConflictError: Another device has the slug.
        """
        return await self._provision(_STANDALONE, "standalone", timeout, name=name, site_id=_site(site_id), slug=slug)

    async def vucm(
        self, *, name: str, hardware_id: str, site_id: str | None = None, timeout: float | None = None
    ) -> ProvisionedDevice:
        """Provision a virtual UCM, which Lua devices run on. Gateway only.

        Args:
            name: Name for people.
            hardware_id: An identifier of your choice: `V` and 32 upper-case hexadecimal digits.
            site_id: Its site; not needed on a Gateway.
            timeout: Seconds for the whole call.

        Returns:
            The new device's ID. Never re-sent after an ambiguous failure. Role: OWNER.

        Raises:
            OutcomeUnknownError: No answer came; the device may exist. Look before repeating.
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
        """Provision a device whose Lua program runs on a UCM. It cannot be provisioned again.

        Args:
            runtime_id: ID of the UCM, hardware or virtual; on the Cloud its slug does not do.
            blueprint_id: ID of the blueprint.
            name: Name for people.
            slug: Short name, unique within the site.
            timeout: Seconds for the whole call.

        Returns:
            The new device's ID. Never re-sent after an ambiguous failure. Role: OWNER.

        Raises:
            OutcomeUnknownError: No answer came; the device may exist. Look before repeating.
            ConflictError: Another device has the slug.
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
        """Provision a hardware UCM; once more with the same arguments gives a new config, not a new device.

        Args:
            name: Name for people.
            hardware_id: What its maker has given it: 32 upper-case hexadecimal digits.
            site_id: Its site.
            protocol: MQTT or MQTTS.
            timeout: Seconds for the whole call.

        Returns:
            The device's ID, and in `config` the secrets that it connects with. Never re-sent after an
            ambiguous failure. Role: OWNER.

        Raises:
            OutcomeUnknownError: No answer came; the device may exist, with a config that nobody has seen.
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
    """The methods of `Provisioning`, with the facts of their call."""

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
