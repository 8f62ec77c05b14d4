"""Blueprints, and the results of validating them."""

from __future__ import annotations

from datetime import datetime

import attrs

from enapter_async.models.common import JSON, NO_EXTRA, OpenEnum


class BlueprintView(OpenEnum):
    """Form of a blueprint to download."""

    ORIGINAL = "ORIGINAL"
    COMPILED = "COMPILED"


@attrs.frozen(kw_only=True, weakref_slot=False)
class BlueprintName:
    """A name that a blueprint is published under.

    Attributes:
        namespace: Owner of the blueprint; `enapter` for the vendor's own.
        name: Name within the namespace.
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
        full_names: Names that it is published under, if the server returns them.
        extra: Fields that this version does not know.
    """

    id: str
    created_at: datetime | None = None
    full_names: tuple[BlueprintName, ...] | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class BlueprintValidation:
    """The result of validating a blueprint.

    Attributes:
        errors: Human-readable errors. Empty if the blueprint is valid.
        extra: Fields that this version does not know.
    """

    errors: tuple[str, ...] = ()
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)

    @property
    def is_valid(self) -> bool:
        """Whether the blueprint is valid."""
        return not self.errors
