"""Sites, the places where devices are installed."""

from __future__ import annotations

from typing import Final

from enapter_async._arguments import refuse_argument
from enapter_async._protocol import query
from enapter_async._protocol.body import json_request, nothing, select_given
from enapter_async._protocol.decoding.converter import unstructure
from enapter_async._protocol.decoding.envelopes import Enveloped, PageOf
from enapter_async._protocol.request import Operation, Request, Safety
from enapter_async._session import Session
from enapter_async.errors import InvalidArgumentError
from enapter_async.models.common import UNSET, Unset
from enapter_async.models.sites import Location, Site
from enapter_async.pagination import Pager
from enapter_async.resources._resource import RawResource, Resource, raw, site_path

_LIST: Final = Operation("sites.list", "GET", Safety.READ)
_LIST_MINE: Final = Operation("sites.list_mine", "GET", Safety.READ)
_GET: Final = Operation("sites.get", "GET", Safety.READ)
_GET_OWN: Final = Operation("sites.get_own", "GET", Safety.READ)
_CREATE: Final = Operation("sites.create", "POST", Safety.UNSAFE)
_UPDATE: Final = Operation("sites.update", "PATCH", Safety.CONVERGE)
_UPDATE_OWN: Final = Operation("sites.update_own", "PATCH", Safety.CONVERGE)
_DELETE: Final = Operation("sites.delete", "DELETE", Safety.CONVERGE)

_SITE: Final = Enveloped("site", Site)
_PAGE: Final = PageOf("sites", Site)
_OWN_PATH: Final = "v3/site"


class Sites(Resource):
    """Manage sites, in the Cloud and on a Gateway (which has exactly one)."""

    def list(
        self,
        *,
        name: str | None = None,
        page_size: int | None = None,
        offset: int = 0,
        max_items: int | None = None,
        concurrency: int | None = None,
        timeout: float | None = None,
    ) -> Pager[Site]:
        """List the sites that the token can see.

        Args:
            name: Only sites whose name matches. The API does not document how names are matched.
            page_size: Items per request, 1 to 50.
            offset: Number of items to skip.
            max_items: Maximum number of items to return.
            concurrency: Maximum number of pages requested at once. 1 requests them one after another.
            timeout: Timeout of each request, in seconds.

        Returns:
            A `Pager`. Requests are sent when you iterate or await it.

        Raises:
            InvalidArgumentError: A number is out of range.
        """
        return self._pager(
            _LIST,
            "v3/sites",
            _PAGE,
            key=_id,
            filters=[] if name is None else [("name", query.text(name, "name"))],
            page_size=page_size,
            offset=offset,
            max_items=max_items,
            concurrency=concurrency,
            timeout=timeout,
        )

    def list_mine(
        self,
        *,
        page_size: int | None = None,
        offset: int = 0,
        max_items: int | None = None,
        concurrency: int | None = None,
        timeout: float | None = None,
    ) -> Pager[Site]:
        """List the sites that you own or have installed. Cloud only.

        The endpoint is poorly documented. Prefer `list` and check `authorized_role`.

        Args:
            page_size: Items per request, 1 to 50.
            offset: Number of items to skip.
            max_items: Maximum number of items to return.
            concurrency: Maximum number of pages requested at once. 1 requests them one after another.
            timeout: Timeout of each request, in seconds.

        Returns:
            A `Pager`. Requests are sent when you iterate or await it.

        Raises:
            InvalidArgumentError: A number is out of range.
        """
        return self._pager(
            _LIST_MINE,
            "v3/users/me/sites",
            _PAGE,
            key=_id,
            filters=[],
            page_size=page_size,
            offset=offset,
            max_items=max_items,
            concurrency=concurrency,
            timeout=timeout,
        )

    async def get(self, site_id: str, *, timeout: float | None = None) -> Site:
        """Get a site.

        Args:
            site_id: ID of the site.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The site.

        Raises:
            NotFoundError: The site does not exist, or the token cannot see it.
        """
        return await self._session.send(Request(_GET, site_path(site_id)), _SITE, timeout)

    async def get_own(self, *, timeout: float | None = None) -> Site:
        """Get the site of a Gateway. Gateway only.

        Args:
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The site.

        Raises:
            NotFoundError: The server is not a Gateway.
        """
        return await self._session.send(Request(_GET_OWN, _OWN_PATH), _SITE, timeout)

    async def create(
        self,
        *,
        name: str,
        timezone: str,
        location: Location | Unset = UNSET,
        timeout: float | None = None,
    ) -> Site:
        """Create a site. You become its INSTALLER. A Gateway may refuse.

        Args:
            name: Display name.
            timezone: IANA name, such as `Europe/Lisbon`.
            location: Location of the site.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The new site.

        Raises:
            OutcomeUnknownError: No response was received. Check whether the site exists before you create it again.
        """
        body = _body(name=query.text(name, "name"), timezone=query.text(timezone, "timezone"), location=location)
        return await self._session.send(json_request(_CREATE, "v3/sites", body), _SITE, timeout)

    async def update(
        self,
        site_id: str,
        *,
        name: str | Unset = UNSET,
        timezone: str | Unset = UNSET,
        location: Location | Unset = UNSET,
        timeout: float | None = None,
    ) -> Site:
        """Change a site. Fields that you omit stay unchanged.

        Args:
            site_id: ID of the site.
            name: New name.
            timezone: New IANA time zone.
            location: New location.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The updated site.

        Raises:
            InvalidArgumentError: No change was given.
        """
        body = _changes(name, timezone, location)
        return await self._session.send(json_request(_UPDATE, site_path(site_id), body), _SITE, timeout)

    async def update_own(
        self,
        *,
        name: str | Unset = UNSET,
        timezone: str | Unset = UNSET,
        location: Location | Unset = UNSET,
        timeout: float | None = None,
    ) -> Site:
        """Change the site of a Gateway. Fields that you omit stay unchanged. Gateway only.

        Args:
            name: New name.
            timezone: New IANA time zone.
            location: New location.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The updated site.

        Raises:
            InvalidArgumentError: No change was given.
        """
        body = _changes(name, timezone, location)
        return await self._session.send(json_request(_UPDATE_OWN, _OWN_PATH, body), _SITE, timeout)

    async def delete(self, site_id: str, *, timeout: float | None = None) -> None:
        """Delete a site. Cloud only.

        Args:
            site_id: ID of the site.
            timeout: Timeout of the whole call, in seconds.

        Raises:
            NotFoundError: The site does not exist. A retried deletion that finds nothing counts as success.
        """
        return await self._session.send(Request(_DELETE, site_path(site_id)), nothing, timeout)


