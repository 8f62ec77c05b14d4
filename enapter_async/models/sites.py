"""Sites and where they are."""

from __future__ import annotations

import attrs

from enapter_async.models.arguments import read_number, refuse_argument
from enapter_async.models.common import JSON, NO_EXTRA, AccessRole

_MOST_DEGREES = {"latitude": 90, "longitude": 180}


def _text(instance: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str):
        raise refuse_argument(attribute.name, "must be a string", value)


def _degrees(instance: object, attribute: attrs.Attribute[float | None], value: object) -> None:
    if value is None:
        return
    degrees = read_number(value)
    if degrees is None:
        raise refuse_argument(attribute.name, "must be a number", value)
    most = _MOST_DEGREES[attribute.name]
    if not -most <= degrees <= most:  # NaN included
        raise refuse_argument(attribute.name, f"must be from -{most} to {most} degrees", value)


@attrs.frozen(weakref_slot=False)
class Location:
    """Where a site is; read from a site, or built to create or update one.

    Attributes:
        name: Name of the place.
        latitude: Degrees, north is positive; None when not known.
        longitude: Degrees, east is positive; None when not known.
        extra: Fields that this version does not know; not sent.

    Raises:
        InvalidArgumentError: A coordinate that the user gives is not a number or out of range.
    """

    name: str = attrs.field(default="", validator=_text)
    latitude: float | None = attrs.field(default=None, kw_only=True, validator=_degrees)
    longitude: float | None = attrs.field(default=None, kw_only=True, validator=_degrees)
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, kw_only=True, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class Site:
    """A place with devices; a Gateway has exactly one.

    Attributes:
        id: Identifier.
        name: Name for people.
        timezone: IANA time zone name.
        version: Version of the platform that the site lives on.
        authorized_role: The caller's role at this site.
        archived: Whether the site is archived; newer servers only.
        location: Where it is.
        extra: Fields that this version does not know.
    """

    id: str
    name: str = ""
    timezone: str | None = None
    version: str | None = None
    authorized_role: AccessRole | None = None
    archived: bool | None = None
    location: Location | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)
