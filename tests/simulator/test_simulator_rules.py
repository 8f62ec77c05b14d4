"""The rule engine, of a site and of the Gateway itself."""

from __future__ import annotations

import base64
from typing import Any

import aiohttp
import pytest
from simulator_calls import Caller, device_of

from enapter_async.simulator import Role, Simulator

pytestmark = pytest.mark.anyio

SCRIPT = {"code": base64.b64encode("enapter.log('é')".encode()).decode(), "runtime_version": "V3"}


@pytest.fixture(params=["site", "own"])
def base(request: pytest.FixtureRequest, sim: Simulator) -> str:
    site = next(iter(sim.world.sites))
    return f"/v3/sites/{site}/rule_engine" if request.param == "site" else "/v3/site/rule_engine"


async def test_the_engine_is_suspended_and_resumed(call: Caller, base: str) -> None:
    assert (await call("GET", base))["engine"]["state"] == "ACTIVE"
    assert (await call("POST", f"{base}/suspend"))["engine"]["state"] == "SUSPENDED"
    assert {rule["state"] for rule in (await call("GET", f"{base}/rules"))["rules"]} == {"STOPPED"}
    assert (await call("POST", f"{base}/resume"))["engine"]["state"] == "ACTIVE"
    assert (await call("POST", base, json={"suspend": True}))["engine"]["state"] == "SUSPENDED"


async def test_a_rule_from_creation_to_deletion(call: Caller, base: str) -> None:
    rules = f"{base}/rules"
    made = (await call("POST", rules, json={"slug": "mine", "script": SCRIPT, "disable": True}))["rule"]
    assert made == {"id": made["id"], "slug": "mine", "disabled": True, "state": "STOPPED", "script": SCRIPT}
    assert (await call("GET", f"{rules}/mine"))["rule"] == made
    assert (await call("POST", f"{rules}/mine/enable"))["rule"]["state"] == "STARTED"
    assert (await call("POST", f"{rules}/{made['id']}/disable"))["rule"]["disabled"] is True
    timed = {"code": "", "runtime_version": "V1", "exec_interval": "1m"}
    assert (await call("POST", f"{rules}/mine/update_script", json={"script": timed}))["rule"]["script"] == timed
    assert (await call("PATCH", f"{rules}/mine", json={"slug": "yours"}))["rule"]["slug"] == "yours"
    await call("PATCH", f"{rules}/yours", json={"slug": "night-charge"}, status=409)
    await call("POST", rules, json={"slug": "yours", "script": SCRIPT}, status=409)
    await call("GET", f"{rules}/mine", status=404)
    assert await call("DELETE", f"{rules}/yours") == {}
    await call("GET", f"{rules}/{made['id']}", status=404)


async def test_batches_do_all_or_nothing(call: Caller, base: str) -> None:
    rules = f"{base}/rules"
    both = {"rule_ids": ["night-charge", "peak-shaving"]}
    await call("POST", f"{rules}/batch_disable", json=both)
    assert {rule["disabled"] for rule in (await call("GET", rules))["rules"]} == {True}
    await call("POST", f"{rules}/batch_enable", json={"rule_ids": ["night-charge", "nothing"]}, status=404)
    assert {rule["disabled"] for rule in (await call("GET", rules))["rules"]} == {True}
    await call("POST", f"{rules}/batch_enable", json=both)
    assert {rule["disabled"] for rule in (await call("GET", rules))["rules"]} == {False}
    await call("POST", f"{rules}/batch_enable", json={"rule_ids": []}, status=400)
    await call("POST", f"{rules}/batch_delete", json=both)
    assert (await call("GET", rules)) == {"rules": [], "total_count": 0}


@pytest.mark.parametrize(
    "script",
    [
        None,
        {},
        {"code": "***", "runtime_version": "V3"},
        {"code": "/w==", "runtime_version": "V3"},
        {"code": "", "runtime_version": "V2"},
        {"code": "", "runtime_version": "V1"},
        {"code": "", "runtime_version": "V1", "exec_interval": "soon"},
        {"code": "", "runtime_version": "V3", "exec_interval": "5s"},
    ],
)
async def test_bad_scripts_are_refused(call: Caller, base: str, script: Any) -> None:
    await call("POST", f"{base}/rules", json={"slug": "x", "script": script}, status=400)
    await call("POST", f"{base}/rules/night-charge/update_script", json={"script": script}, status=400)


async def test_changes_need_an_owner(sim: Simulator, call: Caller, base: str) -> None:
    sim.add_token("user", Role.USER)
    await call("GET", f"{base}/rules", token="user")
    await call("POST", f"{base}/suspend", token="user", status=403)
    await call("DELETE", f"{base}/rules/night-charge", token="user", status=403)


async def test_a_legacy_engine_has_no_pages_and_no_manners(session: aiohttp.ClientSession) -> None:
    async with Simulator(mode="gateway", legacy_rule_engine=True) as sim:
        call = Caller(sim, session)
        for number in range(60):
            await call("POST", "/v3/site/rule_engine/rules", json={"slug": f"r{number}", "script": SCRIPT})
        answer = await call("GET", "/v3/site/rule_engine/rules")
        assert len(answer["rules"]) == 62
        assert "total_count" not in answer
        for query in ("offset=0", "limit=10", "x=y"):
            await call("GET", f"/v3/site/rule_engine/rules?{query}", status=400)


async def test_through_the_cloud_the_engine_is_as_far_as_its_gateway(session: aiohttp.ClientSession) -> None:
    async with Simulator(mode="cloud") as sim:
        call = Caller(sim, session)
        gateway = device_of(sim, "gateway")
        path = f"/v3/sites/{gateway.site_id}/rule_engine"
        await call("GET", path)
        gateway.connectivity = "OFFLINE"
        assert b"cannot be reached" in await call("GET", path, status=502)
    async with Simulator(rule_engine_online=False) as sim:
        await Caller(sim, session)("GET", "/v3/site/rule_engine", status=502)
