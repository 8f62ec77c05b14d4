"""The rule engine of a site."""

from __future__ import annotations

from typing import Final

from enapter_async._protocol.decoding.envelopes import Enveloped
from enapter_async._protocol.request import Operation, Request, Safety
from enapter_async._session import Session
from enapter_async.models.rule_engine import RuleEngine
from enapter_async.resources._resource import RawResource, Resource, raw, rule_engine_path

_GET: Final = Operation("rule_engine.get", "GET", Safety.READ)
_SUSPEND: Final = Operation("rule_engine.suspend", "POST", Safety.CONVERGE)
_RESUME: Final = Operation("rule_engine.resume", "POST", Safety.CONVERGE)

_ENGINE: Final = Enveloped("engine", RuleEngine)


class RuleEngines(Resource):
    """Control rule engines. Each runs on its site's Gateway, so the Cloud reaches it only while that is online."""

    async def get(self, site_id: str | None = None, *, timeout: float | None = None) -> RuleEngine:
        """Get a rule engine.

        Args:
            site_id: ID of the site. None means the Gateway's own site.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The engine.

        Raises:
            NotFoundError: The site does not exist, or it has no Gateway.
        """
        return await self._session.send(Request(_GET, rule_engine_path(site_id)), _ENGINE, timeout)

    async def suspend(self, site_id: str | None = None, *, timeout: float | None = None) -> RuleEngine:
        """Suspend all rules until the engine is resumed.

        Args:
            site_id: ID of the site. None means the Gateway's own site.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The updated engine.

        Raises:
            NotFoundError: The site does not exist, or it has no Gateway.
        """
        return await self._session.send(Request(_SUSPEND, rule_engine_path(site_id, "suspend")), _ENGINE, timeout)

    async def resume(self, site_id: str | None = None, *, timeout: float | None = None) -> RuleEngine:
        """Resume all enabled rules.

        Args:
            site_id: ID of the site. None means the Gateway's own site.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The updated engine.

        Raises:
            NotFoundError: The site does not exist, or it has no Gateway.
        """
        return await self._session.send(Request(_RESUME, rule_engine_path(site_id, "resume")), _ENGINE, timeout)


class RawRuleEngines(RawResource):
    """The methods of `RuleEngines`. They return a `Response`."""

    def __init__(self, session: Session) -> None:
        super().__init__(RuleEngines(session))

    @raw(RuleEngines.get)
    def get(self) -> None:
        """Like `RuleEngines.get`."""

    @raw(RuleEngines.suspend)
    def suspend(self) -> None:
        """Like `RuleEngines.suspend`."""

    @raw(RuleEngines.resume)
    def resume(self) -> None:
        """Like `RuleEngines.resume`."""
