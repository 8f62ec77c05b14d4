"""Rules and their engine, on a site and on the Gateway itself, of today and of yesterday."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from enapter_async import ConflictError, EnapterClient, NotFoundError, RequestError
from enapter_async.models.rule_engine import RuleEngineState
from enapter_async.models.rules import RuleScript, RuleState, RuntimeVersion
from enapter_async.simulator import Simulator

pytestmark = pytest.mark.anyio

CODE = "-- Größe: 5 °C\nenapter.log('hi')\n"


@pytest.fixture(params=["site", "gateway"])
async def site_id(request: pytest.FixtureRequest, client: EnapterClient) -> str | None:
    if request.param == "gateway":
        return None
    site = await client.sites.list().first()
    assert site is not None
    return site.id


async def test_the_engine_is_suspended_and_resumed(client: EnapterClient, site_id: str | None) -> None:
    engine = await client.rule_engine.get(site_id)
    assert engine.state is RuleEngineState.ACTIVE
    assert (await client.rule_engine.suspend(site_id)).state is RuleEngineState.SUSPENDED
    assert (await client.rule_engine.get(site_id)).state is RuleEngineState.SUSPENDED
    assert await client.rule_engine.resume(site_id) == engine


async def test_a_rule_from_creation_to_deletion(client: EnapterClient, site_id: str | None) -> None:
    rules = client.rules
    made = await rules.create(slug="mine", script=RuleScript(code=CODE), disable=True, site_id=site_id)
    assert made.script is not None
    assert (made.slug, made.disabled, made.script.code) == ("mine", True, CODE)
    assert await rules.get("mine", site_id) == made
    assert (await rules.enable("mine", site_id=site_id)).state is RuleState.STARTED
    assert (await rules.disable(made.id, site_id=site_id)).disabled is True
    timed = RuleScript(code=CODE * 2, runtime_version="V1", exec_interval=90)
    changed = (await rules.update_script("mine", script=timed, site_id=site_id)).script
    assert changed is not None
    assert (changed.code, changed.runtime_version) == (CODE * 2, RuntimeVersion.V1)
    assert changed.exec_interval == timedelta(seconds=90)
    assert (await rules.update("mine", slug="yours", site_id=site_id)).id == made.id
    with pytest.raises(ConflictError):
        await rules.create(slug="yours", script=RuleScript(code=""), site_id=site_id)
    await rules.delete("yours", site_id=site_id)
    with pytest.raises(NotFoundError):
        await rules.get(made.id, site_id)


async def test_many_rules_at_once(client: EnapterClient, site_id: str | None) -> None:
    slugs = [rule.slug async for rule in client.rules.list(site_id)]
    await client.rules.disable_many(slugs, site_id=site_id)
    assert {rule.disabled async for rule in client.rules.list(site_id)} == {True}
    await client.rules.enable_many(slugs[:1], site_id=site_id)
    assert [rule.slug async for rule in client.rules.list(site_id) if not rule.disabled] == slugs[:1]


@pytest.fixture(params=[True, False], ids=["legacy", "current"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Simulator, EnapterClient]]:
    async with (
        Simulator(mode="gateway", legacy_rule_engine=request.param) as simulator,
        EnapterClient(base_url=simulator.url, token=simulator.token) as client,
    ):
        yield simulator, client


async def test_every_rule_is_listed_by_every_engine(engine: tuple[Simulator, EnapterClient]) -> None:
    simulator, client = engine
    for number in range(63):
        await client.rules.create(slug=f"rule-{number:02}", script=RuleScript(code=str(number)))
    mine = [rule.slug async for rule in client.rules.list() if rule.slug.startswith("rule-")]
    assert sorted(mine) == [f"rule-{number:02}" for number in range(63)]
    everything = [rule.id for rule in await client.rules.list().collect()]
    assert [rule.id for rule in await client.rules.list(offset=55).collect()] == everything[55:]
    assert [rule.id for rule in await client.rules.list(offset=10, max_items=5).collect()] == everything[10:15]
    listed = [record for record in simulator.requests if record.path.endswith("/rules") and record.method == "GET"]
    assert listed[0].query == {}
    assert all(record.status == 200 for record in listed)


async def test_an_engine_that_cannot_be_reached() -> None:
    async with (
        Simulator(mode="cloud", rule_engine_online=False) as simulator,
        EnapterClient(base_url=simulator.url, token=simulator.token) as client,
    ):
        site = await client.sites.list().first()
        assert site is not None
        with pytest.raises(RequestError):
            await client.rule_engine.get(site.id, timeout=0.5)
