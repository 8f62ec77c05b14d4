"""Names of Gateways: mDNS where it is installed, the system where that gives nothing, and a way out in the error."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver

from enapter_async import EnapterClient, NameResolutionError, RetryPolicy
from enapter_async._transport import mdns, resolver
from enapter_async._transport.resolver import LocalNameResolver, is_local_name

pytestmark = pytest.mark.anyio


class System(AbstractResolver):
    """Stands in for the system's resolver."""

    names: dict[str, str]

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[Any]:
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            {
                "hostname": host,
                "host": self.names[host],
                "port": port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self) -> None:
        self.names = {"closed": "1.1.1.1"}


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    names: dict[str, str] = {}
    monkeypatch.setattr(System, "names", names, raising=False)
    monkeypatch.setattr(resolver, "DefaultResolver", System)
    monkeypatch.setattr(resolver, "ThreadedResolver", System)
    return names


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Installed mDNS that answers with what is listed here, and notes who was asked for after it."""
    asked: list[str] = []

    async def resolve(host: str, *, timeout: float, interfaces: Any = None) -> list[str]:
        asked.append(host)
        return {
            "gw.local": ["192.0.2.7", "fd00::7"],
            "v6.local": ["fd00::8"],
        }.get(host, [])

    monkeypatch.setattr(mdns, "resolve", resolve)
    monkeypatch.setattr(mdns, "is_installed", lambda: True)
    return asked


@pytest.mark.parametrize("host", ["enapter-gateway.local", "GW.LOCAL", "gw.local.", "a.b.local"])
def test_local_names(host: str) -> None:
    assert is_local_name(host)


@pytest.mark.parametrize("host", ["local", "api.enapter.com", "192.0.2.1", "gw.localdomain", "mylocal", ""])
def test_other_names(host: str) -> None:
    assert not is_local_name(host)


async def test_a_local_name_is_resolved_by_mdns(asked: list[str], system: dict[str, str]) -> None:
    found = await LocalNameResolver().resolve("gw.local", 8080)
    assert [(one["host"], one["port"], one["family"]) for one in found] == [("192.0.2.7", 8080, socket.AF_INET)]
    both = await LocalNameResolver().resolve("gw.local", 8080, socket.AF_UNSPEC)
    assert [one["host"] for one in both] == ["192.0.2.7", "fd00::7"]


async def test_other_names_are_the_systems_business(asked: list[str], system: dict[str, str]) -> None:
    system["api.example.com"] = "192.0.2.1"
    local = LocalNameResolver()
    assert (await local.resolve("api.example.com", 443))[0]["host"] == "192.0.2.1"
    assert asked == []
    await local.close()
    await local.close()


async def test_the_system_is_asked_where_nobody_answers(asked: list[str], system: dict[str, str]) -> None:
    system["hosts-file.local"] = "192.0.2.2"
    assert (await LocalNameResolver().resolve("hosts-file.local"))[0]["host"] == "192.0.2.2"
    assert asked == ["hosts-file.local"]


async def test_without_the_extra_the_system_is_asked_and_the_error_names_the_extra(
    system: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mdns, "is_installed", lambda: False)
    system["hosts-file.local"] = "192.0.2.2"
    assert (await LocalNameResolver().resolve("hosts-file.local"))[0]["host"] == "192.0.2.2"
    with pytest.raises(OSError, match=r"pip install 'enapter-async\[mdns\]'.*IP address"):
        await LocalNameResolver().resolve("gw.local")


async def test_with_the_extra_the_error_does_not_ask_to_install_it(asked: list[str], system: dict[str, str]) -> None:
    with pytest.raises(OSError, match=r"no answer by mDNS within 3 s; use the IP address") as caught:
        await LocalNameResolver().resolve("nobody.local")
    assert "pip" not in str(caught.value)


async def test_a_machine_without_multicast_falls_back_to_the_system(
    system: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_multicast(*_: Any, **__: Any) -> list[str]:
        raise OSError(19, "No such device")

    monkeypatch.setattr(mdns, "resolve", no_multicast)
    monkeypatch.setattr(mdns, "is_installed", lambda: True)
    system["hosts-file.local"] = "192.0.2.2"
    assert (await LocalNameResolver().resolve("hosts-file.local"))[0]["host"] == "192.0.2.2"
    with pytest.raises(OSError, match="No such device"):
        await LocalNameResolver().resolve("gw.local")


async def test_a_gateway_client_uses_it_and_the_error_tells_the_way_out(
    system: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mdns, "is_installed", lambda: False)
    async with EnapterClient.gateway("enapter-gateway.local", token="t", retry=RetryPolicy.none()) as client:
        with pytest.raises(NameResolutionError) as caught:
            await client.sites.get_own()
    message = str(caught.value)
    assert "enapter-gateway.local could not be resolved" in message
    assert "pip install 'enapter-async[mdns]'" in message
    assert "IP address" in message
    assert caught.value.outcome == "not_sent"


async def test_a_base_url_with_a_local_name_works_the_same(asked: list[str], system: dict[str, str]) -> None:
    async with EnapterClient(base_url="http://nobody.local/api", token="t", retry=RetryPolicy.none()) as client:
        with pytest.raises(NameResolutionError, match="no answer by mDNS"):
            await client.sites.get_own()
    assert asked == ["nobody.local"]
