"""`enapter-async doctor`: each thing that can be wrong is named, with what mends it and its exit code."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import Result
from served import Served, invoke, served

from enapter_async.simulator import Fault


@pytest.fixture(scope="module")
def world() -> Iterator[Served]:
    with served(devices=5, tokens={"looker-token": "READONLY"}) as world:
        yield world


@pytest.fixture
def profile(tmp_path: Path) -> Callable[..., Result]:
    """Examine a server whose certificate is named in a profile."""

    def run(url: str, token: str, ca_file: Path | None) -> Result:
        config = tmp_path / "config.toml"
        lines = [f'base_url = "{url}"', 'token_env = "TOKEN_OF_THE_LAB"']
        lines += [] if ca_file is None else [f'ca_file = "{ca_file}"']
        config.write_text("\n".join(["[profiles.lab]", *lines]))
        return invoke("doctor", "--profile", "lab", "-o", "json", ENAPTER_CONFIG=str(config), TOKEN_OF_THE_LAB=token)

    return run


def findings(result: Result) -> dict[str, dict[str, Any]]:
    return {one["check"]: one for one in json.loads(result.stdout)}


def examine(url: str, token: str = "any-token") -> Result:
    return invoke("doctor", "-o", "json", ENAPTER_HTTP_API_TOKEN=token, ENAPTER_HTTP_API_BASE_URL=url)


def check_problem(result: Result, check: str, code: int, said: str, remedy: str) -> None:
    assert result.exit_code == code, result.output
    last = json.loads(result.stdout)[-1]
    assert (last["check"], last["verdict"]) == (check, "problem")
    assert said in last["said"]
    assert remedy in last["remedy"]


def test_all_is_well(world: Served) -> None:
    table = world.run("doctor")
    assert table.exit_code == 0
    assert table.stderr == ""
    lines = [line.split("  ") for line in table.stdout.splitlines()]
    assert {line[0].strip() for line in lines} == {"ok"}
    found = findings(world.run("doctor", "-o", "json"))
    assert list(found) == ["settings", "name", "connection", "TLS", "token", "role", "clock", "rate limit"]
    assert found["role"]["said"].startswith("OWNER for ")
    assert world.simulator.token not in table.output


def test_nothing_says_where_to() -> None:
    check_problem(invoke("doctor", "-o", "json"), "settings", 3, "TOKEN is not set", "set ENAPTER_HTTP_API_TOKEN")


def test_an_address_that_cannot_be() -> None:
    check_problem(examine("plant.example"), "settings", 3, "base_url must start with http", "config.toml")


@pytest.mark.parametrize(
    ("host", "remedy"), [("plant.invalid", "the address for a mistake"), ("plant.local", "IP address")]
)
def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch, host: str, remedy: str) -> None:
    async def fail(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("anyio.getaddrinfo", fail)
    monkeypatch.setattr("enapter_async.cli.doctor.examination.find_spec", lambda _: None)
    check_problem(examine(f"https://{host}/api"), "name", 6, f"{host} has no address", remedy)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    check_problem(examine(f"http://127.0.0.1:{port}"), "connection", 6, "nothing listens", "host, port")


def test_a_host_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> object:
        raise TimeoutError

    monkeypatch.setattr("anyio.connect_tcp", fail)
    check_problem(examine("http://192.0.2.1"), "connection", 6, "does not respond within 5 s", "firewall")


def test_no_tls_where_tls_is_expected(world: Served) -> None:
    url = world.simulator.url.replace("http://", "https://")
    check_problem(examine(url), "TLS", 6, "the TLS handshake with 127.0.0.1", "http:// or another port")


def test_plain_http_to_far_away_is_warned_of(world: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enapter_async.cli.doctor.examination._is_local", lambda _: False)
    found = findings(world.run("doctor", "-o", "json"))
    assert found["TLS"]["verdict"] == "warning"
    assert found["TLS"]["remedy"] == "use https://"
    assert found["token"]["verdict"] == "ok"


def tls_world(*, host: str = "127.0.0.1", expires: datetime | None = None) -> tuple[trustme.CA, dict[str, Any]]:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host, not_after=expires).configure_cert(context)
    return authority, {"ssl_context": context, "devices": 5, "token": "some-token"}


@pytest.mark.parametrize(
    ("options", "trusted", "said", "remedy"),
    [
        ({}, False, "is not accepted", "ca_file"),
        ({"host": "elsewhere.example"}, True, "mismatch", "the name that the certificate is for"),
        ({"expires": datetime.now(UTC) - timedelta(days=1)}, True, "expired", "clock"),
    ],
)
def test_certificates_that_are_not_accepted(
    profile: Callable[..., Result], tmp_path: Path, options: dict[str, Any], trusted: bool, said: str, remedy: str
) -> None:
    authority, settings = tls_world(**options)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    with served(**settings, known=False) as world:
        result = profile(world.simulator.url, "some-token", ca_file if trusted else None)
    check_problem(result, "TLS", 6, said, remedy)


@pytest.mark.parametrize(("days", "verdict"), [(3, "warning"), (90, "ok")])
def test_a_gateways_own_certificate(profile: Callable[..., Result], tmp_path: Path, days: int, verdict: str) -> None:
    authority, settings = tls_world(expires=datetime.now(UTC) + timedelta(days=days, hours=1))
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    with served(**settings, known=False) as world:
        result = profile(world.simulator.url, "some-token", ca_file)
    assert result.exit_code == 0, result.output
    found = findings(result)
    assert found["TLS"]["verdict"] == verdict
    assert found["token"]["verdict"] == "ok"


def test_a_token_that_is_not_accepted(world: Served) -> None:
    result = examine(world.simulator.url, "wrong-token")
    check_problem(result, "token", 4, "rejected: ", "create a new token")
    assert "wrong-token" not in result.output


def test_a_role_that_may_only_look(world: Served) -> None:
    result = examine(world.simulator.url, "looker-token")
    assert result.exit_code == 0
    role = findings(result)["role"]
    assert role["verdict"] == "warning"
    assert "cannot send commands" in role["said"]
    assert "USER or OWNER" in role["remedy"]


def test_a_server_that_is_something_else(world: Served) -> None:
    check_problem(examine(f"{world.simulator.url}/other"), "API", 5, "404", "ends in /api")


def test_no_device() -> None:
    with served(devices=0, known=False) as world:
        found = findings(world.run("doctor", "-o", "json"))
    assert found["role"]["said"] == "the token cannot see any device"


@pytest.mark.parametrize(("ahead", "said"), [(100, "100 s ahead of"), (-100, "100 s behind")])
def test_a_clock_that_is_wrong(world: Served, monkeypatch: pytest.MonkeyPatch, ahead: float, said: str) -> None:
    from time import time

    monkeypatch.setattr("enapter_async.cli.doctor.examination.time", lambda: time() + ahead)
    clock = findings(world.run("doctor", "-o", "json"))["clock"]
    assert clock["verdict"] == "warning"
    assert said in clock["said"] or said.replace("100", "101" if ahead > 0 else "99") in clock["said"]
    assert "NTP" in clock["remedy"]


def test_a_rate_limit() -> None:
    with served(devices=5, rate_limit=5, burst=8, known=False) as world:
        result = world.run("doctor", "-o", "json")
    assert result.exit_code == 0
    limit = findings(result)["rate limit"]
    assert limit["verdict"] == "warning"
    assert "of 20 simultaneous requests were refused with 429" in limit["said"]
    assert "slow down automatically" in limit["remedy"]


def test_a_server_that_fails(world: Served) -> None:
    world.simulator.faults.on(None, Fault.html(503), nth=None)
    try:
        result = world.run("doctor", "-o", "json")
    finally:
        world.simulator.faults.clear()
    check_problem(result, "API", 6, "503", "try again")
