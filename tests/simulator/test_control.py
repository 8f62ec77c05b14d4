"""The control API over HTTP: who may use it, and what each operation does to what the API answers."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import attrs
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate as validate_description

from enapter_async.simulator import ControlError, Fault, Simulator, SimulatorControl, run_in_thread
from enapter_async.simulator._server.control import models
from enapter_async.simulator._server.control.control import ROUTES
from enapter_async.simulator._server.control.structure import ShapeError, structure, unstructure
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio

DESCRIPTION: dict[str, Any] = json.loads(
    (Path(models.__file__).parent / "openapi.json").read_text("utf-8"),
)


class Http:
    """Sends requests to the control API of a simulator and checks each answer against the description."""

    def __init__(self, sim: Simulator, session: aiohttp.ClientSession) -> None:
        assert sim.control_page is not None
        page, _, self.token = sim.control_page.partition("#token=")
        self.base = page.removesuffix("/")
        self.session = session

    async def __call__(
        self, method: str, path: str, json: Any = None, *, status: int | None = None, **options: Any
    ) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        async with self.session.request(
            method, self.base + path, json=json, headers=headers, allow_redirects=False, **options
        ) as response:
            payload = await response.json() if response.content_type == "application/json" else None
            expected = status or {"POST": 201}.get(method, 200)
            assert response.status == expected, payload
            check_answer(method, path, response.status, payload)
            return payload


def check_answer(method: str, path: str, status: int, payload: Any) -> None:
    for template, item in DESCRIPTION["paths"].items():
        pattern = "/".join("[^/]+" if part.startswith("{") else re.escape(part) for part in template.split("/"))
        if re.fullmatch(pattern, "/_simulator" + path.partition("?")[0]) and method.lower() in item:
            answers = item[method.lower()]["responses"]
            answer = answers.get(str(status), DESCRIPTION["components"]["responses"]["Refused"])
            if status < 400:
                assert str(status) in answers
            schema = answer.get("content", {}).get("application/json", {}).get("schema")
            if schema is not None:
                whole = {**schema, "components": DESCRIPTION["components"]}
                Draft202012Validator(whole).validate(payload)
            return
    assert status in (404, 405, 400, 401)


@pytest.fixture
def control(sim: Simulator, session: aiohttp.ClientSession) -> Http:
    return Http(sim, session)


@pytest.fixture
def api(sim: Simulator, session: aiohttp.ClientSession) -> Callable[..., Any]:
    async def get(path: str, **params: str) -> tuple[int, Any]:
        headers = {"X-Enapter-Auth-Token": sim.token}
        async with session.get(sim.url + path, params=params, headers=headers) as response:
            return response.status, await response.json(content_type=None) if response.status == 200 else None

    return get


# The description


def test_the_description_is_valid_and_names_every_route() -> None:
    validate_description(DESCRIPTION)
    described = {
        (method.upper(), path.removeprefix("/_simulator"))
        for path, item in DESCRIPTION["paths"].items()
        for method in item
    }
    assert described == {(route.method, route.path) for route in ROUTES}
    for route in ROUTES:
        answers = DESCRIPTION["paths"]["/_simulator" + route.path][route.method.lower()]["responses"]
        assert str(route.status) in answers


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("Status", models.StatusInfo),
        ("Operation", models.OperationInfo),
        ("Site", models.SiteInfo),
        ("Alert", models.AlertInfo),
        ("Reading", models.Reading),
        ("Device", models.DeviceInfo),
        ("Request", models.RequestInfo),
        ("PlannedFault", models.FaultInfo),
        ("Settings", models.SettingsInfo),
        ("Clock", models.ClockInfo),
    ],
)
def test_the_description_has_the_fields_of_the_models(name: str, model: type[attrs.AttrsInstance]) -> None:
    assert set(DESCRIPTION["components"]["schemas"][name]["properties"]) == {f.name for f in attrs.fields(model)}


def test_the_description_has_the_fields_and_kinds_of_faults() -> None:
    described = DESCRIPTION["components"]["schemas"]["Fault"]["properties"]
    assert set(described) == {field.name for field in attrs.fields(Fault)} | {"body_base64"}
    made = [Fault.answer(500), Fault.reset(), Fault.close(), Fault.hang(), Fault.delay(1), Fault.truncate(1)]
    assert {fault.kind for fault in made} < set(described["kind"]["enum"])


# Access


async def test_without_the_token_there_is_only_the_page(control: Http, sim: Simulator) -> None:
    for token in ("", sim.token, control.token + "x", control.token[:-1]):
        for route in ROUTES:
            path = re.sub(r"\{\w+\}", "x", route.path)
            await control(route.method, path, status=401, headers={"Authorization": f"Bearer {token}"})
    await control("GET", "/status", status=401, headers={"Authorization": control.token})
    async with control.session.get(control.base + "/") as response:
        assert response.status == 200
        assert control.token not in await response.text()
        assert sim.token not in await response.text()
    async with control.session.get(control.base, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (308, "/_simulator/")


@pytest.mark.parametrize(
    ("host", "accepted"),
    [
        ("localhost:{port}", True),
        ("127.0.0.1:{port}", True),
        ("[::1]:{port}", True),
        ("192.0.2.7", True),
        ("plant.localhost:1", True),
        ("lab.internal:{port}", True),
        ("LAB.internal", True),
        ("attacker.example:{port}", False),
        ("localhost.attacker.example", False),
        ("127.0.0.1.attacker.example", False),
        ("lab.internal.attacker.example", False),
        ("", False),
    ],
)
async def test_names_of_other_machines_are_refused(session: aiohttp.ClientSession, host: str, accepted: bool) -> None:
    async with Simulator(devices=1, control_hosts=["lab.internal"]) as sim:
        control = Http(sim, session)
        name = host.format(port=sim.port)
        for path in ("/", "/status", "/openapi.json"):
            headers = {"Host": name, "Authorization": f"Bearer {control.token}"}
            async with session.get(control.base + path, headers=headers) as response:
                assert response.status == (200 if accepted else 421)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "{own}"}, 200),
        ({"Origin": "{own}", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://attacker.example"}, 403),
        ({"Origin": "https://{host}"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
async def test_other_origins_are_refused(control: Http, headers: dict[str, str], status: int) -> None:
    own = control.base.removesuffix("/_simulator")
    sent = {name: value.format(own=own, host=urlsplit(own).netloc) for name, value in headers.items()}
    await control("GET", "/status", headers=sent, status=status)
    await control("PATCH", "/settings", {"latency": 0}, headers=sent, status=status)


async def test_nothing_allows_other_origins_and_forms_are_refused(control: Http) -> None:
    async with control.session.options(control.base + "/status") as response:
        assert response.status == 401
        assert not [name for name in response.headers if name.lower().startswith("access-control")]
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        await control("POST", "/sites", headers={"Content-Type": content_type}, data=b'{"name": "x"}', status=415)


async def test_pages_and_answers_may_load_nothing_from_elsewhere(control: Http) -> None:
    for path in ("/", "/openapi.json", "/status", "/nothing"):
        headers = {"Authorization": f"Bearer {control.token}"}
        async with control.session.get(control.base + path, headers=headers) as response:
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; ")
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cache-Control"] == "no-store"


async def test_it_is_off_on_demand_and_never_among_the_requests(session: aiohttp.ClientSession) -> None:
    async with Simulator(devices=1, control=False) as sim:
        assert sim.control_page is None
        async with session.get(sim.url + "/_simulator/") as response:
            assert response.status == 404
        assert len(sim.requests) == 1
    async with Simulator(devices=1, rate_limit=1, latency=3, faults=None) as sim:
        control = Http(sim, session)
        for _ in range(5):
            assert (await control("GET", "/status"))["status"]["requests"] == 0


@pytest.mark.parametrize("mode", ["any", "cloud", "gateway"])
async def test_it_is_at_the_root_in_every_mode(session: aiohttp.ClientSession, mode: Any) -> None:
    async with Simulator(devices=3, mode=mode) as sim:
        control = Http(sim, session)
        assert control.base == f"http://127.0.0.1:{sim.port}/_simulator"
        assert (await control("GET", "/status"))["status"]["url"] == sim.url
        served = {operation["id"] for operation in (await control("GET", "/operations"))["operations"]}
        assert ("gatewayListRules" in served) == (mode != "cloud")


async def test_unknown_paths_and_methods(control: Http) -> None:
    await control("GET", "/nothing", status=404)
    await control("GET", "/devices/x/y/z", status=404)
    await control("PUT", "/status", {}, status=405)
    await control("GET", "/devices/nobody", status=404)


# The world


async def test_alerts_connectivity_values_and_properties_reach_the_api(
    control: Http, sim: Simulator, api: Callable[..., Any]
) -> None:
    device = next(d for d in sim.world.devices.values() if d.blueprint.section("alerts"))
    path = f"/devices/{device.slug}"
    answer = await control("PUT", f"{path}/alerts/over%2Fheat%20%F0%9F%94%A5", {})
    assert {"name": "over/heat 🔥", "display_name": "over/heat 🔥", "severity": "info", "raised": True} in answer[
        "device"
    ]["alerts"]
    _, seen = await api(f"/v3/devices/{device.id}", expand="raised_alert_names")
    assert "over/heat 🔥" in seen["device"]["raised_alert_names"]
    await control("DELETE", f"{path}/alerts/over%2Fheat%20%F0%9F%94%A5")
    _, seen = await api(f"/v3/devices/{device.id}", expand="raised_alert_names")
    assert "over/heat 🔥" not in seen["device"]["raised_alert_names"]

    name = next(iter(device.blueprint.section("telemetry")))
    await control("PUT", f"{path}/telemetry/{name}", {"value": None})
    _, seen = await api(f"/v3/devices/{device.id}/telemetry", **{"attribute.in": name})
    assert seen["telemetry"][name]["value"] is None
    answer = await control("DELETE", f"{path}/telemetry/{name}")
    assert not any(reading["overridden"] for reading in answer["device"]["telemetry"])

    await control("PATCH", path, {"connectivity": "OFFLINE", "properties": {"model": "M2"}, "name": "Renamed"})
    _, seen = await api(f"/v3/devices/{device.id}", expand="connectivity,properties")
    assert seen["device"]["connectivity"] == {"status": "OFFLINE"}
    assert seen["device"]["properties"]["model"] == "M2"
    assert seen["device"]["name"] == "Renamed"

    await control("POST", f"{path}/logs", {"message": "hello", "severity": "error"})
    _, seen = await api(f"/v3/devices/{device.id}/logs", severity="error", limit="50", order="RECEIVED_AT_DESC")
    assert "hello" in [record["message"] for record in seen["logs"]]


async def test_sites_and_devices_come_and_go(control: Http, sim: Simulator) -> None:
    site = (await control("POST", "/sites", {"name": "Lab", "timezone": "Europe/Berlin"}))["site"]
    made = (await control("POST", "/devices", {"name": "Tank", "blueprint": "hydrogen_tank", "site_id": site["id"]}))[
        "device"
    ]
    assert [reading["name"] for reading in made["telemetry"]]
    assert (await control("GET", f"/devices?site_id={site['id']}"))["total"] == 1
    await control("POST", "/devices", {"id": made["id"]}, status=409)
    await control("POST", "/devices", {"slug": made["slug"], "site_id": site["id"]}, status=409)
    await control("POST", "/devices", {"blueprint": "perpetuum_mobile"}, status=400)
    await control("POST", "/devices", {"site_id": "nowhere"}, status=400)
    await control("DELETE", f"/sites/{site['id']}", status=204)
    assert (await control("GET", f"/devices/{made['id']}"))["device"]["site_id"] is None
    await control("DELETE", f"/devices/{made['id']}", status=204)
    assert made["id"] not in sim.world.devices
    assert len((await control("GET", "/sites"))["sites"]) == 3


async def test_lists_of_devices_are_searched_and_cut(control: Http, sim: Simulator) -> None:
    whole = await control("GET", "/devices?telemetry=headline&samples=30")
    assert whole["total"] == len(whole["devices"]) == 20
    charted = [reading for device in whole["devices"] for reading in device["telemetry"]]
    assert all(len(reading["samples"]) == 30 for reading in charted)
    assert all(reading["samples"][-1] == pytest.approx(reading["value"], rel=0.5) for reading in charted[:3])
    part = await control("GET", "/devices?offset=5&limit=3")
    assert part["total"] == 20
    assert [device["id"] for device in part["devices"]] == [d["id"] for d in whole["devices"][5:8]]
    assert part["devices"][0]["telemetry"] == []
    found = await control("GET", "/devices?search=uCm")
    assert found["total"] == sum("ucm" in device.name.lower() for device in sim.world.devices.values()) > 0
    for bad in ("limit=-1", "samples=1e3", "telemetry=some", "offset=%C2%B2"):
        await control("GET", f"/devices?{bad}", status=400)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/devices/{id}", {"connectivity": "ASLEEP"}),
        ("PATCH", "/devices/{id}", {"connectivty": "OFFLINE"}),
        ("PATCH", "/devices/{id}", {"properties": []}),
        ("PATCH", "/devices/{id}", []),
        ("PUT", "/devices/{id}/telemetry/x", {}),
        ("PUT", "/devices/{id}/telemetry/x", {"value": 1, "unit": "W"}),
        ("POST", "/devices/{id}/logs", {"message": "x", "severity": "loud"}),
        ("POST", "/sites", {"name": " "}),
        ("POST", "/faults", {}),
        ("POST", "/faults", {"fault": {"kind": "explode"}}),
        ("POST", "/faults", {"fault": {"kind": "answer", "status": 100}}),
        ("POST", "/faults", {"fault": {"kind": "answer", "status": "503"}}),
        ("POST", "/faults", {"fault": {"kind": "answer", "headers": {"X": "a\r\nb"}}}),
        ("POST", "/faults", {"fault": {"kind": "answer", "body": {}}}),
        ("POST", "/faults", {"fault": {"kind": "answer", "body_base64": "?"}}),
        ("POST", "/faults", {"fault": {"kind": "hang", "seconds": -1}}),
        ("POST", "/faults", {"fault": {"kind": "truncate", "count": -1}}),
        ("POST", "/faults", {"fault": {"kind": "reset"}, "times": 0}),
        ("POST", "/faults", {"fault": {"kind": "reset"}, "times": True}),
        ("POST", "/faults", {"fault": {"kind": "reset"}, "nth": []}),
        ("POST", "/faults", {"fault": {"kind": "reset"}, "nth": [0]}),
        ("POST", "/faults", {"fault": {"kind": "reset"}, "nth": 1, "times": 1}),
        ("POST", "/faults", {"fault": {"kind": "reset"}, "operation": "listDevice"}),
        ("POST", "/faults", {"fault": {"kind": "reset"}, "method": "GTE"}),
        ("POST", "/faults", {"fault": {"kind": "reset"}, "when": "never"}),
        ("PATCH", "/settings", {"rate_limit": 0}),
        ("PATCH", "/settings", {"rate_limit": "5"}),
        ("PATCH", "/settings", {"burst": 0.5}),
        ("PATCH", "/settings", {"latency": [2, 1]}),
        ("PATCH", "/settings", {"latency": [1]}),
        ("PATCH", "/settings", {"latency": -1}),
        ("PATCH", "/settings", {"fault_rate": 1.1}),
        ("PATCH", "/settings", {"fault": 1}),
        ("PATCH", "/clock", {"now": "2026-01-01T00:00:00"}),
        ("PATCH", "/clock", {"now": "2026-01-01T00:00:00Z", "offset": 1}),
        ("PATCH", "/clock", {"advance": 1e15}),
        ("PATCH", "/clock", {"offset": "1"}),
        ("PATCH", "/clock", {"advance": 10**400}),
        ("PATCH", "/settings", {"rate_limit": 10**400}),
        ("PATCH", "/clock", {"speed": 2}),
        ("PUT", "/state", {}),
        ("PUT", "/state", {"format": "enapter-simulator-state/2"}),
    ],
)
async def test_bad_requests_are_named_and_change_nothing(
    control: Http, sim: Simulator, method: str, path: str, body: Any
) -> None:
    before = await control("GET", "/state")
    answer = await control(method, path.format(id=next(iter(sim.world.devices))), body, status=400)
    assert answer["errors"][0]["message"]
    assert await control("GET", "/state") == before


# Requests


async def test_requests_can_be_read_waited_for_and_forgotten(
    control: Http, sim: Simulator, session: aiohttp.ClientSession, api: Callable[..., Any]
) -> None:
    waiting = asyncio.create_task(control("GET", "/requests?operation=listDevices&wait=10"))
    await asyncio.sleep(0.05)
    await api("/v3/sites", name="x")
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await api("/v3/devices", limit="1")
    (request,) = (await waiting)["requests"]
    assert (request["sequence"], request["status"], request["query"]) == (2, 200, {"limit": ["1"]})
    assert sim.token not in json.dumps(request)
    assert abs(request["received_at"] - datetime.now(UTC).timestamp()) < 5

    answer = await control("GET", "/requests?after=1")
    assert [r["sequence"] for r in answer["requests"]] == [2]
    assert answer["last"] == 2
    await control("DELETE", "/requests", status=204)
    assert await control("GET", "/requests") == {"requests": [], "last": 2}
    await api("/v3/devices")
    assert [r["sequence"] for r in (await control("GET", "/requests"))["requests"]] == [3]
    assert (await control("GET", "/requests?after=3&wait=0.05"))["requests"] == []
    await control("GET", "/requests?operation=nothing", status=400)


async def test_sequence_numbers_outlive_forgotten_records(session: aiohttp.ClientSession) -> None:
    async with Simulator(devices=1, record_limit=10) as sim:
        control = Http(sim, session)
        for _ in range(25):
            async with session.get(f"{sim.url}/v3/devices", headers={"X-Enapter-Auth-Token": sim.token}):
                pass
        numbers = [r["sequence"] for r in (await control("GET", "/requests"))["requests"]]
        assert numbers == list(range(25 - len(numbers) + 1, 26))
        assert [r["sequence"] for r in (await control("GET", "/requests?after=23"))["requests"]] == [24, 25]
        assert [r["sequence"] for r in (await control("GET", "/requests?limit=1"))["requests"]] == [25]


async def test_whoever_waits_does_not_hold_up_the_end(session: aiohttp.ClientSession) -> None:
    sim = Simulator(devices=1)
    await sim.start()
    control = Http(sim, session)
    waiting = asyncio.create_task(control("GET", "/requests?wait=60"))
    await wait_until(lambda: sim.ledger.changed._waiters)
    async with asyncio.timeout(30):
        await sim.stop()
    assert (await waiting)["requests"] == []


# Faults, settings, clock


async def test_the_next_answers_of_an_operation_break(control: Http, api: Callable[..., Any]) -> None:
    body = '{"errors":[{"message":"später"}]}'
    fault = {"kind": "answer", "status": 503, "body": body, "headers": {"Retry-After": "7"}}
    made = (await control("POST", "/faults", {"operation": "listDevices", "times": 2, "fault": fault}))["fault"]
    assert (made["remaining"], made["name"]) == (2, "answer 503")
    assert [(await api(path))[0] for path in ("/v3/sites", "/v3/devices", "/v3/devices", "/v3/devices")] == [
        200,
        503,
        503,
        200,
    ]
    (rule,) = (await control("GET", "/faults"))["faults"]
    assert (rule["seen"], rule["remaining"]) == (3, 0)
    await control("DELETE", f"/faults/{rule['number']}", status=204)
    await control("DELETE", f"/faults/{rule['number']}", status=404)

    every = (await control("POST", "/faults", {"nth": None, "fault": {"kind": "answer", "status": 500}}))["fault"]
    assert every["remaining"] is None
    assert [(await api("/v3/devices"))[0] for _ in range(3)] == [500] * 3
    assert (await control("GET", "/status"))["status"]["faults_injected"] == 5
    await control("DELETE", "/faults", status=204)
    assert (await api("/v3/devices"))[0] == 200


async def test_rate_limit_and_latency(control: Http, sim: Simulator, api: Callable[..., Any]) -> None:
    changed = await control("PATCH", "/settings", {"rate_limit": 0.5, "burst": 2})
    assert changed["settings"] == {"rate_limit": 0.5, "burst": 2.0, "latency": [0.0, 0.0], "fault_rate": 0.0}
    assert [(await api("/v3/devices"))[0] for _ in range(3)] == [200, 200, 429]
    # Another setting does not fill the buckets.
    await control("PATCH", "/settings", {"fault_rate": 0})
    assert (await api("/v3/devices"))[0] == 429
    changed = await control("PATCH", "/settings", {"rate_limit": None, "latency": 0.1, "fault_rate": 0.25})
    assert changed["settings"] == {"rate_limit": None, "burst": None, "latency": [0.1, 0.1], "fault_rate": 0.25}
    assert (sim.latency, sim.chaos.rate, sim.limiter.rate) == (0.1, 0.25, None)


async def test_the_clock_is_set_moved_and_stopped(control: Http, sim: Simulator, api: Callable[..., Any]) -> None:
    device = next(d for d in sim.world.devices.values() if "uptime" in d.blueprint.signals)

    async def timestamp() -> Any:
        return (await api(f"/v3/devices/{device.id}/telemetry"))[1]["telemetry"]["uptime"]["timestamp"]

    began = await timestamp()
    assert (await control("PATCH", "/clock", {"advance": 3600}))["clock"]["offset"] == pytest.approx(3600, abs=0.01)
    assert await timestamp() == pytest.approx(began + 3600, abs=5)
    stopped = (await control("PATCH", "/clock", {"now": "2030-01-01T00:00:00+01:00", "frozen": True}))["clock"]
    assert stopped["frozen"]
    assert stopped["now"] == "2029-12-31T23:00:00.000000Z"
    first = (await control("GET", "/clock"))["clock"]["unix"]
    await asyncio.sleep(0.05)
    assert (await control("GET", "/clock"))["clock"]["unix"] == first
    assert (await control("PATCH", "/clock", {"advance": 60}))["clock"]["unix"] == first + 60
    refused = {"now": "9999-01-01T00:00:00Z"}
    assert (await control("PATCH", "/clock", refused, status=400))["errors"][0]["details"] == {"field": "now"}
    assert (await control("GET", "/clock"))["clock"]["unix"] == first + 60
    running = (await control("PATCH", "/clock", {"frozen": False}))["clock"]
    assert running["unix"] == pytest.approx(first + 60, abs=1)
    assert (await control("PATCH", "/clock", {"offset": 0}))["clock"]["offset"] == 0
    assert await timestamp() == pytest.approx(began, abs=10)


# State


async def test_a_state_moves_to_another_simulator(
    control: Http, sim: Simulator, session: aiohttp.ClientSession
) -> None:
    device = next(iter(sim.world.devices))
    await control("PUT", f"/devices/{device}/alerts/odd%00name", {})
    await control("PUT", f"/devices/{device}/telemetry/power", {"value": [1, None, {"a": "b"}]})
    await control("PATCH", f"/devices/{device}", {"connectivity": "UNKNOWN"})
    await control("POST", "/devices", {"name": "New", "blueprint": "hydrogen_tank"})
    await control("POST", "/faults", {"fault": {"kind": "answer", "status": 500, "body_base64": "AAH/"}, "times": 3})
    await control("PATCH", "/settings", {"rate_limit": 20, "latency": [0, 0.01]})
    await control("PATCH", "/clock", {"now": "2030-01-01T00:00:00Z", "frozen": True})
    sim.world.add_blueprint({"display_name": "Made", "telemetry": {"x": {"type": "float"}}}, archive=b"\x00zip")
    sim.world.rule_engine(next(iter(sim.world.sites))).suspended = True
    saved = await control("GET", "/state")

    async with Simulator(devices=2, seed=9) as other_sim:
        other = Http(other_sim, session)
        await other("PUT", "/state", saved, status=204)
        assert await other("GET", "/state") == saved
        telemetry = "/devices?telemetry=all"
        assert await other("GET", telemetry) == await control("GET", telemetry)
        # It goes on where the other one was: IDs are not given twice.
        assert (await other("POST", "/devices", {}))["device"]["id"] not in other_sim.world.blueprints
        await other("POST", "/reset", status=204)
        assert (await other("GET", "/status"))["status"]["seed"] == 9
        assert len((await other("GET", "/devices"))["devices"]) == 2


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda s: s["world"]["devices"][3].update(name=5), "world.devices[3].name: expected a text"),
        (lambda s: s["world"]["devices"][3].update(blueprint_id="?"), "world.devices[3].blueprint_id"),
        (lambda s: s["world"]["devices"][0].pop("id"), "world.devices[0].id: is required"),
        (lambda s: s["world"]["devices"].append(7), "world.devices[20]: expected an object"),
        (lambda s: s["world"].update(seed=1.5), "world.seed: expected a whole number"),
        (lambda s: s["world"].update(surprise=1), "world.surprise: unknown field"),
        (
            lambda s: s["world"]["blueprints"][0].update(archive="\ud800"),
            "world.blueprints[0].archive: expected Base64",
        ),
        (
            lambda s: s["world"]["blueprints"][0]["manifest"]["telemetry"].update(x=5),
            "world.blueprints[0].manifest.telemetry.x: expected an object",
        ),
        (
            lambda s: s["world"]["blueprints"][0]["manifest"]["telemetry"].update(x={"type": "string", "enum": 5}),
            "world.blueprints[0].manifest.telemetry: expected attributes that can be simulated",
        ),
        (lambda s: s["settings"].update(fault_rate=7), "fault_rate"),
        (lambda s: s["clock"].update(offset="1"), "clock.offset: expected a finite number"),
        (lambda s: s.pop("world"), "world: is required"),
        (
            lambda s: s["faults"].append({"fault": {"kind": "reset"}, "nth": [0]}),
            "faults[0]: nth must be whole numbers from 1",
        ),
        (
            lambda s: s["faults"].append({"fault": {"kind": "reset"}, "operation": "listDevicess"}),
            "faults[0]: unknown operation 'listDevicess'; did you mean 'listDevices'",
        ),
    ],
)
async def test_a_bad_state_is_refused_whole(control: Http, change: Callable[[Any], Any], complaint: str) -> None:
    before = await control("GET", "/state")
    bad = json.loads(json.dumps(before))
    change(bad)
    answer = await control("PUT", "/state", bad, status=400)
    assert complaint in answer["errors"][0]["message"]
    assert await control("GET", "/state") == before


async def test_reset_goes_back_to_the_start(session: aiohttp.ClientSession) -> None:
    async with Simulator(devices=5, rate_limit=50, latency=0.001) as sim:
        control = Http(sim, session)
        start = await control("GET", "/state")
        device = next(iter(sim.world.devices))
        await control("DELETE", f"/devices/{device}", status=204)
        await control("PATCH", "/settings", {"rate_limit": None, "latency": 0, "fault_rate": 1})
        await control("POST", "/faults", {"fault": {"kind": "reset"}})
        await control("PATCH", "/clock", {"offset": 1e6, "frozen": True})
        await control("POST", "/reset", status=204)
        end = await control("GET", "/state")
        start["world"].pop("started_at"), end["world"].pop("started_at")
        for state in (start, end):  # times count from the start
            for entity in state["world"]["devices"] + state["world"]["blueprints"]:
                entity.pop("updated_at", None), entity.pop("created_at", None)
        assert end == start


# The client


def test_a_device_can_have_a_blueprint_of_your_own() -> None:
    simulator = Simulator(devices=1)
    own = simulator.world.add_blueprint({"telemetry": {"flow": {"type": "float"}}})
    with run_in_thread(simulator) as control:
        pump = control.add_device("Pump", blueprint=own.id)
        assert "flow" in {value.name for value in pump.telemetry}
        with pytest.raises(ControlError, match="there is no blueprint 'pump'; known are battery, "):
            control.add_device("Pump", blueprint="pump")


def test_the_client_names_arguments_of_the_wrong_kind() -> None:
    with run_in_thread(Simulator(devices=1)) as control:
        device: Any = control.devices()[0]
        fault: Any = 503
        with pytest.raises(TypeError, match=r"expected an ID, slug or name, such as device\.id, got DeviceInfo"):
            control.set_connectivity(device, "OFFLINE")
        with pytest.raises(TypeError, match=r"fault must be a Fault, such as Fault\.answer\(503\), got 503"):
            control.add_fault("listDevices", fault)


def test_the_client_drives_a_simulator_in_a_thread() -> None:
    with run_in_thread(Simulator(devices=8)) as control:
        device = control.devices()[0]
        assert control.status().devices == len(control.devices()) == 8
        assert control.raise_alert(device.id, "a/b ..").raised_alerts[-1:] == ("a/b ..",)
        assert control.raise_alert(device.id, "..").raised_alerts[-1:] == ("..",)
        assert "a/b .." not in control.clear_alert(device.slug, "a/b ..").raised_alerts
        assert control.set_connectivity(device.id, "OFFLINE").connectivity == "OFFLINE"
        assert control.set_properties(device.id, {"x": 1}).properties["x"] == 1
        value = control.set_telemetry(device.id, "power", 5).telemetry
        assert [(r.value, r.overridden) for r in value if r.name == "power"] == [(5, True)]
        control.restore_telemetry(device.id, "power")
        control.write_log(device.id, "hello")
        site = control.add_site("Lab")
        added = control.add_device("Tank", blueprint="hydrogen_tank", site_id=site.id)
        assert control.devices(site_id=site.id) == [attrs.evolve(added, telemetry=())]
        control.remove_device(added.id)
        control.remove_site(site.id)
        assert site.id not in {known.id for known in control.sites()}

        assert control.set_rate_limit(5, 7).burst == 7
        assert control.set_latency(0.001).rate_limit == 5
        assert control.set_fault_rate(0).latency == (0.001, 0.001)
        fault = control.add_fault("listDevices", Fault.answer(500, b"\xff"), nth={1, 3}, when="after")
        assert (fault.nth, fault.when, fault.remaining) == ((1, 3), "after", 2)
        control.remove_fault(fault.number)
        control.add_fault(None, Fault.reset(), nth=None)
        control.clear_faults()
        assert control.faults() == []

        assert control.set_clock(datetime(2030, 1, 1, tzinfo=UTC)).now.startswith("2030-01-01T00:00")
        assert control.freeze_clock().frozen
        assert control.advance_clock(3600).now.startswith("2030-01-01T01:00")
        assert not control.run_clock().frozen
        assert control.reset_clock().offset == 0
        state = control.save_state()
        control.reset()
        control.load_state(state)
        assert control.save_state() == state
        assert "listDevices" in {operation.id for operation in control.operations()}
        assert control.settings().rate_limit == 5
        with pytest.raises(TimeoutError, match=r"no request of listDevices within 0\.05 seconds"):
            control.wait_for_request("listDevices", timeout=0.05)
        assert control.requests == []


def test_the_client_sees_requests_of_others() -> None:
    with run_in_thread(Simulator(devices=3, tls=True)) as control:
        import http.client

        address = urlsplit(control.url)
        assert address.scheme == "https"
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(str(address.hostname), address.port, context=context)
        connection.request("GET", "/v3/devices", headers={"X-Enapter-Auth-Token": control.token})
        assert connection.getresponse().status == 200
        connection.close()
        request = control.wait_for_request("listDevices")
        assert (request.method, request.path, request.status) == ("GET", "/v3/devices", 200)
        assert control.requests_of("listDevices", after=request.sequence) == []
        control.forget_requests()
        assert control.requests == []


def test_the_client_says_what_is_wrong() -> None:
    with run_in_thread(Simulator(devices=1)) as control:
        page = control.page
        with pytest.raises(ControlError, match="device not found") as refused:
            control.device("nobody")
        assert refused.value.status == 404
        with pytest.raises(ControlError, match="did you mean 'listDevices'"):
            control.add_fault("listDevice", Fault.reset())
        with pytest.raises(ControlError, match="send the control token") as refused:
            SimulatorControl(page.partition("#")[0], "wrong").status()
        assert refused.value.status == 401
        assert SimulatorControl(page).status().devices == 1
        secret = page.partition("=")[2]
        assert secret not in repr(control)
        with pytest.raises(ValueError, match="the address does not contain a token"):
            SimulatorControl(page.partition("#")[0])
        with pytest.raises(ValueError, match="expected the address that the simulator printed") as wrong:
            SimulatorControl(f"ftp://host/#token={secret}")
        assert secret not in str(wrong.value)
    with pytest.raises(ControlError, match="refused") as gone:
        control.status()
    assert gone.value.status is None


def test_a_simulator_that_cannot_start_in_a_thread_says_so() -> None:
    with run_in_thread(Simulator(devices=0)) as control:
        port = urlsplit(control.url).port
        with pytest.raises(OSError, match="in use"), run_in_thread(Simulator(devices=0, port=port or 0)):
            pass
    with pytest.raises(ValueError, match="control=False"), run_in_thread(Simulator(control=False)):
        pass


@pytest.mark.parametrize("token", ["", "a b", "ü", "a\n"])
def test_control_tokens_fit_into_a_header(token: str) -> None:
    with pytest.raises(ValueError, match="control_token"):
        Simulator(devices=0, control_token=token)


# JSON


def test_what_is_written_is_read_again() -> None:
    fault = Fault.answer(500, b"\x00\xff", headers={"A": "b"})
    assert structure(Fault, json.loads(json.dumps(unstructure(fault)))) == fault
    with pytest.raises(ShapeError, match=r"^headers\.A: expected a text$"):
        structure(Fault, {"kind": "reset", "headers": {"A": 1}})
    assert structure(Fault, {"kind": "reset", "later": 1}, strict=False) == Fault.reset()
