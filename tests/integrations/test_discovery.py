"""Finding Gateways: what counts as one, and what is said where there is no mDNS."""

from __future__ import annotations

from typing import Any

import pytest

from enapter_async import ConnectError, DiscoveredGateway, InvalidArgumentError, MissingExtraError, discover_gateways
from enapter_async._transport import mdns
from enapter_async._transport.mdns import Service

pytestmark = pytest.mark.anyio

PRINTER = Service("Printer", "printer.local", ("192.0.2.9",), 80)
OURS = Service("Enapter Gateway", "plant-7.local", ("192.0.2.7", "fd00::7"), 443)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What answers: services to browsing, addresses to the name of a Gateway as delivered."""
    answers: dict[str, Any] = {"services": [], "addresses": [], "types": None}

    async def browse(types: list[str], **_: Any) -> list[Service]:
        answers["types"] = types
        if isinstance(answers["services"], OSError):
            raise answers["services"]
        return list(answers["services"])

    async def resolve(host: str, **_: Any) -> list[str]:
        assert host == "enapter-gateway.local"
        return list(answers["addresses"])

    monkeypatch.setattr(mdns, "browse", browse)
    monkeypatch.setattr(mdns, "resolve", resolve)
    monkeypatch.setattr(mdns, "is_installed", lambda: True)
    return answers


async def test_nobody_there(network: dict[str, Any]) -> None:
    assert await discover_gateways() == []
    assert network["types"] == ["_http._tcp.local.", "_https._tcp.local."]


async def test_a_gateway_as_delivered_answers_to_its_name(network: dict[str, Any]) -> None:
    network["addresses"] = ["192.0.2.7"]
    assert await discover_gateways() == [
        DiscoveredGateway("enapter-gateway", "enapter-gateway.local", ("192.0.2.7",), 80)
    ]


async def test_a_gateway_that_also_announces_itself_is_found_once(network: dict[str, Any]) -> None:
    network["addresses"] = ["192.0.2.7"]
    network["services"] = [Service("Gateway", "Enapter-Gateway.local", ("192.0.2.7",), 8080)]
    assert await discover_gateways() == [DiscoveredGateway("Gateway", "Enapter-Gateway.local", ("192.0.2.7",), 8080)]


async def test_other_web_servers_are_no_gateways(network: dict[str, Any]) -> None:
    network["services"] = [PRINTER, OURS, OURS]
    ours = DiscoveredGateway("Enapter Gateway", "plant-7.local", ("192.0.2.7", "fd00::7"), 443)
    assert await discover_gateways() == [ours]
    assert [one.name for one in await discover_gateways(matching="")] == ["Enapter Gateway", "Printer"]
    assert [one.name for one in await discover_gateways(matching="PRINT")] == ["Printer"]


async def test_service_types_are_the_callers_choice(network: dict[str, Any]) -> None:
    await discover_gateways(service_types="_enapter._tcp.local.")
    assert network["types"] == ["_enapter._tcp.local."]


@pytest.mark.parametrize("types", [[], ["http"], "_http._tcp", ["_http._tcp.local.", "x"]])
async def test_bad_service_types_are_refused(network: dict[str, Any], types: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="service_types"):
        await discover_gateways(service_types=types)
    assert network["types"] is None


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
async def test_bad_timeouts_are_refused(network: dict[str, Any], timeout: float) -> None:
    with pytest.raises(InvalidArgumentError, match="timeout"):
        await discover_gateways(timeout)


async def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mdns, "is_installed", lambda: False)
    with pytest.raises(MissingExtraError, match=r"pip install 'enapter-async\[mdns\]'"):
        await discover_gateways()


async def test_a_machine_without_multicast_says_so(network: dict[str, Any]) -> None:
    network["services"] = OSError(19, "No such device")
    with pytest.raises(ConnectError, match="mDNS does not work on this machine: No such device"):
        await discover_gateways()
