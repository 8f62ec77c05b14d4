"""Configs that devices connect to the platform with. They contain secrets, and no repr shows them."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

from enapter_async.models.common import JSON, NO_EXTRA, OpenEnum


class MqttProtocol(OpenEnum):
    """MQTT variant of a device: plain with a password, or over TLS with a certificate."""

    MQTT = "MQTT"
    MQTTS = "MQTTS"


MqttProtocolName: TypeAlias = Literal["MQTT", "MQTTS"]
"""MQTT variant of a device, as a literal."""


class TimeSyncProtocol(OpenEnum):
    """How a device gets the time."""

    NTP = "NTP"
    HTTP = "HTTP"


@attrs.frozen(kw_only=True, weakref_slot=False)
class MqttCredentials:
    """Credentials of a device, all of them secret.

    Attributes:
        protocol: Kind of the credentials, if the server returns it here.
        username: For MQTT.
        password: For MQTT.
        private_key: For MQTTS, PEM.
        certificate: For MQTTS, PEM.
        ca_chain: For MQTTS, PEM.
        extra: Fields that this version does not know. They may be secrets too.
    """

    protocol: MqttProtocol | None = None
    username: str | None = attrs.field(default=None, repr=False)
    password: str | None = attrs.field(default=None, repr=False)
    private_key: str | None = attrs.field(default=None, repr=False)
    certificate: str | None = attrs.field(default=None, repr=False)
    ca_chain: str | None = attrs.field(default=None, repr=False)
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, repr=False, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class CommunicationConfig:
    """Config that a device connects with.

    Attributes:
        mqtt_host: Host of the broker.
        mqtt_port: Port of the broker.
        mqtt_protocol: MQTT variant, taken from the credentials if they contain it.
        mqtt_credentials: Credentials. The repr does not show them.
        time_sync_host: Host of the time server.
        time_sync_port: Port of the time server.
        time_sync_protocol: Protocol of the time server.
        hardware_id: Hardware identifier of the device.
        channel_id: Channel of the device.
        extra: Fields that this version does not know. The repr does not show them, since they may be secrets.
    """

    mqtt_host: str | None = None
    mqtt_port: int | None = None
    mqtt_protocol: MqttProtocol | None = None
    mqtt_credentials: MqttCredentials | None = attrs.field(default=None, repr=False)
    time_sync_host: str | None = None
    time_sync_port: int | None = None
    time_sync_protocol: TimeSyncProtocol | None = None
    hardware_id: str | None = None
    channel_id: str | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, repr=False, hash=False)
