"""The rule engine (reference.md, Rule engine; quirk 1 on legacy engines)."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from aiohttp import web

from ..errors import Refusal
from ..exchange.body import Body
from ..exchange.call import Call
from ..exchange.responses import json_response
from ..operations import Operations
from ..roles import Role
from ..times import parse_duration
from ..world.entities import Site
from ..world.rules import Rule, RuleEngine

operations = Operations()

_OFFLINE = "the site's gateway cannot be reached\n"


def find_engine(call: Call) -> RuleEngine:
    """Return the rule engine of the path's site.

    Raises:
        Refusal: The engine is a legacy one and does not know the query's parameters (400), or it runs on a
            Gateway that cannot be reached (502, in plain text).
    """
    site = call.site()
    if call.behaviour.legacy_rule_engine and call.query.values:
        name = next(iter(call.query.values))
        raise Refusal(400, f"unknown query parameter {name!r}", code="unknown_query_parameter")
    if not _reachable(call, site):
        raise Refusal(502, _OFFLINE, plain=True)
    return call.world.rule_engine(site.id)


def _reachable(call: Call, site: Site) -> bool:
    mode = call.behaviour.mode
    if mode == "gateway":
        return True
    devices = call.world.devices.ordered(site.id)
    online = any(device.type == "GATEWAY" and device.connectivity == "ONLINE" for device in devices)
    # In mode `any`, any site counts as the Gateway's own.
    return call.behaviour.rule_engine_online and (online or mode == "any")


def _render(call: Call, engine: RuleEngine) -> web.Response:
    state = "SUSPENDED" if engine.suspended else "ACTIVE"
    return json_response({"engine": {"id": engine.id, "state": state, "timezone": call.site().timezone}})


def _answer(engine: RuleEngine, rule: Rule) -> web.Response:
    return json_response({"rule": engine.render_rule(rule)})


@operations.rule_engine("GET", "", "getRuleEngine")
async def get_engine(call: Call) -> web.Response:
    """Get the engine."""
    return _render(call, find_engine(call))


@operations.rule_engine("POST", "", "createRuleEngine", role=Role.OWNER, mode="gateway")
async def create_engine(call: Call) -> web.Response:
    """Create the engine, the old way: every site has one, so only its state is set."""
    engine = find_engine(call)
    engine.suspended = call.body().boolean("suspend")
    return _render(call, engine)


@operations.rule_engine("POST", "/suspend", "suspendRuleEngine", role=Role.OWNER)
async def suspend(call: Call) -> web.Response:
    """Suspend the engine."""
    engine = find_engine(call)
    engine.suspended = True
    return _render(call, engine)


@operations.rule_engine("POST", "/resume", "resumeRuleEngine", role=Role.OWNER)
async def resume(call: Call) -> web.Response:
    """Resume the engine."""
    engine = find_engine(call)
    engine.suspended = False
    return _render(call, engine)


@operations.rule_engine("GET", "/rules", "listRules")
async def list_rules(call: Call) -> web.Response:
    """List the rules: a page, or all of them and no count on a legacy engine."""
    engine = find_engine(call)
    rules = list(engine.rules.values())
    if call.behaviour.legacy_rule_engine:
        return json_response({"rules": [engine.render_rule(rule) for rule in rules]})
    return json_response(call.query.page("rules", rules, engine.render_rule))


@operations.rule_engine("POST", "/rules", "createRule", role=Role.OWNER)
async def create_rule(call: Call) -> web.Response:
    """Create a rule."""
    engine, body = find_engine(call), call.body()
    slug, script, disabled = body.text("slug"), _script(body), body.boolean("disable", default=False)
    engine.check_slug(slug)
    rule = Rule(call.world.new_id("rule"), slug, script, disabled)
    engine.rules[rule.id] = rule
    return call.created({"rule": engine.render_rule(rule)})


@operations.rule_engine("GET", "/rules/{rule_id}", "getRule")
async def get_rule(call: Call) -> web.Response:
    """Get a rule by ID or slug."""
    engine = find_engine(call)
    return _answer(engine, engine.find(call.path("rule_id")))


@operations.rule_engine("PATCH", "/rules/{rule_id}", "updateRule", role=Role.OWNER)
async def update_rule(call: Call) -> web.Response:
    """Change a rule's slug."""
    engine = find_engine(call)
    rule, slug = engine.find(call.path("rule_id")), call.body().optional_text("slug")
    if slug is not None:
        engine.check_slug(slug, rule.id)
        rule.slug = slug
    return _answer(engine, rule)


