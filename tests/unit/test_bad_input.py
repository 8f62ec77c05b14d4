"""Sites, devices, latest telemetry and free requests: bad input is refused by name before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from typing import Any

import pytest

from enapter_async import EnapterClient, EnapterError, InvalidArgumentError, Location, Safety
from tests.recorder import Recorder, find_refusal
from tests.secrecy import assert_clean

pytestmark = pytest.mark.anyio

NO_ATTRIBUTES: list[Any] = [
    [],
    ["D"],
    "D",
    None,
    5,
    {"D": "power"},
    {"D": []},
    {"D": None},
    {"D": ["a,b"]},
    {"D": [""]},
    {"": ["a"]},
]
NO_LOCATIONS: list[Any] = [None, "Lisbon", {"name": "Lisbon"}, 5]
NO_LATITUDES: list[Any] = [math.nan, "5", 91]
PAIRS: Any = [("a", "1"), ("a", ""), ("b c", 2.5)]
IDS: list[Any] = ["", " ", ".", "..", "a\nb", "a\0", "\ud800", None, 5, b"D"]


def requested(**options: Any) -> Callable[[Any], Any]:
    given: dict[str, Any] = {"method": "GET", "path": "v3/x", "safety": Safety.READ} | options
    return lambda c: c.request(given.pop("method"), given.pop("path"), **given)


Refused = tuple[str, Callable[[Any], Any]]
REFUSED: list[Refused] = [
    *[("site_id", lambda c, bad=bad: c.sites.get(bad)) for bad in IDS],
    *[("site_id", lambda c, bad=bad: c.sites.update(bad, name="N")) for bad in IDS],
    *[("site_id", lambda c, bad=bad: c.sites.delete(bad)) for bad in IDS],
    *[("device_id", lambda c, bad=bad: c.devices.get(bad)) for bad in IDS],
    *[("device_id", lambda c, bad=bad: c.devices.update(bad, name="N")) for bad in IDS],
    *[("device_id", lambda c, bad=bad: c.devices.delete(bad)) for bad in IDS],
    *[("device_id", lambda c, bad=bad: c.devices.get_manifest(bad)) for bad in IDS],
    *[("device_id", lambda c, bad=bad: c.telemetry.latest_for_device(bad, attributes=["power"])) for bad in IDS],
    *[("site_id", lambda c, bad=bad: c.devices.get("D", site_id=bad)) for bad in IDS if bad is not None],
    *[("site_id", lambda c, bad=bad: c.devices.list(site_id=bad)) for bad in IDS if bad is not None],
    *[("page_size", lambda c, bad=bad: c.devices.list(page_size=bad)) for bad in (0, 51, -1, 1.5, "5", True)],
    *[("page_size", lambda c, bad=bad: c.sites.list(page_size=bad)) for bad in (0, 51)],
    *[("offset", lambda c, bad=bad: c.devices.list(offset=bad)) for bad in (-1, 1.5, None)],
    *[("max_items", lambda c, bad=bad: c.sites.list(max_items=bad)) for bad in (-1, "5")],
    *[("concurrency", lambda c, bad=bad: c.sites.list(concurrency=bad)) for bad in (0, -1, 2.5)],
    *[
        ("expand", lambda c, bad=bad: c.devices.list(expand=bad))
        for bad in ({"manifests"}, "manifest", "", ["Manifest"], 5, [None], [["site"]], None)
    ],
    *[("expand", lambda c, bad=bad: c.devices.get("D", expand=bad)) for bad in ({"sites"}, "site")],
    *[
        ("timeout", lambda c, bad=bad: c.devices.get("D", timeout=bad))
        for bad in (0, -1, math.nan, math.inf, -math.inf, 10**400, "5", True, timedelta(seconds=5))
    ],
    *[("timeout", lambda c, bad=bad: c.devices.list(timeout=bad)) for bad in (0, -1)],
    *[("timeout", lambda c, bad=bad: c.telemetry.latest({"D": ["power"]}, timeout=bad)) for bad in (0, math.nan)],
    *[("name", lambda c, bad=bad: c.devices.update("D", name=bad)) for bad in ("", None, 5, "\ud800")],
    *[("slug", lambda c, bad=bad: c.devices.update("D", slug=bad)) for bad in ("", None, 5)],
    ("name", lambda c: c.devices.update("D")),
    ("name", lambda c: c.sites.update("S")),
    *[("name", lambda c, bad=bad: c.sites.create(name=bad, timezone="UTC")) for bad in ("", None, 5)],
    *[("timezone", lambda c, bad=bad: c.sites.create(name="N", timezone=bad)) for bad in ("", None, 5)],
    *[("location", lambda c, bad=bad: c.sites.create(name="N", timezone="UTC", location=bad)) for bad in NO_LOCATIONS],
    *[("location", lambda c, bad=bad: c.sites.update("S", location=bad)) for bad in NO_LOCATIONS],
    *[("location", lambda c, bad=bad: c.sites.update_own(location=bad)) for bad in NO_LOCATIONS],
    *[("attributes", lambda c, bad=bad: c.telemetry.latest(bad)) for bad in NO_ATTRIBUTES],
    *[("attributes", lambda c, bad=bad: c.telemetry.latest({bad: ["power"]})) for bad in (5, None, "\ud800")],
    ("attributes", lambda c: c.telemetry.latest({"D": ["x" * 9000]})),
    *[
        ("relevance_interval", lambda c, bad=bad: c.telemetry.latest({"D": ["a"]}, relevance_interval=bad))
        for bad in (-1, math.nan, "5m", timedelta(seconds=-1), 0.0001)
    ],
    *[
        ("attributes", lambda c, bad=bad: c.telemetry.latest_for_device("D", attributes=bad))
        for bad in ("power", [], [""], ["a,b"], 5, [None])
    ],
    *[("latitude", lambda _, bad=bad: Location("L", latitude=bad, longitude=0)) for bad in NO_LATITUDES],
    *[("method", requested(method=bad)) for bad in ("get", "HEAD", "", "GET /x", None)],
    *[("path", requested(path=bad)) for bad in ("", "//evil", "https://evil/x", "v3/../x", "v3/x?y", "v3/a b", None)],
    *[("safety", requested(safety=bad)) for bad in ("read", None)],
    *[
        ("query", requested(query=bad))
        for bad in (None, 5, "a=b", {"": "x"}, {"a": None}, {"a": True}, {5: "x"}, [("a",)], ["ab"], {"a": "\ud800"})
    ],
    *[("json", requested(json=bad)) for bad in ({1, 2}, math.nan, object(), b"x", "\ud800", {("a",): 1})],
]


@pytest.mark.parametrize(("argument", "call"), REFUSED)
async def test_it_is_refused_by_name(
    argument: str, call: Callable[[Any], Any], client: EnapterClient, recorder: Recorder
) -> None:
    assert_clean(await find_refusal(argument, call, client, recorder))


async def test_a_json_that_refers_to_itself_is_refused(client: EnapterClient, recorder: Recorder) -> None:
    endless: list[Any] = []
    endless.append(endless)
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for bad in (endless, deep):
        with pytest.raises(EnapterError) as caught:
            await client.request("POST", "v3/x", json=bad, safety=Safety.UNSAFE)
        assert isinstance(caught.value, InvalidArgumentError)
        assert_clean(caught.value)
    assert recorder.received == []


async def test_what_looks_odd_and_is_good_is_sent_as_it_is(client: EnapterClient, recorder: Recorder) -> None:
    recorder.answer = b'{"device": {"id": "D"}}'
    for device in ("../sites", "a/b", "a?b#c", "Насос 1", "%2e%2e", "..."):
        await client.devices.get(device)
    await client.request("GET", "/v3/x", query=PAIRS, safety=Safety.READ)
    assert [received.target for received in recorder.received] == [
        "GET v3/devices/..%2Fsites",
        "GET v3/devices/a%2Fb",
        "GET v3/devices/a%3Fb%23c",
        "GET v3/devices/%D0%9D%D0%B0%D1%81%D0%BE%D1%81%201",
        "GET v3/devices/%252e%252e",
        "GET v3/devices/...",
        "GET v3/x?a=1&a=&b%20c=2.5",
    ]


class Unit(str, Enum):  # noqa: UP042 - StrEnum is no such case
    HOURS = "h"


async def test_a_member_of_an_enum_of_texts_is_sent_as_its_text(client: EnapterClient, recorder: Recorder) -> None:
    await client.request("GET", "v3/devices", query={"unit": Unit.HOURS}, safety=Safety.READ)
    assert recorder.received[-1].target == "GET v3/devices?unit=h"


class Unreadable(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no items")


async def test_a_mapping_that_cannot_be_read_is_refused_by_name(client: EnapterClient, recorder: Recorder) -> None:
    bad = Unreadable(a=1)
    calls: list[Refused] = [
        ("arguments", lambda c: c.commands.start("D", "stop", arguments=bad)),
        ("arguments", lambda c: c.commands.start("D", "stop", arguments={"a": bad})),
        ("set", lambda c: c.configuration.update("D", "g", set=bad)),
        ("json", lambda c: c.request("POST", "v3/x", json=bad, safety=Safety.UNSAFE)),
    ]
    for argument, call in calls:
        await find_refusal(argument, call, client, recorder)
