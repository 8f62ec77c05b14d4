"""The rule engine of a site."""

from __future__ import annotations

import attrs

from enapter_async.models.common import JSON, NO_EXTRA, OpenEnum


class RuleEngineState(OpenEnum):
    """Whether rules run."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"


@attrs.frozen(kw_only=True, weakref_slot=False)
class RuleEngine:
    """The rule engine of a site.

    Attributes:
        id: Identifier.
        state: Whether rules run.
        timezone: IANA time zone name of the site.
        extra: Fields that this version does not know.
    """

    id: str
    state: RuleEngineState | None = None
    timezone: str | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)
