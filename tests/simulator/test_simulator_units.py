"""The simulator's pure parts: buckets, roles, times, bodies, plans of faults."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator_calls import Caller

from enapter_async.simulator import Fault, FaultPlan, FaultRule, Role, Simulator, World
from enapter_async.simulator._server.errors import Refusal
from enapter_async.simulator._server.exchange.body import Body
from enapter_async.simulator._server.exchange.query import Query
from enapter_async.simulator._server.faults import Chaos
from enapter_async.simulator._server.ledger import Ledger
from enapter_async.simulator._server.manifests.validation import validate_manifest
from enapter_async.simulator._server.ratelimit import RateLimiter, TokenBucket, retry_after
from enapter_async.simulator._server.roles import access_level
from enapter_async.simulator._server.times import format_duration, format_time, parse_duration, parse_time


class Clock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_what_it_holds_and_then_its_rate() -> None:
    clock = Clock()
    bucket = TokenBucket(rate=4, burst=2, clock=clock)
    assert [bucket.take() for _ in range(3)] == [0, 0, 0.25]
    clock.now += 0.125
    assert bucket.take() == 0.125
    clock.now += 0.125
    assert bucket.take() == 0
    clock.now += 100
    assert [bucket.take() for _ in range(3)] == [0, 0, 0.25]


@given(rate=st.floats(0.5, 500), burst=st.integers(1, 50), waits=st.lists(st.floats(0, 0.5), min_size=1, max_size=200))
def test_a_bucket_never_gives_more_than_burst_and_rate(rate: float, burst: int, waits: list[float]) -> None:
    clock = Clock()
    bucket = TokenBucket(rate, burst, clock)
    given_out = 0
    for wait in waits:
        clock.now += wait
        given_out += bucket.take() == 0
    assert given_out <= burst + rate * clock.now + 1e-6


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (float("inf"), 1), (float("nan"), 1), (1, 0.5)])
def test_buckets_that_make_no_sense(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        TokenBucket(rate, burst, Clock())


def test_every_token_has_a_bucket_of_its_own() -> None:
    limiter = RateLimiter(1, None, Clock())
    assert [limiter.wait(token) for token in ("a", "a", "b", "b")] == [0, 1, 0, 1]
    limiter.change(None)
    assert limiter.wait("a") == 0


@pytest.mark.parametrize(("wait", "text"), [(0.001, "1"), (1, "1"), (1.01, "2"), (59.5, "60")])
def test_retry_after_is_whole_seconds_and_never_zero(wait: float, text: str) -> None:
    assert retry_after(wait) == text


def test_roles_are_ordered_and_read_in_any_case() -> None:
    assert list(Role) == sorted(Role)
    assert [Role.parse(text) for text in ("readonly", "READ_ONLY", "Owner")] == [1, 1, 3]
    with pytest.raises(ValueError, match="unknown role 'boss'"):
        Role.parse("boss")
    assert [access_level(level, Role.USER) for level in (None, "", "vendor", "VENDOR", 5)] == [2, 2, 5, 5, 2]


@given(st.integers(0, 7 * 10**15))
def test_times_survive_being_written(microseconds: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    text = format_time(parse_time(moment.isoformat()))
    assert datetime.fromisoformat(text) == moment
    assert text.endswith("Z")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.5Z", 0.5),
        ("1970-01-01t01:00:00.123456789+01:00", 0.123456789),
    ],
)
def test_times_are_read_in_all_their_forms(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "now", "1970-01-01", "1970-01-01T00:00:00", "1970-13-01T00:00:00Z", "٢٠٢٦"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("0s", 0), ("30s", 30), ("2m30s", 150), ("1h0m0s", 3600), ("500ms", 0.5), ("1.5h", 5400)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "1d", "-1s", "1 s", "s", "1s!", "99999999999h", "٣s"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.integers(0, 10**7))
def test_durations_survive_being_written(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, 120), st.integers(1, 50))
def test_pages_of_any_size_give_every_item_once(count: int, limit: int) -> None:
    items, seen = list(range(count)), list[int]()
    while True:
        page = Query({"limit": [str(limit)], "offset": [str(len(seen))]}).page("items", items, lambda item: item)
        assert page["total_count"] == count
        if not page["items"]:
            break
        seen += page["items"]
    assert seen == items


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=8,
)


@given(st.dictionaries(st.just("a"), json_values))
def test_a_body_gives_what_was_asked_for_or_a_refusal(fields: dict[str, Any]) -> None:
    body = Body(fields)
    for read in (body.text, body.optional_text, body.boolean, body.object, body.names, body.objects):
        refusal = refusal_of(read, "a")
        if refusal is not None:
            assert refusal.status == 400
            assert str((refusal.details or {})["field"]).startswith("a")


def refusal_of(function: Callable[[Any], object], argument: Any) -> Refusal | None:
    try:
        function(argument)
    except Refusal as refusal:
        return refusal
    return None


@given(st.binary(max_size=50))
def test_any_bytes_are_a_body_or_a_refusal(data: bytes) -> None:
    refusal = refusal_of(Body.parse, data)
    assert refusal is None or refusal.status == 400


def test_rules_of_a_plan_count_their_own_requests() -> None:
    reset, late = Fault.reset(), Fault.delay(1)
    plan = FaultPlan(FaultRule(fault=reset, operation="listDevices", nth={2})).on(
        None, late, method="get", path="/v3/*", nth=None
    )
    kinds = [
        rule.fault.kind if (rule := plan.next(operation, method, path)) else None
        for operation, method, path in [
            ("listDevices", "GET", "/v3/x"),
            ("createSite", "POST", "/v3/x"),
            ("listDevices", "GET", "/v3/x"),
            ("listDevices", "POST", "/v3/x"),
            (None, "GET", "/other"),
        ]
    ]
    assert kinds == ["delay", None, "reset", None, None]
    assert plan.injected == 2
    plan.clear()
    assert plan.next("listDevices", "GET", "/v3/x") is None


def test_chaos_is_as_frequent_as_asked_for() -> None:
    chaos = Chaos(0.2, seed=1)
    rules = [chaos.next() for _ in range(5_000)]
    faults = [rule for rule in rules if rule is not None]
    assert 0.18 < len(faults) / 5_000 < 0.22
    assert {rule.when for rule in faults} == {"before", "after"}
    assert {rule.fault.kind for rule in faults} == {"answer", "reset", "close", "truncate", "hang"}
    assert all(rule.fault.seconds <= 2 for rule in faults)
    with pytest.raises(ValueError, match="from 0 to 1"):
        Chaos(1.1, seed=1)


def test_the_ledger_forgets_the_oldest() -> None:
    ledger = Ledger(limit=4)
    for number in range(6):
        ledger.open(number)  # type: ignore[arg-type]
    assert ledger.records == [3, 4, 5]
    assert (ledger.total, ledger.in_flight, ledger.peak_in_flight) == (6, 6, 6)


@pytest.mark.parametrize(
    "options",
    [
        {"devices": -1},
        {"mode": "moon"},
        {"mode": "gateway", "sites": 2},
        {"role": "boss"},
        {"tokens": {"": "owner"}},
        {"token": "with\nbreak"},
        {"token": "sch\u00fcssel"},
        {"token": " padded"},
        {"port": -1},
        {"port": 65_536},
        {"latency": -0.1},
        {"latency": float("nan")},
        {"latency": (0.2, 0.1)},
        {"rate_limit": 0},
        {"fault_rate": 2},
        {"command_seconds": 2},
    ],
)
def test_arguments_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Simulator(**options)


def test_a_world_of_any_size_can_be_built() -> None:
    for devices in (0, 1, 2, 3, 7, 40):
        world = World(devices=devices, sites=1)
        assert len(world.devices) == devices
        runs_on = {device.upstream_id for device in world.devices.values()} - {None}
        assert runs_on <= set(world.devices)
        slugs = [device.slug for device in world.devices.values()]
        assert len(set(slugs)) == len(slugs)
    assert World(devices=0, sites=0).own_site is None


def test_devices_can_be_added_while_running() -> None:
    world = World(devices=3)
    first = world.add_device("Weather Station", blueprint="weather_station")
    second = world.add_device("Weather Station")
    assert (first.slug, second.slug) == ("weather-station", "weather-station-2")
    with pytest.raises(Refusal, match="taken"):
        world.add_device("Other", slug=first.slug)
    with pytest.raises(KeyError, match=r"no blueprint 'nothing'; known are battery, .*weather_station"):
        world.add_device("Other", blueprint="nothing")
    own = world.add_blueprint({"telemetry": {"flow": {"type": "float"}}})
    assert world.add_device("Pump", blueprint=own.id).blueprint is own
    world.raise_alert(first, "storm")
    world.raise_alert(first, "storm")
    assert world.latest(first, "alerts") is not None
    assert first.raised_alert_names == ["storm"]
    world.clear_alert(first, "storm")
    assert first.raised_alert_names == []


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ([], "manifest: expected a mapping, got []"),
        ({"telemetry": []}, "telemetry: expected a mapping, got []"),
        ({"telemetry": {"flow": "float"}}, "telemetry.flow: expected a mapping, got 'float'"),
        ({"commands": {"go": None}}, "commands.go: expected a mapping, got None"),
        ({"alerts": {5: {}}}, "alerts.5: expected a string as the name, got 5"),
    ],
)
def test_a_manifest_without_the_shape_of_one_is_refused_where_it_is_added(manifest: Any, message: str) -> None:
    world = World(devices=0)
    with pytest.raises(ValueError, match=re.escape(message)):
        world.add_blueprint(manifest)
    world.add_blueprint({"telemetry": {"flow": {"type": "of the future"}, "a.b": {}}, "alerts": None, "later": 1})


def test_names_that_are_numbers_are_defects_of_a_manifest() -> None:
    manifest = {
        "blueprint_spec": "device/3.0",
        "display_name": "Pump",
        "telemetry": {5: {"type": "float"}},
        "commands": {"go": {"arguments": {6: {"type": "float"}}}},
    }
    assert validate_manifest(manifest) == ["telemetry.5: not a valid name", "commands.go.arguments.6: not a valid name"]


@pytest.mark.anyio
async def test_a_defect_of_ours_is_a_500_in_the_envelope_and_is_logged(
    session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Simulator() as sim:
        monkeypatch.setattr(sim.world, "devices", None)
        with caplog.at_level(logging.ERROR):
            answer = await Caller(sim, session)("GET", "/v3/devices", status=500)
    assert answer["errors"][0]["code"] == "internal"
    assert "defect in listDevices" in caplog.text


@pytest.mark.anyio
async def test_it_does_not_start_twice() -> None:
    async with Simulator() as sim:
        assert repr(sim) == f"<Simulator {sim.url} devices=20>"
        with pytest.raises(RuntimeError, match="runs already"):
            await sim.start()
    await sim.stop()
    assert repr(sim) == "<Simulator stopped devices=20>"


@pytest.mark.parametrize(
    ("options", "error", "complaint"),
    [
        ({"device": 5}, TypeError, "unexpected keyword argument 'device'; did you mean 'devices'"),
        (
            {"command_second": 1},
            TypeError,
            "unexpected keyword argument 'command_second'; did you mean 'command_seconds'",
        ),
        ({"xyzzy": 1}, TypeError, "unexpected keyword argument 'xyzzy'$"),
        ({"mode": "edge"}, ValueError, "^mode must be one of any, cloud, gateway, got 'edge'$"),
        ({"devices": "5"}, TypeError, "devices must be a number, got '5'"),
        ({"port": "8080"}, TypeError, "port must be a number, got '8080'"),
        ({"rate_limit": "20"}, TypeError, "rate_limit must be a number, got '20'"),
        ({"latency": "1"}, TypeError, "latency must be a number, got '1'"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], error: type[Exception], complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        Simulator(**options)


@pytest.mark.parametrize("empty", ["", " ", "\n"])
@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        ("host", str),
        ("token", str),
        ("users", lambda text: {text: "OWNER"}),
        ("control_token", str),
        ("control_hosts", lambda text: ["lab.example", text]),
        ("tls", str),
        ("tls", lambda text: Path(text or " ")),
        ("tls", lambda text: ("server.pem", text)),
    ],
)
def test_empty_texts_are_refused_by_name(name: str, wrap: Callable[[str], Any], empty: str) -> None:
    """An empty host would listen on every network, and an empty control host would accept requests without Host."""
    with pytest.raises(ValueError, match=rf"^{name} must not (be empty|contain an empty name)$"):
        Simulator(**{name: wrap(empty)})


@pytest.mark.parametrize("name", ["host", "token", "control_token"])
@pytest.mark.parametrize("value", [b"secret", 5])
def test_what_is_no_text_is_refused_by_name(name: str, value: object) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(TypeError, match=rf"^{name} must be a string, not (bytes|int)$"):
        Simulator(**options)


@pytest.mark.parametrize("hosts", ["lab.example", [5]])
def test_control_hosts_are_several_names(hosts: Any) -> None:
    with pytest.raises(TypeError, match=r"^control_hosts must be a collection of strings$"):
        Simulator(control_hosts=hosts)


def test_a_fault_that_could_never_happen_is_refused() -> None:
    plan, fault = FaultPlan(), Fault.answer(503)
    wrong: Any = 503
    later: Any = "later"
    with pytest.raises(TypeError, match=r"fault must be a Fault, such as Fault\.answer\(503\), got 503"):
        plan.on("listDevices", wrong)
    with pytest.raises(ValueError, match="unknown operation 'listDevicess'; did you mean 'listDevices'"):
        plan.on("listDevicess", fault)
    with pytest.raises(ValueError, match="when must be 'before' or 'after', got 'later'"):
        plan.on("listDevices", fault, when=later)
    for misplaced in (503, fault, ["listDevices"]):
        operation: Any = misplaced
        with pytest.raises(ValueError, match="unknown operation"):
            plan.on(operation, fault)
    for nth in (0, [0, 1], "1", 1.5):
        chosen: Any = nth
        with pytest.raises(ValueError, match="nth must be whole numbers from 1, or None for every request, got"):
            plan.on("listDevices", fault, nth=chosen)
    assert plan.planned == []


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("operation", "listDevicess", "unknown operation 'listDevicess'; did you mean 'listDevices'"),
        ("operation", "", "unknown operation ''"),
        ("method", "", "method must be an HTTP method such as GET, or None for any, got ''"),
        ("method", "GTE", "method must be an HTTP method such as GET, or None for any, got 'GTE'"),
        ("path", " ", "path must not be empty"),
        ("path", "", "path must not be empty"),
    ],
)
def test_a_rule_that_could_never_match_is_refused(field: str, value: str, complaint: str) -> None:
    matcher: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match=re.escape(complaint)):
        FaultRule(fault=Fault.reset(), **matcher)


def test_a_rule_takes_a_method_in_any_case() -> None:
    rule = FaultRule(fault=Fault.reset(), method="get", path="/v3/*")
    assert rule.matches("listDevices", "GET", "/v3/devices")


@pytest.mark.parametrize("text", ["", " "])
def test_a_world_has_no_names_without_letters(text: str) -> None:
    world = World(devices=1)
    with pytest.raises(ValueError, match="name must not be empty"):
        world.add_device(text)
    with pytest.raises(ValueError, match="slug must not be empty"):
        world.add_device("Pump", slug=text)
    with pytest.raises(ValueError, match="name must not be empty"):
        world.add_site(text)


def test_a_misspelt_operation_has_no_requests_that_one_could_count() -> None:
    simulator = Simulator()
    assert simulator.requests_of("createExecution") == []
    with pytest.raises(ValueError, match="unknown operation 'createExecutions'; did you mean 'createExecution'"):
        simulator.requests_of("createExecutions")
