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
    """Rule engines. Each runs on its site's Gateway: through the Cloud it answers while that is online only."""

    async def get(self, site_id: str | None = None, *, timeout: float | None = None) -> RuleEngine:
        """Get a rule engine.

        Args:
            site_id: Its site; None for the Gateway's own.
            timeout: Seconds for the whole call.

        Returns:
            The engine. Re-sent freely. Role: not documented, at least READONLY.

        Raises:
            NotFoundError: There is no such site, or it has no Gateway.
        """
        return await self._session.send(Request(_GET, rule_engine_path(site_id)), _ENGINE, timeout)

    async def suspend(self, site_id: str | None = None, *, timeout: float | None = None) -> RuleEngine:
        """Stop all rules, until the engine is resumed.

        Args:
            site_id: Its site; None for the Gateway's own.
            timeout: Seconds for the whole call.

        Returns:
            The engine as it is now. Re-sent after an ambiguous failure with `resend_converging` only. Role: not
            documented, presumably OWNER.

        Raises:
            NotFoundError: There is no such site, or it has no Gateway.
        """
        return await self._session.send(Request(_SUSPEND, rule_engine_path(site_id, "suspend")), _ENGINE, timeout)

    async def resume(self, site_id: str | None = None, *, timeout: float | None = None) -> RuleEngine:
        """Let all rules that are enabled run again.

        Args:
            site_id: Its site; None for the Gateway's own.
            timeout: Seconds for the whole call.

        Returns:
            The engine as it is now. Re-sent after an ambiguous failure with `resend_converging` only. Role: not
            documented, presumably OWNER.

        Raises:
            NotFoundError: There is no such site, or it has no Gateway.
        """
        return await self._session.send(Request(_RESUME, rule_engine_path(site_id, "resume")), _ENGINE, timeout)


class RawRuleEngines(RawResource):
    """The methods of `RuleEngines`, with the facts of their call."""

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
