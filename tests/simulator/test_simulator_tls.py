"""TLS of the simulator, and plain http where it would redirect."""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
import trustme

from enapter_async import EnapterClient
from enapter_async.simulator import Simulator

pytestmark = pytest.mark.anyio

READY = re.compile(r"listening on (?P<url>\S+) token=(?P<token>\S+)(?: ca=(?P<ca>\S+))?\n")


async def status(url: str, token: str, context: ssl.SSLContext | None = None) -> int:
    """Ask for devices like a client that knows nothing of `X-Enapter-Allow-HTTP`."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context or True)) as session:
        headers = {"X-Enapter-Auth-Token": token}
        async with session.get(f"{url}/v3/devices", headers=headers, allow_redirects=False) as response:
            return response.status


@pytest.mark.parametrize("mode", ["any", "cloud", "gateway"])
async def test_a_certificate_made_for_the_run_is_trusted_by_its_ca_file(mode: Any) -> None:
    async with Simulator(mode=mode, tls=True) as sim:
        assert sim.url.startswith("https://")
        assert sim.ca_file is not None
        context = ssl.create_default_context(cafile=sim.ca_file)
        assert await status(sim.url, sim.token, context) == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await status(sim.url, sim.token)
        async with EnapterClient(base_url=sim.url, token=sim.token, ssl_context=context) as client:
            assert await client.devices.list().collect()


async def test_a_gateway_with_a_certificate_of_its_own_is_reached_by_name_and_address() -> None:
    async with Simulator(mode="gateway", tls=True) as sim:
        for host in ("localhost", "127.0.0.1"):
            client = EnapterClient.gateway(f"{host}:{sim.port}", token=sim.token, scheme="https", ca_file=sim.ca_file)
            async with client:
                assert (await client.sites.get_own()).id


async def test_the_ca_file_stays_the_same_over_an_outage() -> None:
    sim = Simulator(tls=True)
    assert sim.ca_file is not None
    context = ssl.create_default_context(cafile=sim.ca_file)
    for _ in range(2):
        async with sim:
            assert await status(sim.url, sim.token, context) == 200


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


async def test_a_certificate_of_ones_own(authority: trustme.CA, tmp_path: Path) -> None:
    made = authority.issue_cert("127.0.0.1")
    made.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    made.private_key_pem.write_to_path(tmp_path / "key.pem")
    made.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    for tls in (tmp_path / "both.pem", (str(tmp_path / "cert.pem"), tmp_path / "key.pem")):
        async with Simulator(tls=tls) as sim:
            assert sim.ca_file is None
            assert await status(sim.url, sim.token, context) == 200


def test_a_certificate_that_cannot_be_used_is_named(authority: trustme.CA, tmp_path: Path) -> None:
    for name in ("one", "other"):
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / name)
    (tmp_path / "text").write_text("no PEM")
    missing, text, one, other = (tmp_path / name for name in ("missing", "text", "one", "other"))
    with pytest.raises(ValueError, match=f"certificate {missing} cannot be used: No such file"):
        Simulator(tls=missing)
    with pytest.raises(ValueError, match=f"certificate {text} cannot be used: expected PEM"):
        Simulator(tls=text)
    with pytest.raises(ValueError, match=f"certificate {one} with key {other} cannot be used: the key belongs to an"):
        Simulator(tls=(one, other))
    with pytest.raises(ValueError, match="either tls or ssl_context"):
        Simulator(tls=True, ssl_context=ssl.create_default_context())


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(ImportError, match=r"pip install 'enapter-async\[tls\]'"):
        Simulator(tls=True)


@pytest.mark.parametrize("mode", ["cloud", "gateway"])
async def test_plain_http_is_served_to_everybody_when_that_is_allowed(mode: Any) -> None:
    async with Simulator(mode=mode, allow_http=True) as sim:
        assert await status(sim.url, sim.token) == 200
    async with Simulator(mode=mode) as sim:
        assert await status(sim.url, sim.token) == 308


@asynccontextmanager
async def command(*arguments: str) -> AsyncIterator[dict[str, str | None]]:
    process = await anyio.open_process(
        [sys.executable, "-m", *arguments, "--port", "0"], stdout=subprocess.PIPE, stderr=None
    )
    async with process:
        assert process.stdout is not None
        try:
            text = (await process.stdout.receive()).decode()
            match = READY.match(text)  # the address of the control page may follow
            assert match is not None, text
            yield match.groupdict()
        finally:
            process.terminate()


@pytest.mark.parametrize("program", [["enapter_async.simulator"], ["enapter_async.cli", "simulate"]], ids=" ".join)
async def test_the_commands_print_the_ca_file(program: list[str]) -> None:
    with anyio.fail_after(60):
        async with command(*program, "--mode", "cloud", "--tls") as ready:
            ca_file = Path(ready["ca"] or "")
            context = ssl.create_default_context(cafile=ca_file)
            assert await status(str(ready["url"]), str(ready["token"]), context) == 200
    assert not ca_file.exists()


@pytest.mark.parametrize("program", [["enapter_async.simulator"], ["enapter_async.cli", "simulate"]], ids=" ".join)
async def test_the_commands_take_a_certificate_and_allow_http(
    program: list[str], authority: trustme.CA, tmp_path: Path
) -> None:
    made = authority.issue_cert("127.0.0.1")
    made.private_key_pem.write_to_path(tmp_path / "key.pem")
    made.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    files = ["--cert", str(tmp_path / "cert.pem"), "--key", str(tmp_path / "key.pem")]
    with anyio.fail_after(60):
        async with command(*program, *files) as ready:
            assert ready["ca"] is None
            assert await status(str(ready["url"]), str(ready["token"]), context) == 200
        async with command(*program, "--mode", "cloud", "--allow-http") as ready:
            assert await status(str(ready["url"]), str(ready["token"])) == 200


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--key", "key.pem"], "a key needs its certificate"),
        (["--tls", "--cert", "cert.pem"], "either tls"),
        (["--cert", "missing.pem"], "missing.pem cannot be used"),
    ],
)
async def test_options_that_do_not_fit_are_one_clear_line(options: list[str], words: str) -> None:
    done = await anyio.run_process([sys.executable, "-m", "enapter_async.simulator", *options], check=False)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert words in done.stderr.decode()
