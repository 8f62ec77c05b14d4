"""What a device needs to connect to the platform. It holds secrets, and no repr shows them."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

from enapter_async.models.common import JSON, NO_EXTRA, OpenEnum


class MqttProtocol(OpenEnum):
    """How a device speaks MQTT: plain with a password, or over TLS with a certificate."""

    MQTT = "MQTT"
    MQTTS = "MQTTS"


MqttProtocolName: TypeAlias = Literal["MQTT", "MQTTS"]
"""How a device speaks MQTT, as a literal."""


class TimeSyncProtocol(OpenEnum):
    """How a device learns the time."""

    NTP = "NTP"
    HTTP = "HTTP"


@attrs.frozen(kw_only=True, weakref_slot=False)
class MqttCredentials:
    """Credentials of one device: all of them secrets.

    Attributes:
        protocol: Which kind they are of, where the server tells it here.
        username: For MQTT.
        password: For MQTT.
        private_key: For MQTTS, PEM.
        certificate: For MQTTS, PEM.
        ca_chain: For MQTTS, PEM.
        extra: Fields that this version does not know; they may be secrets too.
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
    """What a device is configured with to connect.

    Attributes:
        mqtt_host: Host of the broker.
        mqtt_port: Port of the broker.
        mqtt_protocol: With which protocol; taken from the credentials where it stands there.
        mqtt_credentials: Secrets; not in the repr.
        time_sync_host: Host of the time server.
        time_sync_port: Port of the time server.
        time_sync_protocol: How to ask it.
        hardware_id: The device's hardware identifier.
        channel_id: The device's channel.
        extra: Fields that this version does not know; not in the repr, since they may be secrets.
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
