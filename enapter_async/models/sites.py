"""Sites and their locations."""

from __future__ import annotations

import attrs

from enapter_async._arguments import read_number, refuse_argument
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
    """Location of a site, to read or to set it.

    Attributes:
        name: Name of the place.
        latitude: Degrees, positive in the north. None if unknown.
        longitude: Degrees, positive in the east. None if unknown.
        extra: Fields that this version does not know. They are not sent.

    Raises:
        InvalidArgumentError: A given coordinate is not a number, or is out of range.
    """

    name: str = attrs.field(default="", validator=_text)
    latitude: float | None = attrs.field(default=None, kw_only=True, validator=_degrees)
    longitude: float | None = attrs.field(default=None, kw_only=True, validator=_degrees)
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, kw_only=True, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class Site:
    """A place with devices. A Gateway has exactly one site.

    Attributes:
        id: Identifier.
        name: Display name.
        timezone: IANA time zone name.
        version: Version of the platform that hosts the site.
        authorized_role: Your role at this site.
        archived: Whether the site is archived. Newer servers only.
        location: Location of the site.
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
