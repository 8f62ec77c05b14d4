"""Configuration parameters of devices, in the groups that the manifest declares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from enapter_async._arguments import refuse_argument, require_mapping
from enapter_async._protocol import query
from enapter_async._protocol.body import json_request
from enapter_async._protocol.decoding.envelopes import Enveloped
from enapter_async._protocol.request import Operation, Request, Safety
from enapter_async._protocol.urls import segment
from enapter_async._session import Session
from enapter_async.errors import InvalidArgumentError
from enapter_async.models.common import JSON, UNSET, Unset
from enapter_async.resources._resource import RawResource, Resource, device_path, raw

_GET: Final = Operation("configuration.get", "GET", Safety.READ)
_UPDATE: Final = Operation("configuration.update", "PATCH", Safety.CONVERGE)
_RESET_ALL: Final = Operation("configuration.reset_all", "POST", Safety.UNSAFE)

_VALUES: Final = Enveloped("configuration", dict[str, JSON])


class Configuration(Resource):
    """Read and change the configuration of devices, group by group."""

    async def get(
        self,
        device_id: str,
        group: str,
        *,
        names: Iterable[str] | None = None,
        site_id: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, JSON]:
        """Get the current values of a group.

        Args:
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            group: Name of the group in the manifest.
            names: Return only these parameters.
            site_id: Site of the device.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            Values by parameter name.

        Raises:
            NotFoundError: The device or the group does not exist.
        """
        pairs = [] if names is None else [("param_names", query.listed(names, "names"))]
        request = Request(_GET, _path(device_id, site_id, group), query.encode(pairs))
        return await self._session.send(request, _VALUES, timeout)

    async def update(
        self,
        device_id: str,
        group: str,
        *,
        set: Mapping[str, JSON] | Unset = UNSET,  # noqa: A002 - the API's own word
        reset: Iterable[str] | Unset = UNSET,
        site_id: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, JSON]:
        """Change values of a group. Parameters that you omit stay unchanged.

        Args:
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            group: Name of the group in the manifest.
            set: New values by parameter name.
            reset: Names of parameters to reset to their default. Parameters without a default lose their value.
            site_id: Site of the device.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            Values of the group after the change.

        Raises:
            InvalidArgumentError: No change was given, or a parameter is in both `set` and `reset`.
            UnprocessableError: The device's manifest does not allow a value.
        """
        if set is UNSET and reset is UNSET:
            raise InvalidArgumentError("set", "give at least one of set and reset")
        values = {} if set is UNSET else _checked_values(set)
        names = [] if reset is UNSET else query.texts(reset, "reset")
        for name in names:
            if name in values:
                raise InvalidArgumentError("reset", f"{name!r} is also in set")
        fields = {key: value for key, value in (("set", values), ("reset", names)) if value}
        request = json_request(_UPDATE, _path(device_id, site_id, group), fields, "set")
        return await self._session.send(request, _VALUES, timeout)

    async def reset_all(
        self, device_id: str, group: str, *, site_id: str | None = None, timeout: float | None = None
    ) -> dict[str, JSON]:
        """Reset every parameter of a group to its default. Parameters without a default lose their value.

        Args:
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            group: Name of the group in the manifest.
            site_id: Site of the device.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            Values of the group after the reset.

        Raises:
            OutcomeUnknownError: No response was received. The change may have been made.
        """
        request = Request(_RESET_ALL, _path(device_id, site_id, group, "reset_all"))
        return await self._session.send(request, _VALUES, timeout)


class RawConfiguration(RawResource):
    """The methods of `Configuration`. They return a `Response`."""

    def __init__(self, session: Session) -> None:
        super().__init__(Configuration(session))

    @raw(Configuration.get)
    def get(self) -> None:
        """Like `Configuration.get`."""

    @raw(Configuration.update)
    def update(self) -> None:
        """Like `Configuration.update`."""

    @raw(Configuration.reset_all)
    def reset_all(self) -> None:
        """Like `Configuration.reset_all`."""


def _path(device_id: str, site_id: str | None, group: str, *rest: str) -> str:
    return device_path(device_id, site_id, "configuration", segment(group, "group"), *rest)


def _checked_values(values: Mapping[str, JSON]) -> dict[str, JSON]:
    requirement = "must be values by parameter name, at least one"
    given = require_mapping(values, "set", requirement)
    if not given:
        raise refuse_argument("set", requirement, values)
    return {query.text(name, "set"): value for name, value in given.items()}
