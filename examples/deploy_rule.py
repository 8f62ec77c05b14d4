"""Deploy a rule from a Lua file: create it, or update the existing one.

    python examples/deploy_rule.py keep-battery-warm.lua --disabled

The name of the file is the slug of the rule. A rule that already has this script is not changed. With `--disabled`, a
new rule is created disabled. `--site ID` selects another site than the first.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from enapter_async import EnapterClient, NotFoundError, Rule, RuleScript


async def deploy(file: Path, site_id: str | None, *, disabled: bool) -> tuple[str, Rule]:
    """Return what was done, and the rule as it is now."""
    script = RuleScript(code=file.read_text("utf-8"))
    async with EnapterClient.from_env() as client:
        if site_id is None:
            site_id = (await client.sites.list(max_items=1).collect())[0].id
        try:
            rule = await client.rules.get(file.stem, site_id)
        except NotFoundError:
            rule = await client.rules.create(slug=file.stem, script=script, disable=disabled, site_id=site_id)
            return "created", rule
        if rule.script is not None and rule.script.code == script.code:
            return "unchanged", rule
        return "updated", await client.rules.update_script(rule.id, script=script, site_id=site_id)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--site", help="ID of the site; by default the first one")
    parser.add_argument("--disabled", action="store_true", help="create it switched off")
    options = parser.parse_args()
    done, rule = asyncio.run(deploy(options.file, options.site, disabled=options.disabled))
    print(f"{done}: {rule.slug} ({rule.id}), {'disabled' if rule.disabled else 'enabled'}")


if __name__ == "__main__":
    main()
