"""What every request goes through: token, role, mode, page, rate limit, fault, record."""

from __future__ import annotations

import asyncio
import re
import signal
import ssl
import sys
from typing import Any

import aiohttp
import pytest
import trustme
from simulator_calls import Caller, device_of

from enapter_async.simulator import Fault, FaultPlan, Simulator

pytestmark = pytest.mark.anyio


async def test_without_a_token_401_and_with_a_wrong_one_403(call: Caller) -> None:
    answer = await call("GET", "/v3/devices", status=401, token="")
    assert answer["errors"][0]["details"] == {"header": "X-Enapter-Auth-Token"}
    await call("GET", "/v3/devices", status=403, token="wrong")


async def test_an_expired_token_is_refused(sim: Simulator, call: Caller) -> None:
    sim.add_token("old").expired = True
    await call("GET", "/v3/devices", status=403, token="old")


async def test_a_role_that_is_too_low_may_read_but_not_change(sim: Simulator, call: Caller) -> None:
    sim.add_token("reader", "READONLY")
    device = device_of(sim, "battery")
    answer = await call("GET", f"/v3/devices/{device.id}", token="reader")
    assert answer["device"]["authorized_role"] == "READONLY"
    refusal = await call("PATCH", f"/v3/devices/{device.id}", token="reader", json={"name": "x"}, status=403)
    assert refusal["errors"][0]["code"] == "insufficient_role"
    assert device.name == "Battery 1"


async def test_pages_have_fifty_items_at_most_and_say_how_many_there_are(
    session: aiohttp.ClientSession,
) -> None:
    async with Simulator(devices=120) as sim:
        call = Caller(sim, session)
        seen: list[str] = []
        while page := (await call("GET", f"/v3/devices?offset={len(seen)}"))["devices"]:
            assert len(page) <= 50
            seen += [device["id"] for device in page]
        assert seen == sorted(sim.world.devices)
        assert (await call("GET", "/v3/devices?limit=7"))["total_count"] == 120
        assert len((await call("GET", "/v3/devices?limit=7"))["devices"]) == 7


@pytest.mark.parametrize("query", ["limit=0", "limit=51", "limit=-1", "limit=x", "limit=", "offset=-1", "offset=1.5"])
async def test_bad_pages_are_refused(call: Caller, query: str) -> None:
    answer = await call("GET", f"/v3/devices?{query}", status=400)
    assert answer["errors"][0]["details"]["parameter"] == query.partition("=")[0]


async def test_a_large_limit_is_lowered_when_asked_for(session: aiohttp.ClientSession) -> None:
    async with Simulator(devices=60, clamp_limit=True) as sim:
        assert len((await Caller(sim, session)("GET", "/v3/devices?limit=1000"))["devices"]) == 50


async def test_paths_and_methods_that_do_not_exist_get_the_envelope(call: Caller) -> None:
    assert (await call("GET", "/v3/nothing", status=404))["errors"][0]["message"] == "no such path"
    assert (await call("PUT", "/v3/devices", status=405))["errors"]
    assert "code" not in (await call("GET", "/v3/devices/nothing", status=404))["errors"][0]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"name": NaN}', b"\xff", b"[" * 100_000])
async def test_bodies_that_are_no_json_object_are_refused(sim: Simulator, call: Caller, body: bytes) -> None:
    device = device_of(sim, "battery")
    answer = await call("PATCH", f"/v3/devices/{device.id}", data=body, status=400)
    assert answer["errors"][0]["code"] == "invalid_body"


async def test_a_body_that_is_not_encoded_as_it_says_is_refused(call: Caller) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    answer = await call("POST", "/v3/sites", data=b'{"name": "N", "timezone": "UTC"}', headers=headers, status=400)
    assert answer["errors"][0]["code"] == "invalid_body"


async def test_cloud_and_gateway_insist_on_https(session: aiohttp.ClientSession) -> None:
    for mode in ("cloud", "gateway"):
        async with Simulator(mode=mode) as sim:
            async with session.get(f"{sim.url}/v3/devices?limit=1", allow_redirects=False) as response:
                assert response.status == 308
                assert response.headers["Location"] == f"https{sim.url[4:]}/v3/devices?limit=1"
            await Caller(sim, session)("GET", "/v3/devices")


