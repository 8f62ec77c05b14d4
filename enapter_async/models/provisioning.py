"""The result of provisioning a device."""

from __future__ import annotations

import attrs

from enapter_async.models.common import JSON, NO_EXTRA
from enapter_async.models.communication import CommunicationConfig


@attrs.frozen(kw_only=True, weakref_slot=False)
class ProvisionedDevice:
    """A device that now exists; read the rest of it with `devices.get(device_id)`.

    Attributes:
        device_id: Identifier of the new device.
        slug: Its short name, where the server tells it.
        config: What the device needs to connect; holds secrets, not in the repr. Hardware UCM only.
        extra: Fields that this version does not know; not in the repr, since they may be secrets.
    """

    device_id: str
    slug: str | None = None
    config: CommunicationConfig | None = attrs.field(default=None, repr=False)
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, repr=False, hash=False)
