"""Every operation of openapi.yaml is reached by a public method; those left out are named here, with why."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from enapter_async import EnapterClient
from tests.contract.specification import document
from tests.recorder import recording
from tests.service_calls import CALLS, STREAMS

pytestmark = pytest.mark.anyio

LEFT_OUT = {
    "getConnectivityStatus": "deprecated; devices.get(expand={'connectivity'})",
    "createRuleEngine": "deprecated; a site has its engine",
    "gatewayCreateRuleEngine": "deprecated; a site has its engine",
    "batchDeleteRules": "deprecated; rules.delete",
    "gatewayBatchDeleteRules": "deprecated; rules.delete",
}

_METHODS = ("get", "post", "patch", "put", "delete")


def specified() -> Iterator[tuple[str, str, re.Pattern[str]]]:
    """Yield operationId, method and path pattern; paths without parameters first, which are the more exact."""
    paths = document()["paths"]
    for template in sorted(paths, key=lambda path: path.count("{")):
        pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)))
        for method in _METHODS:
            if method in paths[template]:
                yield paths[template][method]["operationId"], method.upper(), pattern


async def reached() -> dict[str, set[str]]:
    """Return the names of our operations that reach each operationId."""
    table = list(specified())
    found: dict[str, set[str]] = {}
    async with recording() as recorder, EnapterClient(base_url=recorder.url, token="t") as client:
        for call in (*CALLS, *STREAMS):
            recorder.answer = call.answer_bytes
            recorder.received.clear()
            await call.invoke(client)
            for received in recorder.received:
                path = "/" + received.path
                matching = [
                    name for name, method, pattern in table if method == received.method and pattern.fullmatch(path)
                ]
                assert matching, f"{call} is not in the specification"
                found.setdefault(matching[0], set()).add(call.operation)
        # Where the first path is missing, the older one is tried.
        recorder.received.clear()
        recorder.answers_with((404, b"{}"), (200, b""))
        await client.blueprints.download_device_profiles()
        assert [received.path for received in recorder.received] == [
            "v3/blueprints/device_profiles/download",
            "v3/blueprints/download_device_profiles",
        ]
        found["downloadDeviceProfilesLegacy"] = {"blueprints.download_device_profiles"}
    return found


async def test_nothing_is_left_out_but_what_is_named() -> None:
    missing = {name for name, _, _ in specified()} - set(await reached())
    assert missing == set(LEFT_OUT), f"reached by no public method: {sorted(missing - set(LEFT_OUT))}"


def test_what_is_left_out_is_deprecated() -> None:
    paths = document()["paths"]
    deprecated = {
        operation["operationId"]
        for methods in paths.values()
        for method, operation in methods.items()
        if method in _METHODS and operation.get("deprecated")
    }
    assert set(LEFT_OUT) <= deprecated