class RawSites(RawResource):
    """The methods of `Sites` that send one request. They return a `Response`."""

    def __init__(self, session: Session) -> None:
        super().__init__(Sites(session))

    @raw(Sites.get)
    def get(self) -> None:
        """Like `Sites.get`."""

    @raw(Sites.get_own)
    def get_own(self) -> None:
        """Like `Sites.get_own`."""

    @raw(Sites.create)
    def create(self) -> None:
        """Like `Sites.create`."""

    @raw(Sites.update)
    def update(self) -> None:
        """Like `Sites.update`."""

    @raw(Sites.update_own)
    def update_own(self) -> None:
        """Like `Sites.update_own`."""

    @raw(Sites.delete)
    def delete(self) -> None:
        """Like `Sites.delete`."""


def _id(site: Site) -> str:
    return site.id


def _body(*, name: str | Unset, timezone: str | Unset, location: Location | Unset) -> dict[str, object]:
    place: object = UNSET
    if not isinstance(location, Unset):
        if not isinstance(location, Location):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise refuse_argument("location", "must be a Location", location)
        place = unstructure(location)
    return select_given({"name": name, "timezone": timezone, "location": place})


def _changes(name: str | Unset, timezone: str | Unset, location: Location | Unset) -> dict[str, object]:
    if not isinstance(name, Unset):
        query.text(name, "name")
    if not isinstance(timezone, Unset):
        query.text(timezone, "timezone")
    body = _body(name=name, timezone=timezone, location=location)
    if not body:
        raise InvalidArgumentError("name", "give at least one of name, timezone and location")
    return body
