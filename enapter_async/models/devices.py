"""Devices, as they are listed and as far as they were asked to be expanded."""

from __future__ import annotations

from datetime import datetime

import attrs

from enapter_async.models.common import JSON, NO_EXTRA, AccessRole, OpenEnum
from enapter_async.models.manifest import Manifest
from enapter_async.models.sites import Site


class DeviceType(OpenEnum):
    """What a device is and where its program runs."""

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
    """Whether the platform hears from a device."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"
    UNKNOWN = "UNKNOWN"


class CommunicationType(OpenEnum):
    """How a device talks to the platform."""

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
        status: UNKNOWN also when the server does not say.
        extra: Fields that this version does not know.
    """

    status: ConnectivityStatus = ConnectivityStatus.UNKNOWN
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class Communication:
    """How a device talks to the platform (`expand={"communication"}`).

    Attributes:
        type: Kind of connection.
        upstream_id: Identifier of the device that this one runs on; for UCM_LUA the UCM.
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
    """A device. Fields from `site` on are None unless they were expanded.

    Attributes:
        id: Identifier.
        name: Name for people.
        slug: Short name, unique in its site.
        site_id: Identifier of its site; None for a device that belongs to none.
        blueprint_id: Identifier of its blueprint; None when none is assigned.
        type: What it is.
        authorized_role: The caller's role at this device.
        updated_at: When it was last changed.
        implemented_profiles: Profiles that its blueprint implements, where the server tells them.
        site: The site itself.
        manifest: The blueprint's manifest.
        properties: Last reported property values, by name.
        connectivity: Whether it is connected.
        communication: How it talks to the platform.
        raised_alert_names: Names of the alerts that are active now.
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
