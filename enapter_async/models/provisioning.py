"""The result of provisioning a device."""

from __future__ import annotations

import attrs

from enapter_async.models.common import JSON, NO_EXTRA
from enapter_async.models.communication import CommunicationConfig


@attrs.frozen(kw_only=True, weakref_slot=False)
class ProvisionedDevice:
    """A newly provisioned device. Get the rest of it with `devices.get(device_id)`.

    Attributes:
        device_id: Identifier of the new device.
        slug: Short name of the device, if the server returns it.
        config: Config that the device connects with. It contains secrets, and the repr does not show it. Hardware UCM
            only.
        extra: Fields that this version does not know. The repr does not show them, since they may be secrets.
    """

    device_id: str
    slug: str | None = None
    config: CommunicationConfig | None = attrs.field(default=None, repr=False)
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, repr=False, hash=False)
