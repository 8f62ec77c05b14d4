"""Rules, the programs that the rule engine of a site runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from enapter_async._arguments import refuse_argument
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
    """Manage the rules of a site, or of the Gateway that the client connects to.

    A `rule_id` can also be the rule's slug. The code of a script is plain text; the SDK encodes it for the API.
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

        The first request has neither `limit` nor `offset`, since legacy rule engines reject both. A response without
        `total_count` is treated as the whole list.

        Args:
            site_id: ID of the site. None means the Gateway's own site.
            page_size: Items per request after the first one, 1 to 50.
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
            rule_id: ID or slug of the rule.
            site_id: ID of the site. None means the Gateway's own site.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The rule.

        Raises:
            NotFoundError: The rule does not exist.
            SchemaError: The script is not base64-encoded UTF-8 text.
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
        """Create a rule. It runs at once, unless you set `disable`.

        Args:
            slug: Short name, unique within the site.
            script: Program of the rule.
            disable: Create the rule disabled.
            site_id: ID of the site. None means the Gateway's own site.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The new rule.

        Raises:
            OutcomeUnknownError: No response was received. The rule may exist, so check before you try again.
            ConflictError: Another rule already has this slug.
        """
        fields: dict[str, JSON] = {"slug": query.text(slug, "slug"), "script": _script(script)}
        if disable is not UNSET:
            fields["disable"] = query.flag(disable, "disable")
        request = json_request(_CREATE, rule_engine_path(site_id, "rules"), fields)
        return await self._session.send(request, _RULE, timeout)

    async def update(
        self, rule_id: str, *, slug: str, site_id: str | None = None, timeout: float | None = None
    ) -> Rule:
        """Change the slug of a rule.

        Args:
            rule_id: ID or slug of the rule.
            slug: New short name.
            site_id: ID of the site. None means the Gateway's own site.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The updated rule.

        Raises:
            ConflictError: Another rule already has this slug.
        """
        request = json_request(_UPDATE, _path(site_id, rule_id), {"slug": query.text(slug, "slug")})
        return await self._session.send(request, _RULE, timeout)

    async def update_script(
        self, rule_id: str, *, script: RuleScript, site_id: str | None = None, timeout: float | None = None
    ) -> Rule:
        """Replace the program of a rule.

        Args:
            rule_id: ID or slug of the rule.
            script: New program.
            site_id: ID of the site. None means the Gateway's own site.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The updated rule.

        Raises:
            InvalidArgumentError: The script is not a `RuleScript`.
            NotFoundError: The rule does not exist.
        """
        request = json_request(_UPDATE_SCRIPT, _path(site_id, rule_id, "update_script"), {"script": _script(script)})
        return await self._session.send(request, _RULE, timeout)

    async def enable(self, rule_id: str, *, site_id: str | None = None, timeout: float | None = None) -> Rule:
        """Enable a rule.

        Args:
            rule_id: ID or slug of the rule.
            site_id: ID of the site. None means the Gateway's own site.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The updated rule.

        Raises:
            NotFoundError: The rule does not exist.
        """
        return await self._session.send(Request(_ENABLE, _path(site_id, rule_id, "enable")), _RULE, timeout)

    async def disable(self, rule_id: str, *, site_id: str | None = None, timeout: float | None = None) -> Rule:
        """Disable a rule.

        Args:
            rule_id: ID or slug of the rule.
            site_id: ID of the site. None means the Gateway's own site.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The updated rule.

        Raises:
            NotFoundError: The rule does not exist.
        """
        return await self._session.send(Request(_DISABLE, _path(site_id, rule_id, "disable")), _RULE, timeout)

    async def enable_many(
        self, rule_ids: Iterable[str], *, site_id: str | None = None, timeout: float | None = None
    ) -> None:
        """Enable several rules in one request. List the rules to see the result, since the response is not documented.

        Args:
            rule_ids: IDs or slugs, at least one.
            site_id: ID of the site. None means the Gateway's own site.
            timeout: Timeout of the whole call, in seconds.

        Raises:
            InvalidArgumentError: There are no rules, or an ID is invalid.
            NotFoundError: At least one of the rules does not exist.
        """
        return await self._session.send(_many(_ENABLE_MANY, "batch_enable", rule_ids, site_id), nothing, timeout)

    async def disable_many(
        self, rule_ids: Iterable[str], *, site_id: str | None = None, timeout: float | None = None
    ) -> None:
        """Disable several rules in one request. List the rules to see the result, since the response is not documented.

        Args:
            rule_ids: IDs or slugs, at least one.
            site_id: ID of the site. None means the Gateway's own site.
            timeout: Timeout of the whole call, in seconds.

        Raises:
            InvalidArgumentError: There are no rules, or an ID is invalid.
            NotFoundError: At least one of the rules does not exist.
        """
        return await self._session.send(_many(_DISABLE_MANY, "batch_disable", rule_ids, site_id), nothing, timeout)

    async def delete(self, rule_id: str, *, site_id: str | None = None, timeout: float | None = None) -> None:
        """Delete a rule.

        Args:
            rule_id: ID or slug of the rule.
            site_id: ID of the site. None means the Gateway's own site.
            timeout: Timeout of the whole call, in seconds.

        Raises:
            NotFoundError: The rule does not exist. A retried deletion that finds nothing counts as success.
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
        """Follow the log of a rule, live. Past records cannot be listed.

        Use it as `async with client.rules.follow_log(rule_id) as stream: async for record in stream: ...`.

        Args:
            rule_id: ID or slug of the rule.
            site_id: ID of the site. None means the Gateway's own site.
            policy: How to keep the stream open, and what to do when records arrive faster than you read them.
            timeout: Timeout for opening the stream, in seconds.

        Returns:
            A `Stream`, which connects when you enter it. Lost connections are reported as `StreamGap`; the messages
            missed in between are not replayed.

        Raises:
            InvalidArgumentError: An ID or the policy is invalid.
        """
        request = Request(_FOLLOW_LOG, _path(site_id, rule_id, "logs"))
        return Stream(self._session, [Subscription(request)], RULE_LOG_RECORD, policy=policy, timeout=timeout)


class RawRules(RawResource):
    """The methods of `Rules` that send one request. They return a `Response`."""

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
