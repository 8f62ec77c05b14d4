"""Rules: programs that a site's rule engine runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from enapter_async._protocol import query
from enapter_async._protocol.body import json_request, nothing
from enapter_async._protocol.decoding.converter import unstructure
from enapter_async._protocol.decoding.envelopes import Enveloped, PageOf
from enapter_async._protocol.decoding.frames import RULE_LOG_RECORD
from enapter_async._protocol.request import Operation, Request, Safety
from enapter_async._protocol.urls import segment
from enapter_async._session import Session
from enapter_async._streaming.stream import Stream
from enapter_async._streaming.stream_reader import Subscription
from enapter_async.config import StreamPolicy
from enapter_async.models.arguments import refuse_argument
from enapter_async.models.common import JSON, UNSET, Unset
from enapter_async.models.logs import RuleLogRecord
from enapter_async.models.rules import Rule, RuleScript
from enapter_async.pagination import Pager
from enapter_async.resources._resource import RawResource, Resource, raw, rule_engine_path

_LIST: Final = Operation("rules.list", "GET", Safety.READ)
_GET: Final = Operation("rules.get", "GET", Safety.READ)
_CREATE: Final = Operation("rules.create", "POST", Safety.UNSAFE)
_UPDATE: Final = Operation("rules.update", "PATCH", Safety.CONVERGE)
_UPDATE_SCRIPT: Final = Operation("rules.update_script", "POST", Safety.CONVERGE)
_ENABLE: Final = Operation("rules.enable", "POST", Safety.CONVERGE)
_DISABLE: Final = Operation("rules.disable", "POST", Safety.CONVERGE)
_ENABLE_MANY: Final = Operation("rules.enable_many", "POST", Safety.CONVERGE)
_DISABLE_MANY: Final = Operation("rules.disable_many", "POST", Safety.CONVERGE)
_DELETE: Final = Operation("rules.delete", "DELETE", Safety.CONVERGE)
_FOLLOW_LOG: Final = Operation("rules.follow_log", "GET", Safety.READ)

_RULE: Final = Enveloped("rule", Rule)
_PAGE: Final = PageOf("rules", Rule)


class Rules(Resource):
    """Rules of a site; without a site, those of the Gateway that is talked to.

    A `rule_id` may be the rule's slug. A script's code is text here, whatever it is on the wire.
    """

    def list(
        self,
        site_id: str | None = None,
        *,
        page_size: int | None = None,
        offset: int = 0,
        max_items: int | None = None,
        concurrency: int | None = None,
        timeout: float | None = None,
    ) -> Pager[Rule]:
        """List rules.

        The first request asks for neither offset nor number, since legacy rule engines refuse both; where the
        answer has no `total_count` it is the whole list.

        Args:
            site_id: Their site; None for the Gateway's own.
            page_size: Items to ask for at once after the first request, 1 to 50.
            offset: Items to skip.
            max_items: Most items to give.
            concurrency: Most pages in flight; 1 = one after the other.
            timeout: Seconds for each request.

        Returns:
            A `Pager`; nothing is sent before it is iterated. Re-sent freely. Role: not documented, at least
            READONLY.

        Raises:
            InvalidArgumentError: A number is out of its range.
        """
        return self._pager(
            _LIST,
            rule_engine_path(site_id, "rules"),
            _PAGE,
            key=_id,
            filters=[],
            page_size=page_size,
            offset=offset,
            max_items=max_items,
            concurrency=concurrency,
            timeout=timeout,
            probing=True,
        )

    async def get(self, rule_id: str, site_id: str | None = None, *, timeout: float | None = None) -> Rule:
        """Get a rule.

        Args:
            rule_id: Its ID or slug.
            site_id: Its site; None for the Gateway's own.
            timeout: Seconds for the whole call.

        Returns:
            The rule. Re-sent freely. Role: not documented, at least READONLY.

        Raises:
            NotFoundError: There is no such rule.
            SchemaError: Its script is no UTF-8 text in base64.
        """
        return await self._session.send(Request(_GET, _path(site_id, rule_id)), _RULE, timeout)

    async def create(
        self,
        *,
        slug: str,
        script: RuleScript,
        disable: bool | Unset = UNSET,
        site_id: str | None = None,
        timeout: float | None = None,
    ) -> Rule:
        """Create a rule, which runs from then on.

        Args:
            slug: Short name, unique within the site.
            script: Its program.
            disable: Create it switched off.
            site_id: Its site; None for the Gateway's own.
            timeout: Seconds for the whole call.

        Returns:
            The new rule. Never re-sent after an ambiguous failure. Role: not documented, presumably OWNER.

        Raises:
            OutcomeUnknownError: No answer came; the rule may exist. Look before repeating.
            ConflictError: Another rule has the slug.
        """
        fields: dict[str, JSON] = {"slug": query.text(slug, "slug"), "script": _script(script)}
        if disable is not UNSET:
            fields["disable"] = query.flag(disable, "disable")
        request = json_request(_CREATE, rule_engine_path(site_id, "rules"), fields)
        return await self._session.send(request, _RULE, timeout)

    async def update(
        self, rule_id: str, *, slug: str, site_id: str | None = None, timeout: float | None = None
    ) -> Rule:
        """Change a rule's slug.

        Args:
            rule_id: Its ID or slug.
            slug: New short name.
            site_id: Its site; None for the Gateway's own.
            timeout: Seconds for the whole call.

        Returns:
            The rule as it is now. Re-sent after an ambiguous failure with `resend_converging` only. Role: not
            documented, presumably OWNER.

        Raises:
            ConflictError: Another rule has the slug.
        """
        request = json_request(_UPDATE, _path(site_id, rule_id), {"slug": query.text(slug, "slug")})
        return await self._session.send(request, _RULE, timeout)

    async def update_script(
        self, rule_id: str, *, script: RuleScript, site_id: str | None = None, timeout: float | None = None
    ) -> Rule:
        """Replace a rule's program.

        Args:
            rule_id: Its ID or slug.
            script: New program.
            site_id: Its site; None for the Gateway's own.
            timeout: Seconds for the whole call.

        Returns:
            The rule as it is now. Re-sent after an ambiguous failure with `resend_converging` only. Role: not
            documented, presumably OWNER.

        Raises:
            InvalidArgumentError: The script is no `RuleScript`.
            NotFoundError: There is no such rule.
        """
        request = json_request(_UPDATE_SCRIPT, _path(site_id, rule_id, "update_script"), {"script": _script(script)})
        return await self._session.send(request, _RULE, timeout)

    async def enable(self, rule_id: str, *, site_id: str | None = None, timeout: float | None = None) -> Rule:
        """Switch a rule on.

        Args:
            rule_id: Its ID or slug.
            site_id: Its site; None for the Gateway's own.
            timeout: Seconds for the whole call.

        Returns:
            The rule as it is now. Re-sent after an ambiguous failure with `resend_converging` only. Role: not
            documented, presumably OWNER.

        Raises:
            NotFoundError: There is no such rule.
        """
        return await self._session.send(Request(_ENABLE, _path(site_id, rule_id, "enable")), _RULE, timeout)

    async def disable(self, rule_id: str, *, site_id: str | None = None, timeout: float | None = None) -> Rule:
        """Switch a rule off.

        Args:
            rule_id: Its ID or slug.
            site_id: Its site; None for the Gateway's own.
            timeout: Seconds for the whole call.

        Returns:
            The rule as it is now. Re-sent after an ambiguous failure with `resend_converging` only. Role: not
            documented, presumably OWNER.

        Raises:
            NotFoundError: There is no such rule.
        """
        return await self._session.send(Request(_DISABLE, _path(site_id, rule_id, "disable")), _RULE, timeout)

    async def enable_many(
        self, rule_ids: Iterable[str], *, site_id: str | None = None, timeout: float | None = None
    ) -> None:
        """Switch rules on, in one request.

        Args:
            rule_ids: IDs or slugs, at least one.
            site_id: Their site; None for the Gateway's own.
            timeout: Seconds for the whole call.

        Returns:
            Nothing; the server's answer is not documented; list the rules to see. Re-sent after an ambiguous
            failure with `resend_converging` only. Role: not documented, presumably OWNER.

        Raises:
            InvalidArgumentError: No rule is named, or an identifier cannot be.
            NotFoundError: One of them does not exist.
        """
        return await self._session.send(_many(_ENABLE_MANY, "batch_enable", rule_ids, site_id), nothing, timeout)

    async def disable_many(
        self, rule_ids: Iterable[str], *, site_id: str | None = None, timeout: float | None = None
    ) -> None:
        """Switch rules off, in one request.

        Args:
            rule_ids: IDs or slugs, at least one.
            site_id: Their site; None for the Gateway's own.
            timeout: Seconds for the whole call.

        Returns:
            Nothing; the server's answer is not documented; list the rules to see. Re-sent after an ambiguous
            failure with `resend_converging` only. Role: not documented, presumably OWNER.

        Raises:
            InvalidArgumentError: No rule is named, or an identifier cannot be.
            NotFoundError: One of them does not exist.
        """
        return await self._session.send(_many(_DISABLE_MANY, "batch_disable", rule_ids, site_id), nothing, timeout)

    async def delete(self, rule_id: str, *, site_id: str | None = None, timeout: float | None = None) -> None:
        """Delete a rule.

        Args:
            rule_id: Its ID or slug.
            site_id: Its site; None for the Gateway's own.
            timeout: Seconds for the whole call.

        Returns:
            Nothing. Re-sent after an ambiguous failure with `resend_converging` only. Role: not documented,
            presumably OWNER.

        Raises:
            NotFoundError: There is no such rule; a deletion that was re-sent and finds nothing has succeeded.
        """
        return await self._session.send(Request(_DELETE, _path(site_id, rule_id)), nothing, timeout)

    def follow_log(
        self,
        rule_id: str,
        site_id: str | None = None,
        *,
        policy: StreamPolicy | None = None,
        timeout: float | None = None,
    ) -> Stream[RuleLogRecord]:
        """Follow the log of a rule, live; there is no list of it.

        Use it as `async with client.rules.follow_log(rule_id) as stream: async for record in stream: ...`.

        Args:
            rule_id: Its ID or slug.
            site_id: Its site; None for the Gateway's own.
            policy: How the stream is kept open, and what happens when records come faster than they are taken.
            timeout: Seconds for opening it.

        Returns:
            A `Stream`; nothing is sent before it is entered. What was missed while the connection was lost is
            reported as `StreamGap`, and not replayed. Role: not documented, at least READONLY.

        Raises:
            InvalidArgumentError: An identifier or the policy cannot be.
        """
        request = Request(_FOLLOW_LOG, _path(site_id, rule_id, "logs"))
        return Stream(self._session, [Subscription(request)], RULE_LOG_RECORD, policy=policy, timeout=timeout)


class RawRules(RawResource):
    """The methods of `Rules` that are one request, with the facts of their call."""

    def __init__(self, session: Session) -> None:
        super().__init__(Rules(session))

    @raw(Rules.get)
    def get(self) -> None:
        """Like `Rules.get`."""

    @raw(Rules.create)
    def create(self) -> None:
        """Like `Rules.create`."""

    @raw(Rules.update)
    def update(self) -> None:
        """Like `Rules.update`."""

    @raw(Rules.update_script)
    def update_script(self) -> None:
        """Like `Rules.update_script`."""

    @raw(Rules.enable)
    def enable(self) -> None:
        """Like `Rules.enable`."""

    @raw(Rules.disable)
    def disable(self) -> None:
        """Like `Rules.disable`."""

    @raw(Rules.enable_many)
    def enable_many(self) -> None:
        """Like `Rules.enable_many`."""

    @raw(Rules.disable_many)
    def disable_many(self) -> None:
        """Like `Rules.disable_many`."""

    @raw(Rules.delete)
    def delete(self) -> None:
        """Like `Rules.delete`."""


def _path(site_id: str | None, rule_id: str, *rest: str) -> str:
    return rule_engine_path(site_id, "rules", segment(rule_id, "rule_id"), *rest)


def _script(script: RuleScript) -> dict[str, JSON]:
    if not isinstance(script, RuleScript):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refuse_argument("script", "must be a RuleScript", script)
    return unstructure(script)


def _many(operation: Operation, action: str, rule_ids: Iterable[str], site_id: str | None) -> Request:
    ids: list[JSON] = [*query.texts(rule_ids, "rule_ids")]
    return json_request(operation, rule_engine_path(site_id, "rules", action), {"rule_ids": ids})


def _id(rule: Rule) -> str:
    return rule.id