@operations.rule_engine("DELETE", "/rules/{rule_id}", "deleteRule", role=Role.OWNER)
async def delete_rule(call: Call) -> web.Response:
    """Delete a rule."""
    engine = find_engine(call)
    del engine.rules[engine.find(call.path("rule_id")).id]
    return call.done()


@operations.rule_engine("POST", "/rules/{rule_id}/update_script", "updateRuleScript", role=Role.OWNER)
async def update_script(call: Call) -> web.Response:
    """Replace a rule's script."""
    engine = find_engine(call)
    rule = engine.find(call.path("rule_id"))
    rule.script = _script(call.body())
    return _answer(engine, rule)


@operations.rule_engine("POST", "/rules/{rule_id}/enable", "enableRule", role=Role.OWNER)
async def enable_rule(call: Call) -> web.Response:
    """Enable a rule."""
    return _switch(call, disabled=False)


@operations.rule_engine("POST", "/rules/{rule_id}/disable", "disableRule", role=Role.OWNER)
async def disable_rule(call: Call) -> web.Response:
    """Disable a rule."""
    return _switch(call, disabled=True)


def _switch(call: Call, *, disabled: bool) -> web.Response:
    engine = find_engine(call)
    rule = engine.find(call.path("rule_id"))
    rule.disabled = disabled
    return _answer(engine, rule)


@operations.rule_engine("POST", "/rules/batch_enable", "batchEnableRules", role=Role.OWNER)
async def batch_enable(call: Call) -> web.Response:
    """Enable several rules. If one does not exist, none is enabled."""
    return _switch_many(call, disabled=False)


@operations.rule_engine("POST", "/rules/batch_disable", "batchDisableRules", role=Role.OWNER)
async def batch_disable(call: Call) -> web.Response:
    """Disable several rules. If one does not exist, none is disabled."""
    return _switch_many(call, disabled=True)


def _switch_many(call: Call, *, disabled: bool) -> web.Response:
    engine = find_engine(call)
    rules = _named(call, engine)
    for rule in rules:
        rule.disabled = disabled
    return json_response({"rules": [engine.render_rule(rule) for rule in rules]})


@operations.rule_engine("POST", "/rules/batch_delete", "batchDeleteRules", role=Role.OWNER)
async def batch_delete(call: Call) -> web.Response:
    """Delete several rules, the old way."""
    engine = find_engine(call)
    for rule in _named(call, engine):
        engine.rules.pop(rule.id, None)
    return json_response({})


def _named(call: Call, engine: RuleEngine) -> list[Rule]:
    body = call.body()
    names = body.names("rule_ids")
    if not names:
        raise body.refuse("rule_ids", "expected a list that is not empty")
    return [engine.find(name) for name in names]


def _script(body: Body) -> dict[str, Any]:
    script = body.object("script")
    if script is None:
        raise body.refuse("script", "is required")
    code = script.value("code")
    if not isinstance(code, str):
        raise script.refuse("code", "is required")
    try:
        base64.b64decode(code, validate=True).decode()
    except (binascii.Error, ValueError):
        raise script.refuse("code", "expected base64 of UTF-8") from None
    version = script.choice("runtime_version", ("V1", "V3"))
    answer = {"code": code, "runtime_version": version}
    interval = _interval(script)
    if version == "V1":
        if interval is None:
            raise script.refuse("exec_interval", "is required for V1")
        answer["exec_interval"] = interval
    elif interval is not None and parse_duration(interval):
        # The CLI sends 0s for V3, which has no meaning.
        raise script.refuse("exec_interval", "is for V1 only")
    return answer


def _interval(script: Body) -> str | None:
    interval = script.optional_text("exec_interval")
    if interval is None:
        return None
    try:
        parse_duration(interval)
    except ValueError as error:
        raise script.refuse("exec_interval", str(error)) from None
    return interval
