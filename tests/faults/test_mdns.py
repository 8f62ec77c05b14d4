"""zeroconf on loopback: a Gateway that announces itself is found, resolved and talked to."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from enapter_async import EnapterClient, discover_gateways
from enapter_async._transport import mdns
from enapter_async._transport.resolver import LocalNameResolver

pytestmark = pytest.mark.anyio

LOOPBACK = ["127.0.0.1"]
HOST = "enapter-gateway-under-test.local"


@pytest.fixture
def anyio_backend() -> str:
    """The time of the machine: others on it take part in mDNS."""
    return "asyncio"


def _multicast_on_loopback() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        group = struct.pack("4s4s", socket.inet_aton("224.0.0.251"), socket.inet_aton("127.0.0.1"))
        probe.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        probe.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        probe.sendto(b"", ("224.0.0.251", 9))
        return True
    return False


needs_multicast = pytest.mark.skipif(not _multicast_on_loopback(), reason="no multicast on loopback here")


@pytest.fixture
async def announced() -> AsyncIterator[int]:
    """A web server on loopback that announces itself; gives its port."""
    from zeroconf import ServiceInfo
    from zeroconf.asyncio import AsyncZeroconf

    async def site(request: web.Request) -> web.Response:
        return web.json_response({"site": {"id": "s", "name": request.headers["Host"], "timezone": "UTC"}})

    app = web.Application()
    app.router.add_get("/api/v3/site", site)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    info = ServiceInfo(
        "_http._tcp.local.",
        "Enapter Gateway under test._http._tcp.local.",
        addresses=[socket.inet_aton("127.0.0.1")],
        port=port,
        server=f"{HOST}.",
    )
    async with AsyncZeroconf(interfaces=LOOPBACK) as zeroconf:
        await (await zeroconf.async_register_service(info, cooperating_responders=True))
        yield port
    await runner.cleanup()


@needs_multicast
async def test_an_announced_gateway_is_discovered(announced: int) -> None:
    # No shorter: whoever shares the port of mDNS here may get the first answer, and the next one takes a second.
    found = await discover_gateways(interfaces=LOOPBACK)
    ours = [gateway for gateway in found if gateway.host == HOST]
    assert [(one.name, one.addresses, one.port) for one in ours] == [
        ("Enapter Gateway under test", ("127.0.0.1",), announced)
    ]


@needs_multicast
async def test_its_name_is_resolved_and_a_client_talks_to_it(announced: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "enapter_async.client.LocalNameResolver", lambda: LocalNameResolver(timeout=3, interfaces=LOOPBACK)
    )
    async with EnapterClient.gateway(f"{HOST}:{announced}", token="t") as client:
        assert (await client.sites.get_own()).name == f"{HOST}:{announced}"


@needs_multicast
async def test_a_name_that_nobody_has_gives_nothing_in_time() -> None:
    assert await mdns.resolve("nobody-has-this.local", timeout=0.1, interfaces=LOOPBACK) == []
