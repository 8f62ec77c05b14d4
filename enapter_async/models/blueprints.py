"""Blueprints: what the platform knows of them, and what it says of one that is offered."""

from __future__ import annotations

from datetime import datetime

import attrs

from enapter_async.models.common import JSON, NO_EXTRA, OpenEnum


class BlueprintView(OpenEnum):
    """Which form of a blueprint is downloaded."""

    ORIGINAL = "ORIGINAL"
    COMPILED = "COMPILED"


@attrs.frozen(kw_only=True, weakref_slot=False)
class BlueprintName:
    """A name that a blueprint is published under.

    Attributes:
        namespace: Whose it is; `enapter` for the vendor's own.
        name: Name in the namespace.
        tag: Version, or `latest`.
        extra: Fields that this version does not know.
    """

    namespace: str = ""
    name: str = ""
    tag: str = ""
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class Blueprint:
    """A blueprint that the platform stores.

    Attributes:
        id: Identifier.
        created_at: When it was uploaded.
        full_names: Names that it is published under, where the server tells them.
        extra: Fields that this version does not know.
    """

    id: str
    created_at: datetime | None = None
    full_names: tuple[BlueprintName, ...] | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class BlueprintValidation:
    """What the platform says of a blueprint that is offered.

    Attributes:
        errors: What is wrong, for people; empty when nothing is.
        extra: Fields that this version does not know.
    """

    errors: tuple[str, ...] = ()
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)

    @property
    def is_valid(self) -> bool:
        """Whether nothing is wrong."""
        return not self.errors
