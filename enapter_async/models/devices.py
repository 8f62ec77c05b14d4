"""Devices and their optional parts."""

from __future__ import annotations

from datetime import datetime

import attrs

from enapter_async.models.common import JSON, NO_EXTRA, AccessRole, OpenEnum
from enapter_async.models.manifest import Manifest
from enapter_async.models.sites import Site


class DeviceType(OpenEnum):
    """Type of a device, which also says where its program runs."""

    STANDALONE = "STANDALONE"
    GATEWAY = "GATEWAY"
    EMBEDDED_UCM = "EMBEDDED_UCM"
    HARDWARE_UCM = "HARDWARE_UCM"
    VIRTUAL_UCM = "VIRTUAL_UCM"
    LINK_MASTER_UCM = "LINK_MASTER_UCM"
    LINK_SLAVE_UCM = "LINK_SLAVE_UCM"
    LUA = "LUA"
    NATIVE = "NATIVE"
    CHILD = "CHILD"
    UNDEFINED_DEVICE_TYPE = "UNDEFINED_DEVICE_TYPE"


class ConnectivityStatus(OpenEnum):
    """Whether a device is connected to the platform."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"
    UNKNOWN = "UNKNOWN"


class CommunicationType(OpenEnum):
    """How a device communicates with the platform."""

    MQTT_V1_PLAINTEXT = "MQTT_V1_PLAINTEXT"
    MQTT_V1_TLS = "MQTT_V1_TLS"
    MQTT_V1_LOCALHOST = "MQTT_V1_LOCALHOST"
    UCM_LUA = "UCM_LUA"
    UCM_EMBEDDED = "UCM_EMBEDDED"
    LINK = "LINK"


@attrs.frozen(kw_only=True, weakref_slot=False)
class Connectivity:
    """Whether a device is connected (`expand={"connectivity"}`).

    Attributes:
        status: Status of the connection. UNKNOWN also if the server does not send one.
        extra: Fields that this version does not know.
    """

    status: ConnectivityStatus = ConnectivityStatus.UNKNOWN
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class Communication:
    """How a device communicates with the platform (`expand={"communication"}`).

    Attributes:
        type: Kind of connection.
        upstream_id: Identifier of the device that this one runs on. For UCM_LUA, the UCM.
        hardware_id: Identifier of the hardware.
        channel_id: Channel on that hardware.
        extra: Fields that this version does not know.
    """

    type: CommunicationType | None = None
    upstream_id: str | None = None
    hardware_id: str | None = None
    channel_id: str | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class Device:
    """A device. `site` and the fields after it are None unless you request them with `expand`.

    Attributes:
        id: Identifier.
        name: Display name.
        slug: Short name, unique within the site.
        site_id: Identifier of the site. None if the device belongs to no site.
        blueprint_id: Identifier of the blueprint. None if no blueprint is assigned.
        type: Type of the device.
        authorized_role: Your role at this device.
        updated_at: When it was last changed.
        implemented_profiles: Profiles that the blueprint implements, if the server returns them.
        site: Site of the device.
        manifest: Manifest of the blueprint.
        properties: Last reported property values, by name.
        connectivity: Whether it is connected.
        communication: How it communicates with the platform.
        raised_alert_names: Names of the active alerts.
        extra: Fields that this version does not know.
    """

    id: str
    name: str = ""
    slug: str | None = None
    site_id: str | None = None
    blueprint_id: str | None = None
    type: DeviceType | None = None
    authorized_role: AccessRole | None = None
    updated_at: datetime | None = None
    implemented_profiles: tuple[str, ...] | None = None
    site: Site | None = None
    manifest: Manifest | None = None
    properties: dict[str, JSON] | None = attrs.field(default=None, hash=False)
    connectivity: Connectivity | None = None
    communication: Communication | None = None
    raised_alert_names: tuple[str, ...] | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)