async def test_over_tls_there_is_nothing_to_insist_on() -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with (
        Simulator(mode="gateway", ssl_context=server) as sim,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client)) as session,
        session.get(f"{sim.url}/v3/site", headers={"X-Enapter-Auth-Token": sim.token}) as response,
    ):
        assert sim.url.startswith("https://127.0.0.1:")
        assert response.status == 200


async def test_a_gateway_lives_below_api_and_has_one_site(session: aiohttp.ClientSession) -> None:
    async with Simulator(mode="gateway", devices=5) as sim:
        assert sim.url.endswith("/api")
        call = Caller(sim, session)
        site = (await call("GET", "/v3/site"))["site"]
        assert (await call("GET", "/v3/sites"))["sites"] == [site]
        await call("POST", "/v3/sites", json={"name": "x", "timezone": "UTC"}, status=405)
        headers = {"X-Enapter-Allow-HTTP": "true"}
        async with session.get(sim.url.removesuffix("/api") + "/v3/site", headers=headers) as response:
            assert response.status == 404


async def test_the_cloud_has_no_gateway_shortcuts_and_no_slugs_in_unscoped_paths(
    session: aiohttp.ClientSession,
) -> None:
    async with Simulator(mode="cloud") as sim:
        call = Caller(sim, session)
        await call("GET", "/v3/site", status=404)
        device = device_of(sim, "battery")
        await call("GET", f"/v3/devices/{device.slug}", status=404)
        found = await call("GET", f"/v3/sites/{device.site_id}/devices/{device.slug}")
        assert found["device"]["id"] == device.id


async def test_the_rate_limit_says_when_to_come_back(session: aiohttp.ClientSession) -> None:
    async with Simulator(rate_limit=0.5, burst=3) as sim:
        sim.limiter._clock = lambda: 0.0  # no token comes back, however long this takes
        call = Caller(sim, session)
        for _ in range(3):
            await call("GET", "/v3/sites")
        headers = {"X-Enapter-Auth-Token": sim.token}
        async with session.get(f"{sim.url}/v3/sites", headers=headers) as response:
            assert response.status == 429
            assert response.headers["Retry-After"] == "2"
            assert (await response.json())["errors"][0]["code"] == "too_many_requests"
        sim.limiter.change(None)
        await call("GET", "/v3/sites")


async def test_a_scripted_fault_hits_the_request_it_was_written_for(sim: Simulator, call: Caller) -> None:
    sim.faults.on("listSites", Fault.answer(503), nth=2).on("listSites", Fault.html(502), nth=3)
    await call("GET", "/v3/sites")
    await call("GET", "/v3/devices")
    assert (await call("GET", "/v3/sites", status=503))["errors"]
    assert b"502 Bad Gateway" in await call("GET", "/v3/sites", status=502)
    await call("GET", "/v3/sites")
    assert sim.faults.injected == 2


async def test_an_answer_can_get_lost_after_the_work_was_done(sim: Simulator, call: Caller) -> None:
    device = device_of(sim, "battery")
    sim.faults.on("updateDevice", Fault.reset(), when="after")
    with pytest.raises(aiohttp.ClientError):
        await call("PATCH", f"/v3/devices/{device.id}", json={"name": "new"})
    assert device.name == "new"
    (record,) = sim.requests_of("updateDevice")
    assert record.applied
    assert record.fault == "reset"
    sim.faults.on("updateDevice", Fault.reset())
    with pytest.raises(aiohttp.ClientError):
        await call("PATCH", f"/v3/devices/{device.id}", json={"name": "newer"})
    assert device.name == "new"


