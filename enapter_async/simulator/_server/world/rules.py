"""The rule engines of sites."""

from __future__ import annotations

import base64
from typing import Any

import attrs

from ..errors import conflict, not_found

_SAMPLES = (
    ("night-charge", "V3", None, "enapter.log('charging at night')\n", False),
    ("peak-shaving", "V1", "5s", "-- Laufzeit: prüfen\nfunction main() end\n", True),
)


@attrs.define(eq=False)
class Rule:
    """A rule."""

    id: str
    slug: str
    script: dict[str, Any]
    disabled: bool = False


@attrs.define(eq=False)
class RuleEngine:
    """A site's rule engine. Its rules are in the order of their creation."""

    id: str
    suspended: bool = False
    rules: dict[str, Rule] = attrs.field(factory=dict[str, Rule])

    def find(self, id_or_slug: str) -> Rule:
        """Find a rule by ID or slug.

        Raises:
            Refusal: The rule does not exist (404).
        """
        rule = self.rules.get(id_or_slug) or next((r for r in self.rules.values() if r.slug == id_or_slug), None)
        if rule is None:
            raise not_found("rule")
        return rule

    def check_slug(self, slug: str, own_id: str = "") -> None:
        """Refuse a slug that another rule has.

        Raises:
            Refusal: It is taken (409).
        """
        if any(rule.slug == slug and rule.id != own_id for rule in self.rules.values()):
            raise conflict(f"slug {slug!r} is taken")

    def render_rule(self, rule: Rule) -> dict[str, Any]:
        """Return a rule as JSON. Rules of a suspended engine are stopped."""
        return {
            "id": rule.id,
            "slug": rule.slug,
            "disabled": rule.disabled,
            "state": "STOPPED" if rule.disabled or self.suspended else "STARTED",
            "script": rule.script,
        }


def sample_rules(ids: list[str]) -> list[Rule]:
    """Create the rules that every site of a new world has."""
    rules: list[Rule] = []
    for rule_id, (slug, version, interval, code, disabled) in zip(ids, _SAMPLES, strict=True):
        script = {"code": base64.b64encode(code.encode()).decode(), "runtime_version": version}
        if interval is not None:
            script["exec_interval"] = interval
        rules.append(Rule(rule_id, slug, script, disabled))
    return rules


SAMPLES = len(_SAMPLES)
"""Initial number of rules of a site."""
