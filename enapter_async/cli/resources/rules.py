"""`enapter-async rules`."""

from __future__ import annotations

from collections.abc import AsyncIterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enapter_async import Rule, RuleLogRecord, RuleScript, RuntimeVersion
from enapter_async.cli.output import Format, Shape, output_option
from enapter_async.cli.parameters import duration, option
from enapter_async.cli.resources.declaration import (
    Resource,
    argument,
    connect,
    limit_option,
    or_unset,
    read_text,
    site_option,
)
from enapter_async.cli.resources.following import following, live_printer

if TYPE_CHECKING:
    from enapter_async import EnapterClient

RULE = Shape.of(Rule, "id", "slug", "disabled", "state", runtime="script.runtime_version")
_RULE_LOG = Shape.of(RuleLogRecord, "timestamp", "severity", "message")
_LOOK = "rules list"

_rules = Resource("rules", "List and manage rules, the scripts that the rule engine of a site runs.")
rules: click.Group = _rules.group

_rule = argument("rule_id", metavar="RULE")
_several = argument("rule_ids", nargs=-1, required=True, metavar="RULE...")
_script = (
    option(
        "--script",
        required=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Lua file with the script.",
    ),
    option(
        "--runtime",
        type=click.Choice([one.value for one in RuntimeVersion], case_sensitive=False),
        default="V3",
        show_default=True,
        help="V1 runs the script at an interval. V3 runs it once.",
    ),
    option("--interval", type=duration(0.001), metavar="DURATION", help="Interval of runtime V1."),
)


@_rules.lists("list", site_option, shape=RULE)
def _list(client: EnapterClient, *, site_id: str | None, limit: int | None) -> AsyncIterable[Rule]:
    """List rules. Without a site, list those of the Gateway."""
    return client.rules.list(site_id, max_items=limit)


@_rules.gives("get", _rule, site_option, shape=RULE)
async def _get(client: EnapterClient, *, rule_id: str, site_id: str | None) -> Rule:
    """Show a rule and its script."""
    return await client.rules.get(rule_id, site_id)


@_rules.changes(
    "create",
    option("--slug", required=True, metavar="TEXT", help="Short name, unique within the site."),
    *_script,
    option("--disable", is_flag=True, help="Create the rule disabled."),
    site_option,
    question="Create the rule {slug!r}? It starts at once, unless it is switched off.",
    shape=RULE,
    look=_LOOK,
)
async def _create(
    client: EnapterClient,
    *,
    slug: str,
    script: Path,
    runtime: str,
    interval: float | None,
    disable: bool,
    site_id: str | None,
) -> Rule:
    """Create a rule."""
    program = _program(script, runtime, interval)
    return await client.rules.create(slug=slug, script=program, disable=or_unset(disable or None), site_id=site_id)


@_rules.changes(
    "rename",
    _rule,
    argument("slug", metavar="SLUG"),
    site_option,
    shape=RULE,
    look=_LOOK,
)
async def _rename(client: EnapterClient, *, rule_id: str, slug: str, site_id: str | None) -> Rule:
    """Change the slug of a rule."""
    return await client.rules.update(rule_id, slug=slug, site_id=site_id)


@_rules.changes(
    "update-script",
    _rule,
    *_script,
    site_option,
    question="Replace the program of the rule {rule_id!r}?",
    shape=RULE,
    look="rules get {rule_id}",
)
async def _update_script(
    client: EnapterClient, *, rule_id: str, script: Path, runtime: str, interval: float | None, site_id: str | None
) -> Rule:
    """Replace the script of a rule."""
    return await client.rules.update_script(rule_id, script=_program(script, runtime, interval), site_id=site_id)


@_rules.changes(
    "enable", _several, site_option, question="Switch on {rule_ids}?", done="switched on: {rule_ids}", look=_LOOK
)
async def _enable(client: EnapterClient, *, rule_ids: tuple[str, ...], site_id: str | None) -> None:
    """Enable rules."""
    if len(rule_ids) == 1:
        await client.rules.enable(rule_ids[0], site_id=site_id)
    else:
        await client.rules.enable_many(rule_ids, site_id=site_id)


@_rules.changes(
    "disable", _several, site_option, question="Switch off {rule_ids}?", done="switched off: {rule_ids}", look=_LOOK
)
async def _disable(client: EnapterClient, *, rule_ids: tuple[str, ...], site_id: str | None) -> None:
    """Disable rules."""
    if len(rule_ids) == 1:
        await client.rules.disable(rule_ids[0], site_id=site_id)
    else:
        await client.rules.disable_many(rule_ids, site_id=site_id)


@_rules.changes(
    "delete",
    _rule,
    site_option,
    question="Delete the rule {rule_id!r}?",
    done="deleted rule {rule_id}",
    look=_LOOK,
)
async def _delete(client: EnapterClient, *, rule_id: str, site_id: str | None) -> None:
    """Delete a rule."""
    await client.rules.delete(rule_id, site_id=site_id)


def _log(*, rule_id: str, site_id: str | None, limit: int | None, output: Format) -> None:
    printer = live_printer(output, _RULE_LOG)
    connect(following(lambda client: client.rules.follow_log(rule_id, site_id), printer, limit))


_rules.add(
    "log",
    _log,
    "Follow the log of a rule until Ctrl-C. Older records are not available.",
    _rule,
    site_option,
    limit_option,
    output_option,
)


def _program(path: Path, runtime: str, interval: float | None) -> RuleScript:
    return RuleScript(code=read_text(path), runtime_version=RuntimeVersion(runtime), exec_interval=interval)
