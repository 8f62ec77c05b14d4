"""The manifest of a blueprint: what a device measures, is, reports, and can be told (reference.md, section 13)."""

from __future__ import annotations

import attrs

from enapter_async.models.common import JSON


@attrs.frozen(weakref_slot=False)
class Manifest:
    """Placeholder."""

    raw: dict[str, JSON] = attrs.field(hash=False)