async def _outcome(call: Caller) -> Any:
    try:
        return len((await call("GET", "/v3/sites"))["sites"])
    except aiohttp.ClientError as error:
        return type(error).__name__


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault.close(), "ServerDisconnectedError"),
        (Fault.reset(), "ClientOSError"),
        (Fault.hang(0.05), "ServerDisconnectedError"),
        (Fault.truncate(10), "ClientPayloadError"),
        (Fault.delay(0.01), 3),
        (Fault.drip(0.00001), 3),
    ],
)
async def test_kinds_of_faults(session: aiohttp.ClientSession, fault: Fault, outcome: object) -> None:
    # Every time: aiohttp's client repeats a GET by itself when the server hangs up.
    async with Simulator(faults=FaultPlan().on(None, fault, nth=None)) as sim:
        assert await _outcome(Caller(sim, session)) == outcome


async def test_a_fault_rate_gives_the_same_faults_for_the_same_seed(session: aiohttp.ClientSession) -> None:
    async def outcomes() -> list[str | None]:
        async with Simulator(fault_rate=0.5, seed=5) as sim:
            sim.chaos._hang = 0.1
            call = Caller(sim, session)
            for _ in range(30):
                try:
                    await call("POST", "/v3/sites", data=b"", status=400)
                except (aiohttp.ClientError, AssertionError):
                    continue
            return [record.fault for record in sim.requests]

    first = await outcomes()
    assert first == await outcomes()
    assert 5 < sum(fault is not None for fault in first) < 25


async def test_requests_are_recorded_with_the_token_masked(sim: Simulator, call: Caller) -> None:
    device = device_of(sim, "battery")
    await call("PATCH", f"/v3/devices/{device.id}?a=1&a=2", json={"name": "x"}, headers={"X-Enapter-Auth-User": "eve"})
    (record,) = sim.requests
    assert (record.method, record.path, record.operation) == ("PATCH", f"/v3/devices/{device.id}", "updateDevice")
    assert record.query == {"a": ["1", "2"]}
    assert record.json == {"name": "x"}
    assert record.user == "eve"
    assert record.status == 200
    assert record.token == sim.token
    assert sim.token not in repr(record)
    assert sim.token not in str(record.headers)


async def test_acting_as_a_user_lowers_the_role(session: aiohttp.ClientSession) -> None:
    async with Simulator(users={"eve": "readonly"}) as sim:
        call = Caller(sim, session)
        sites = (await call("GET", "/v3/sites", headers={"X-Enapter-Auth-User": "eve"}))["sites"]
        assert {site["authorized_role"] for site in sites} == {"READONLY"}
        await call("GET", "/v3/sites", headers={"X-Enapter-Auth-User": "mallory"}, status=403)


async def test_it_starts_again_on_the_same_port(session: aiohttp.ClientSession) -> None:
    sim = Simulator()
    await sim.start()
    url = sim.url
    await sim.stop()
    await sim.start()
    assert sim.url == url
    await sim.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("control", [True, False])
async def test_the_module_prints_its_addresses_and_stops_cleanly(number: int, control: bool) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "dev", "-m", "enapter_async.simulator",
        "--port", "0", "--mode", "gateway", "--token", "t", *([] if control else ["--no-control"]),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    assert line.startswith("listening on http://127.0.0.1:")
    assert line.endswith("/api token=t\n")
    if control:
        page = (await process.stdout.readline()).decode()
        base = re.escape(line.split()[2].removesuffix("/api"))
        assert re.fullmatch(rf"control at {base}/_simulator/#token=[\w-]{{32}}\n", page)
    process.send_signal(number)
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")


async def test_a_port_that_is_taken_is_one_clear_line(sim: Simulator) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "enapter_async.simulator", "--port", str(sim.port), stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()
    assert process.returncode == 1
    assert err.count(b"\n") == 1


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/v3/blueprints/upload", "POST"), ("/v3/blueprints/some", "GET"), ("/v3/devices/some", "DELETE, GET, PATCH")],
)
async def test_a_wrong_method_names_the_right_ones(sim: Simulator, call: Caller, path: str, allowed: str) -> None:
    async with call.session.put(sim.url + path) as response:
        assert (response.status, response.headers["Allow"]) == (405, allowed)
