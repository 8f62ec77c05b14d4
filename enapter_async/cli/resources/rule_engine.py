"""`enapter-async rule-engine`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from enapter_async import RuleEngine
from enapter_async.cli.output import Shape
from enapter_async.cli.resources.declaration import Resource, site_option

if TYPE_CHECKING:
    from enapter_async import EnapterClient

ENGINE = Shape.of(RuleEngine)
_LOOK = "rule-engine get"

_engine = Resource("rule-engine", "Show, suspend and resume the rule engine of a site or of a Gateway.")
rule_engine: click.Group = _engine.group


@_engine.gives("get", site_option, shape=ENGINE)
async def _get(client: EnapterClient, *, site_id: str | None) -> RuleEngine:
    """Show a rule engine."""
    return await client.rule_engine.get(site_id)


@_engine.changes("suspend", site_option, question="Stop all rules?", shape=ENGINE, look=_LOOK)
async def _suspend(client: EnapterClient, *, site_id: str | None) -> RuleEngine:
    """Stop all rules until the engine is resumed."""
    return await client.rule_engine.suspend(site_id)


@_engine.changes("resume", site_option, question="Resume all rules that are switched on?", shape=ENGINE, look=_LOOK)
async def _resume(client: EnapterClient, *, site_id: str | None) -> RuleEngine:
    """Run all enabled rules again."""
    return await client.rule_engine.resume(site_id)
