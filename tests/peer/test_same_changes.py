"""What one SDK makes, both read alike: executions, blueprints, rules and the rule engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from enapter.http import api

from enapter_async import EnapterClient, RuleScript
from tests.peer.conftest import assert_same

pytestmark = pytest.mark.anyio

MANIFEST = "blueprint_spec: device/3.0\ndisplay_name: Meter\nruntime:\n  type: standalone\n"


async def test_executions_of_either_sdk(ours: EnapterClient, theirs: api.Client) -> None:
    devices = await ours.devices.list(expand={"manifest"}).collect()
    device, command = next(
        (device, command.name)
        for device in devices
        if device.manifest
        for command in device.manifest.commands.values()
        if not any(argument.required for argument in command.arguments.values())
    )
    mine = await ours.commands.run(device.id, command, timeout=20)
    made = await theirs.commands.create_execution(device.id, command)
    await ours.commands.wait(device.id, made.id, timeout=20)
    for execution_id in (mine.id, made.id):
        other = await theirs.commands.get_execution(device.id, execution_id, expand_log=True)
        assert_same(await ours.commands.get_execution(device.id, execution_id, expand={"log"}), other)
    async with theirs.commands.list_executions(device.id) as executions:
        others = [execution async for execution in executions]
    assert {mine.id, made.id} <= {execution.id for execution in others}
    assert_same(await ours.commands.list_executions(device.id, order="CREATED_AT_ASC").collect(), others)


async def test_blueprints_of_either_sdk(ours: EnapterClient, theirs: api.Client, tmp_path: Path) -> None:
    (tmp_path / "manifest.yml").write_text(MANIFEST)
    mine = await ours.blueprints.upload(tmp_path)
    other = await theirs.blueprints.upload_directory(tmp_path)
    for blueprint_id in (mine.id, other.id):
        assert_same(await ours.blueprints.get(blueprint_id), await theirs.blueprints.get(blueprint_id))
        original = await theirs.blueprints.download(blueprint_id)
        assert await ours.blueprints.download(blueprint_id, view="ORIGINAL") == original


async def test_rules_of_either_sdk(ours: EnapterClient, theirs: api.Client) -> None:
    site = await ours.sites.list().first()
    assert site is not None
    mine = await ours.rules.create(slug="mine", script=RuleScript(code="-- grün\n"), site_id=site.id)
    script = api.rule_engine.RuleScript(code="-- theirs\n", runtime_version=api.rule_engine.RuntimeVersion.V3)
    other = await theirs.rule_engine.create_rule(script, slug="theirs", site_id=site.id)
    for rule_id in (mine.id, other.id):
        assert_same(await ours.rules.get(rule_id, site.id), await theirs.rule_engine.get_rule(rule_id, site.id))
    async with theirs.rule_engine.list_rules(site.id) as rules:
        others = [rule async for rule in rules]
    assert_same(await ours.rules.list(site.id).collect(), others)
    assert_same(await ours.rule_engine.get(site.id), await theirs.rule_engine.get(site.id))
