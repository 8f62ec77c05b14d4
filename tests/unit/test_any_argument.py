"""Any argument of any public method may be any object: it is taken, or refused by name, type and value."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import partial
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pytest

from enapter_async import (
    ConfigurationError,
    EnapterClient,
    EnapterError,
    InvalidArgumentError,
    Location,
    Locf,
    Pager,
    RateLimit,
    RetryPolicy,
    RuleScript,
    Safety,
    Series,
    SharedRateLimit,
    StreamPolicy,
    Timeouts,
    TimeseriesQuery,
    discover_gateways,
    plan_history,
)
from enapter_async.collector import (
    LineStore,
    Selection,
    Shard,
    SqliteStore,
    make_store,
)
from enapter_async.collector.stores.parquet import ParquetStore
from enapter_async.collector.stores.pipe import PipeStore
from enapter_async.collector.stores.postgres import PostgresStore
from enapter_async.exporter import ExportRequest, HistoryExport
from enapter_async.models.terminal import TerminalSession
from tests.recorder import Recorder

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
SERIES = Series("D", ["power"])
QUERY = TimeseriesQuery(start=NOON, end=NOON + timedelta(hours=1), granularity=60, series=[SERIES])


class Hostile:
    """An object that answers no question."""

    def __bool__(self) -> bool:
        raise TypeError("no truth")

    def __eq__(self, other: object) -> bool:
        raise TypeError("not comparable")

    __hash__ = None  # type: ignore[assignment]

    def __lt__(self, other: object) -> bool:
        raise TypeError("not ordered")

    __gt__ = __le__ = __ge__ = __lt__

    def __repr__(self) -> str:
        raise TypeError("not shown")


BAD: dict[str, tuple[object, str]] = {
    "NaT": (pd.NaT, "NaT"),
    "NA": (pd.NA, "NA"),
    "array of numbers": (np.array([1.5, 2.5]), "1.5"),
    "array of no dimension": (np.array(1.5), "1.5"),
    "empty array": (np.array([]), "array"),
    "Series of numbers": (pd.Series([1.5, 2.5]), "Series"),
    "DataFrame": (pd.DataFrame({1.5: [1]}), "DataFrame"),
    "Timedelta that is none": (pd.Timedelta("NaT"), "NaT"),
    "datetime64": (np.datetime64("2026-03-14"), "2026-03-14"),
    "object": (Hostile(), "Hostile"),
    "class": (int, "int"),
    "complex": (1j, "1j"),
}
"""Values that fit no argument, and what the error must show of them."""

ELEMENTS = {
    "ndarray": [("np.float64(1.5)", "float64")],
    "Series": [("1.5", "float")],
    "DataFrame": [("1.5", "float")],
}
"""What an error may show instead where several values are wanted."""

GOOD: dict[str, Any] = {
    "device_id": "D",
    "rule_id": "R",
    "site_id": "S",
    "blueprint_id": "B",
    "execution_id": "E",
    "runtime_id": "L",
    "hardware_id": "H",
    "group": "main",
    "name": "N",
    "slug": "s",
    "timezone": "UTC",
    "code": "x",
    "protocol": "MQTT",
    "script": RuleScript(code="x"),
    "device_ids": ["D"],
    "rule_ids": ["R"],
    "attributes": ["power"],
    "arguments": {"a": 1},
    "query": QUERY,
    "source": b"PK",
    "path": "/nowhere/to/write",
    "on_progress": print,
    "window": 600,
    "interval": 1.0,
    "session": TerminalSession(channel_id="c", token="t", websocket_url="ws://127.0.0.1:1/t"),
}
SERVICES = [
    "sites", "devices", "commands", "properties", "configuration", "logs", "telemetry", "streams", "provisioning",
    "blueprints", "rule_engine", "rules",
]  # fmt: skip


def methods() -> Iterator[tuple[str, str]]:
    client = EnapterClient(token="none")
    for service in SERVICES:
        for name, _ in inspect.getmembers(getattr(client, service), callable):
            if not name.startswith("_"):
                yield service, name


METHODS = list(methods())


def good_arguments(service: str, method: str, argument: str) -> dict[str, Any]:
    """Return what a method must be given at least, beside one argument."""
    client = EnapterClient(token="none")
    parameters = inspect.signature(getattr(getattr(client, service), method)).parameters
    given = {name: GOOD[name] for name, one in parameters.items() if one.default is inspect.Parameter.empty}
    if (service, method) in {("telemetry", "latest"), ("telemetry", "watch")}:
        given[next(iter(given))] = {"D": ["power"]}
    if method == "update" and service in ("sites", "devices"):
        given["name"] = "N"
    if method == "update_own":
        given["name"] = "N"
    if (service, method) == ("commands", "list_executions"):
        given["site_id" if argument == "device_id_in" else "device_id"] = "X"
    if (service, method) == ("configuration", "update"):
        given["set"] = {"a": 1}
    return given


def arguments() -> Iterator[tuple[str, str, str]]:
    client = EnapterClient(token="none")
    for service, method in METHODS:
        for name in inspect.signature(getattr(getattr(client, service), method)).parameters:
            yield service, method, name


@pytest.fixture
async def client(recorder: Recorder) -> AsyncIterator[EnapterClient]:
    async with EnapterClient(base_url=recorder.url, token="a-token", retry=RetryPolicy.none()) as ours:
        yield ours


async def use(result: Any) -> None:
    """Go as far as a first request."""
    if inspect.isawaitable(result):
        await result
    elif isinstance(result, Pager):
        await result.first()
    elif hasattr(result, "__aenter__"):
        async with result:
            pass


async def refused(call: Callable[[], Any], argument: str, shown: str, type_: type) -> str | None:
    """Return what is wrong with how a call is refused, None where nothing is."""
    try:
        await use(call())
    except InvalidArgumentError as error:
        text = str(error)
        if error.argument != argument and not text.startswith(f"{error.argument}: "):
            return f"names {error.argument}: {text}"
        if text.endswith("must not be empty"):
            return None
        element = any(f"got {one} ({name})" in text for one, name in ELEMENTS.get(type_.__name__, ()))
        if not element and (type_.__name__ not in text or shown not in text):
            return f"does not show type and value: {text}"
        return None if text.isprintable() and len(text) < 400 else f"is no line: {text!r}"
    except EnapterError as error:
        return f"was sent: {error!r}"
    except Exception as error:
        return f"raises {error!r}"
    return "is taken"


FREE = {("on_event", "class"), ("on_progress", "class"), ("expand", "empty array")}
"""What fits all the same."""


REQUEST: dict[str, Any] = {"method": "GET", "path": "v3/x", "query": {"a": 1}, "safety": Safety.READ}


@pytest.mark.parametrize("argument", [*REQUEST, "timeout"])
async def test_it_is_so_for_free_requests(argument: str, client: EnapterClient, recorder: Recorder) -> None:
    wrong: dict[str, str] = {}
    for kind, (value, shown) in BAD.items():
        call = partial(client.request, **{**REQUEST, argument: value})
        if (argument, kind) == ("query", "empty array"):
            continue
        problem = await refused(call, argument, shown, type(value))
        if problem is not None:
            wrong[kind] = problem
    assert wrong == {}
    assert recorder.received == []


BUILT: list[tuple[Any, dict[str, Any], str]] = [
    (Location, {"name": "L"}, "latitude"),
    (Location, {}, "name"),
    (RuleScript, {"code": "x", "runtime_version": "V1"}, "exec_interval"),
    (RuleScript, {}, "code"),
    (RuleScript, {"code": "x"}, "runtime_version"),
    (Locf, {}, "look_around"),
    *[(Series, {"device": "D", "attributes": ["a"]}, name) for name in ("device", "attributes", "aggregation")],
    (Series, {"device": "D", "attributes": ["a"]}, "gap_filling"),
    *[
        (TimeseriesQuery, {"start": NOON, "end": NOON + timedelta(hours=1), "granularity": 1, "series": [SERIES]}, name)
        for name in ("start", "end", "granularity", "series", "aggregation")
    ],
    *[(ExportRequest, {"start": timedelta(days=1)}, field.name) for field in attrs.fields(ExportRequest)],
    *[(Selection, {}, field.name) for field in attrs.fields(Selection)],
    *[(Shard, {"index": 1, "count": 2}, field.name) for field in attrs.fields(Shard)],
    (SqliteStore, {}, "path"),
    *[(LineStore, {"path": "x.csv", "form": "csv"}, name) for name in ("path", "form")],
    *[(ParquetStore, {"path": "x.parquet"}, name) for name in ("path", "most_bytes")],
    *[(PipeStore, {}, name) for name in ("form", "descriptor")],
    *[(PostgresStore, {}, name) for name in ("url", "schema", "table")],
    *[(make_store, {"target": "postgresql://"}, name) for name in ("target", "form", "schema")],
    *[
        (HistoryExport, {"target": "x.csv", "request": ExportRequest(start=timedelta(days=1)), "source": "s"}, name)
        for name in ("target", "request", "source", "file_format")
    ],
    *[(plan_history, {"query": QUERY}, name) for name in ("query", "window", "devices_per_request")],
    *[
        (class_, dict(given), field.name)
        for class_, given in (
            (Timeouts, {}),
            (RetryPolicy, {}),
            (RateLimit, {}),
            (StreamPolicy, {}),
            (SharedRateLimit, {"url": "redis://localhost", "name": "n", "requests_per_second": 5}),
        )
        for field in attrs.fields(class_)
        if field.name != "url"
    ],
]


@pytest.mark.parametrize(("make", "given", "argument"), BUILT, ids=lambda one: getattr(one, "__name__", str(one)[:20]))
def test_it_is_so_for_what_users_build(make: Any, given: dict[str, Any], argument: str) -> None:
    for kind, (value, shown) in BAD.items():
        if (argument, kind) == ("devices", "empty array"):
            continue
        with pytest.raises((InvalidArgumentError, ConfigurationError)) as caught:
            make(**{**given, argument: value})
        text = str(caught.value)
        assert argument in text
        assert (
            "must not be empty" in text
            or "at least one name" in text
            or (shown in text and type(value).__name__ in text)
            or "1.5) (float64)" in text
            or "1.5 (float)" in text
        )
        assert text.isprintable()


OPTIONS = [
    "token", "user", "base_url", "app", "timeouts", "retry", "rate_limit", "shared_rate_limit", "max_in_flight",
    "max_streams", "max_response_bytes", "http_session", "hooks", "trust_env", "proxy", "ssl_context",
]  # fmt: skip
CLIENTS: list[tuple[str, Any]] = [
    *[(name, EnapterClient) for name in OPTIONS],
    *[(name, partial(EnapterClient.gateway, token="t")) for name in ("host", "scheme", "ca_file", "verify")],
    *[(name, EnapterClient(token="t").with_options) for name in ("timeout", "timeouts", "retry", "user")],
    *[(name, discover_gateways) for name in ("timeout", "service_types", "matching", "interfaces")],
]


@pytest.mark.parametrize(("argument", "make"), CLIENTS, ids=lambda one: one if isinstance(one, str) else "")
async def test_it_is_so_for_clients(argument: str, make: Any) -> None:
    host = {"host": "h"} if isinstance(make, partial) else {}
    for kind, (value, _) in BAD.items():
        if (argument, kind) in {("token", "class"), ("hooks", "empty array")}:
            continue
        with pytest.raises((InvalidArgumentError, ConfigurationError), match=argument) as caught:
            await use(make(**{**host, argument: value}))
        assert str(caught.value).isprintable()


# -- what is a number is taken -----------------------------


class Whole:
    """Any class that says that it is a whole number."""

    def __index__(self) -> int:
        return 7

    def __repr__(self) -> str:
        return "Whole()"  # no address: the name of a test must be the same in all processes of pytest-xdist


@pytest.mark.parametrize("seven", [7, np.int64(7), np.int8(7), np.uint32(7), np.array(7), Whole()], ids=repr)
async def test_whole_numbers_of_any_kind_are_taken(seven: Any, client: EnapterClient, recorder: Recorder) -> None:
    recorder.answer = b'{"devices": [], "execution_id": "E"}'
    await client.devices.list(page_size=seven, offset=seven, max_items=seven, concurrency=seven, timeout=seven).first()
    await client.commands.start("D", "N", {"a": seven, "b": [seven]})
    await client.request("GET", "v3/x", query={"a": seven}, safety=Safety.READ)
    assert [one.target for one in recorder.received] == [
        "GET v3/devices?limit=1&offset=7",
        "POST v3/devices/D/command_executions",
        "GET v3/x?a=7",
    ]
    assert b'"arguments":{"a":7,"b":[7]}' in recorder.received[1].body
    assert Locf(seven).look_around == timedelta(seconds=7)
    assert plan_history(QUERY, window=seven, devices_per_request=seven).window == timedelta(minutes=1)
    policy = RetryPolicy(max_attempts=seven, max_delay=seven)
    assert (policy.max_attempts, type(policy.max_attempts), policy.max_delay) == (7, int, 7)
    assert RateLimit(burst=seven, requests_per_second=seven).burst == 7
    assert Location("L", latitude=seven).latitude is seven


@pytest.mark.parametrize("number", [np.float32(1.5), np.float64(1.5), Fraction(3, 2)], ids=repr)
async def test_numbers_of_any_kind_are_taken(number: Any, client: EnapterClient, recorder: Recorder) -> None:
    await client.request("POST", "v3/x", json={"a": number}, query={"b": number}, safety=Safety.READ, timeout=number)
    assert (recorder.received[0].body, recorder.received[0].target) == (b'{"a":1.5}', "POST v3/x?b=1.5")
    assert Locf(number).look_around == timedelta(seconds=1.5)
    assert Timeouts(total=number).total == 1.5
    assert Location("L", latitude=number, longitude=number).latitude == 1.5


async def test_times_and_texts_of_pandas_and_numpy_are_taken(client: EnapterClient, recorder: Recorder) -> None:
    recorder.answer = b'{"logs": []}'
    stamp = pd.Timestamp("2026-03-14T12:00:00Z")
    await client.logs.list(np.str_("D"), received_at_gte=stamp, received_at_lt=stamp + pd.Timedelta("1h")).first()
    assert recorder.received[0].target.startswith(
        "GET v3/devices/D/logs?received_at.gte=2026-03-14T12:00:00Z&received_at.lt=2026-03-14T13:00:00Z"
    )
    names: Any = pd.Series(["power", "flow"])
    assert Series("D", names).attributes == ("power", "flow")
    end = stamp + pd.Timedelta("1h")
    assert TimeseriesQuery(start=stamp, end=end, granularity=pd.Timedelta("60s"), series=[SERIES]).end == end


@pytest.mark.parametrize("value", [np.timedelta64(5, "s"), np.True_, True, "5", float("nan")], ids=repr)
async def test_what_only_looks_like_a_number_is_refused(value: Any, client: EnapterClient) -> None:
    for call in (lambda: client.devices.list(page_size=value), lambda: Locf(value)):
        with pytest.raises(InvalidArgumentError):
            call()


@pytest.mark.parametrize(("service", "method", "argument"), list(arguments()))
async def test_what_fits_no_argument_is_refused_by_name_type_and_value(
    service: str, method: str, argument: str, client: EnapterClient, recorder: Recorder
) -> None:
    wrong: dict[str, str] = {}
    for kind, (value, shown) in BAD.items():
        if (argument, kind) in FREE:
            continue
        given = {**good_arguments(service, method, argument), argument: value}
        call = partial(getattr(getattr(client, service), method), **given)
        problem = await refused(call, argument, shown, type(value))
        if problem is not None:
            wrong[kind] = problem
    assert wrong == {}
    assert recorder.received == []
