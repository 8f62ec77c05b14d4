"""Clients can be replaced by a mock with the signatures of the real one, as the page on testing says."""

from __future__ import annotations

import inspect
from unittest.mock import AsyncMock, create_autospec

import pytest

from enapter_async import Device, EnapterClient
from enapter_async.resources.devices import Devices

pytestmark = pytest.mark.anyio

RESOURCES = [
    "sites", "devices", "commands", "properties", "configuration", "logs", "telemetry", "streams", "provisioning",
    "blueprints", "rule_engine", "rules",
]  # fmt: skip


async def test_a_mock_of_a_client_has_its_methods() -> None:
    client = create_autospec(EnapterClient, instance=True)
    client.devices.get.return_value = Device(id="D", name="Pump")
    assert (await client.devices.get("D", expand={"site"})).name == "Pump"
    client.devices.get.assert_awaited_once_with("D", expand={"site"})
    client.__aenter__.return_value = client
    async with client as entered:
        assert entered is client


async def test_a_mock_of_a_client_refuses_what_the_client_would_refuse() -> None:
    client = create_autospec(EnapterClient, instance=True)
    with pytest.raises(TypeError):
        client.devices.get()
    with pytest.raises(TypeError):
        client.commands.execute("D", "stop", {}, "one too many")
    with pytest.raises(AttributeError):
        client.devices.fetch  # noqa: B018


@pytest.mark.parametrize("name", RESOURCES)
def test_every_method_of_every_resource_is_there(name: str) -> None:
    client = create_autospec(EnapterClient, instance=True)
    real = getattr(EnapterClient(token="none"), name)
    methods = {key: value for key, value in inspect.getmembers(real, inspect.ismethod) if not key.startswith("_")}
    assert methods
    for key, method in methods.items():
        mock = getattr(getattr(client, name), key)
        assert isinstance(mock, AsyncMock) == inspect.iscoroutinefunction(method)


@pytest.mark.parametrize("name", [name for name in RESOURCES if name not in ("logs", "streams")])
async def test_raw_methods_are_there_with_their_signatures(name: str) -> None:
    client = create_autospec(EnapterClient, instance=True)
    raw = getattr(EnapterClient(token="none").raw, name)
    plain = getattr(EnapterClient(token="none"), name)
    methods = [key for key, _ in inspect.getmembers(raw, inspect.ismethod) if not key.startswith("_")]
    assert methods
    for key in methods:
        assert inspect.signature(getattr(raw, key)).parameters == inspect.signature(getattr(plain, key)).parameters
        mock = getattr(getattr(client.raw, name), key)
        assert isinstance(mock, AsyncMock)
        with pytest.raises(TypeError):
            await mock(nothing_is_called_so=1)


def test_a_resource_is_made_once() -> None:
    client = EnapterClient(token="none")
    assert client.devices is client.devices
    assert type(client.devices) is EnapterClient.devices is Devices  # type: ignore[comparison-overlap]
