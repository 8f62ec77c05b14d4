"""`telemetry/latest` and history agree: each value that was handed out is in history, and history has no other.

Random worlds are driven through the control API and the API of devices. Whatever `latest` served for a second is what
history has for that second at the end.
"""

from __future__ import annotations

import asyncio
import csv
import io
import itertools
import json
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from enapter_async.simulator import Device, Simulator, World
from enapter_async.simulator._server.world.aggregates import Column
from enapter_async.simulator._server.world.stated import Stated

T0 = 1_773_482_400
DEVICES = 4
Value = Any
Truth = dict[tuple[str, str, int], Value]


class Clock:
    def __init__(self) -> None:
        self.now = T0 + 0.25

    def __call__(self) -> float:
        return self.now


class Plant:
    """A simulator with what its `latest` has served so far."""

    def __init__(self, sim: Simulator, session: aiohttp.ClientSession, clock: Clock) -> None:
        self.sim = sim
        self.session = session
        self.clock = clock
        self.served: Truth = {}
        self.newest = 0.0
        self.went_back = False
        self.loaded: set[int] = set()
        self.polled: set[tuple[str, int]] = set()

    @property
    def devices(self) -> list[Device]:
        return list(self.sim.world.devices.values())

    def note_time(self) -> None:
        """Note the time as timelines do: a clock that goes back by less than a second stands still for them."""
        now = self.sim.world.now()
        if not self.newest - 1 <= now < self.newest:
            self.went_back = self.went_back or now < self.newest
            self.newest = now

    def forget_replayed(self) -> None:
        """Forget what was served for seconds that pass again: a change writes their history anew."""
        now = int(self.newest)
        if self.went_back:
            self.served = {place: value for place, value in self.served.items() if place[2] < now}
            self.polled = {place for place in self.polled if place[1] < now}

    async def poll(self) -> None:
        """Read all latest values, and hold them against what was served for the same seconds."""
        self.note_time()
        for device in self.devices:
            if device.connectivity != "OFFLINE":  # else it may have a sample of the second in which it went offline
                self.polled.add((device.id, int(self.newest)))
            answer = await self.call("GET", f"/v3/devices/{device.id}/telemetry?relevance_interval=24h")
            for attribute, point in json.loads(answer)["telemetry"].items():
                if "timestamp" in point:
                    self.served[device.id, attribute, point["timestamp"]] = point["value"]

    async def history(self, start: int, end: int) -> Truth:
        """Read the whole history at steps of a second."""
        found: Truth = {}
        for device in self.devices:
            names = list(dict.fromkeys([*device.blueprint.signals, "made_up"]))
            body = {
                "from": start,
                "to": end,
                "granularity": "1s",
                "aggregation": "last",
                "telemetry": [{"device": device.id, "attribute": names}],
            }
            text = await self.call("POST", "/v3/telemetry/query_timeseries", json=body)
            header, *rows = csv.reader(io.StringIO(text, newline=""))
            labels = [dict(part.split("=", 1) for part in cell.split(" ")) for cell in header[1:]]
            for row, (place, label) in itertools.product(rows, enumerate(labels)):
                if row[place + 1]:
                    found[device.id, label["telemetry"], int(row[0])] = row[place + 1]
        return found

    async def call(self, method: str, path: str, **options: Any) -> str:
        headers = {"X-Enapter-Auth-Token": self.sim.token}
        if method == "POST":
            headers["Accept"] = "text/csv"
        async with self.session.request(method, self.sim.url + path, headers=headers, **options) as response:
            assert response.status == 200, await response.text()
            return await response.text()

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        assert self.sim.control_page is not None
        page, token = self.sim.control_page.split("#token=")
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.request(method, page + path, json=body, headers=headers) as response:
            assert response.status < 300, await response.text()
            return await response.json() if response.status == 200 else None


def as_cell(value: Value) -> str:
    """What history writes for a value of `latest`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else repr(value)


def differences(served: Truth, history: Truth) -> list[str]:
    wrong = [
        f"{place}: served {value!r}, history has {history.get(place)!r}"
        for place, value in served.items()
        if not same(value, history.get(place))
    ]
    return sorted(wrong)[:10]


def same(value: Value, cell: str | None) -> bool:
    if cell is None or isinstance(value, bool | str | list):
        return cell == as_cell(value)
    return float(cell) == value


Step = tuple[Any, ...]
numbers = st.integers(0, DEVICES - 1)
alerts = st.sampled_from(["overtemperature", 'made "up", é', "disk_full"])
waits = st.tuples(st.just("wait"), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 7.0, 61.0]))
polls = st.just(("poll",))
changes = st.one_of(
    st.tuples(st.just("connectivity"), numbers, st.sampled_from(["ONLINE", "OFFLINE", "UNKNOWN"])),
    st.tuples(st.just("raise"), numbers, alerts),
    st.tuples(st.just("clear"), numbers, alerts),
    st.tuples(st.just("set"), numbers, st.integers(0, 4), st.sampled_from([1, 2, 3])),
    st.tuples(st.just("made up"), numbers, st.sampled_from([1, 2])),
    st.tuples(st.just("restore"), numbers, st.integers(0, 4)),
    st.tuples(st.just("append"), numbers, alerts),
    st.tuples(
        st.just("history"),
    ),
)
clocks = st.one_of(
    st.tuples(st.just("advance"), st.sampled_from([0.4, 5.0, 90.0, 4_000.0])),
    st.tuples(st.just("freeze"), st.booleans()),
    st.just(("save",)),
)
CHANGES = {"connectivity", "raise", "clear", "set", "made up", "restore", "append"}
VALUES = {
    "float": [17.25, -3.5, 1e9],
    "integer": [1, 7, -4],
    "boolean": [True, False, True],
    "string": ["set", "a, b\n", 'c "d"'],
    "string_array": [[], ["x"], ["x, y", "z"]],
}


async def take(plant: Plant, step: Step) -> None:
    """Take one step in a world."""
    plant.note_time()
    if step[0] in CHANGES:
        plant.forget_replayed()
    match step:
        case "wait", seconds:
            plant.clock.now += seconds
        case ("poll",):
            await plant.poll()
        case ("history",):
            await plant.history(int(plant.clock.now) - 5, int(plant.clock.now) + 1)
        case "connectivity", number, connectivity:
            await plant.control("PATCH", f"devices/{plant.devices[number].id}", {"connectivity": connectivity})
        case "raise" | "clear", number, name:
            device = plant.devices[number]
            (plant.sim.world.raise_alert if step[0] == "raise" else plant.sim.world.clear_alert)(device, name)
        case "append", number, name:
            device = plant.devices[number]
            (device.raised_alert_names.clear if device.raised_alert_names else list)()
            device.raised_alert_names.append(name)
        case "set", number, which, chosen:
            device = plant.devices[number]
            name = attribute_of(device, which)
            value = VALUES[device.blueprint.signals[name].data_type][chosen - 1]
            await plant.control("PUT", f"devices/{device.id}/telemetry/{name}", {"value": value})
        case "restore", number, which:
            device = plant.devices[number]
            await plant.control("DELETE", f"devices/{device.id}/telemetry/{attribute_of(device, which)}")
        case "made up", number, value:
            plant.devices[number].telemetry["made_up"] = value
        case "advance", seconds:
            await plant.control("PATCH", "clock", {"advance": seconds})
        case "freeze", frozen:
            await plant.control("PATCH", "clock", {"frozen": frozen})
        case "back", seconds:
            await plant.control("PATCH", "clock", {"advance": -seconds})
        case ("save",):
            plant.loaded.add(int(plant.newest))  # its values count as served: another client may have read them
            await plant.control("PUT", "state", await plant.control("GET", "state"))
        case _:
            raise AssertionError(step)


def attribute_of(device: Device, which: int) -> str:
    """Choose an attribute of each type, the alerts among them."""
    by_type = {signal.data_type: name for name, signal in device.blueprint.signals.items()}
    return [*by_type.values()][which % len(by_type)]


def spans(seconds: set[int]) -> list[tuple[int, int]]:
    """Cover seconds with spans of at most a minute."""
    found: list[tuple[int, int]] = []
    for second in sorted(seconds):
        if found and second < found[-1][0] + 60:
            found[-1] = (found[-1][0], second + 1)
        else:
            found.append((second, second + 1))
    return found


async def live(steps: list[Step], **options: Any) -> None:
    """Live through the steps, and hold `latest` and history against each other at the end."""
    clock = Clock()
    async with aiohttp.ClientSession() as session, Simulator(devices=DEVICES, clock=clock, **options) as sim:
        plant = Plant(sim, session, clock)
        await plant.poll()
        for step in steps:
            await take(plant, step)
        history: Truth = {}
        for start, end in spans({second for *_, second in plant.served}):
            history |= await plant.history(start, end)
        assert differences(plant.served, history) == []
        # And vice versa, for each second in which `latest` was read.
        polled = {place for place in plant.polled if place[1] not in plant.loaded}
        sudden = [place for place in history if (place[0], place[2]) in polled and place not in plant.served]
        assert sudden == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(st.one_of(polls, waits, waits, changes, clocks), max_size=20), dropouts=st.booleans())
@example(steps=[("wait", 1.0), ("connectivity", 0, "OFFLINE"), ("poll",)], dropouts=False)
@example(steps=[("wait", 0.75), ("save",), ("connectivity", 0, "OFFLINE"), ("poll",)], dropouts=False)
def test_latest_and_history_are_one(steps: list[Step], dropouts: bool) -> None:
    asyncio.run(live(steps, dropouts=dropouts))


backwards = st.tuples(st.just("back"), st.sampled_from([0.4, 1.0, 3.0, 100.0, 4_000.0]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(st.one_of(polls, waits, waits, changes, clocks, backwards), max_size=20))
@example(steps=[("wait", 7.0), ("back", 0.4), ("poll",)])
@example(steps=[("wait", 1.5), ("poll",), ("back", 0.4), ("back", 1.0), ("raise", 0, "overtemperature")])
def test_time_that_passes_again_keeps_what_was_served(steps: list[Step]) -> None:
    asyncio.run(live(steps))


async def one_column(plant: Plant, attribute: str, start: int, end: int, granularity: str = "1s") -> dict[int, str]:
    body = {
        "from": start,
        "to": end,
        "granularity": granularity,
        "telemetry": [{"device": plant.devices[0].id, "attribute": attribute}],
    }
    text = await plant.call("POST", "/v3/telemetry/query_timeseries", json=body)
    return {int(row[0]): row[1] for row in list(csv.reader(io.StringIO(text, newline="")))[1:] if row[1]}


@pytest.mark.anyio
async def test_history_has_alerts_from_when_they_are_raised_until_they_are_cleared() -> None:
    clock = Clock()
    async with aiohttp.ClientSession() as session, Simulator(devices=1, clock=clock) as sim:
        plant = Plant(sim, session, clock)
        (device,) = plant.devices
        device.raised_alert_names = []
        clock.now = T0 + 10
        await plant.control("PUT", f"devices/{device.id}/alerts/overtemperature")
        clock.now = T0 + 20
        sim.world.raise_alert(device, "made up")
        clock.now = T0 + 30
        await plant.control("DELETE", f"devices/{device.id}/alerts/overtemperature")
        clock.now = T0 + 40
        sim.world.clear_alert(device, "made up")
        names = [json.loads(cell) for cell in (await one_column(plant, "alerts", T0, T0 + 50)).values()]
        details = [json.loads(cell) for cell in (await one_column(plant, "alert_details", T0, T0 + 50)).values()]
        assert names[::10] == [[], ["overtemperature"], ["overtemperature", "made up"], ["made up"], []]
        assert [list(one) for one in details] == names
        assert details[20]["made up"] == {"display_name": "made up", "severity": "error"}


def test_a_change_within_a_second_that_was_served_is_the_value_of_the_next_one() -> None:
    world = World(devices=1, clock=lambda: T0 + 0.5)
    (device,) = world.devices.values()
    assert world.latest(device, "alerts") == (device.raised_alert_names, T0)
    world.raise_alert(device, "storm")
    assert world.latest(device, "alerts") == (device.raised_alert_names, T0 + 1)


def test_until_a_dropout_is_over_the_latest_value_is_the_one_before() -> None:
    now = [float(T0)]
    world = World(devices=1, clock=lambda: now[0], dropouts=True)
    (device,) = world.devices.values()
    track = world.track(device, "power")
    assert track is not None
    begin, end = track.gaps(T0 + 60, T0 + 90 * 86_400)[0]
    for moment in (begin - 1, begin, end - 1):
        now[0] = moment
        assert world.latest(device, "power") == (track.signal.value(track.level(begin - 1)), begin - 1)
    now[0] = end
    assert world.latest(device, "power") == (track.signal.value(track.level(end)), end)


@settings(max_examples=100, deadline=None)
@given(
    granularity=st.sampled_from([1, 7, 10, 60, 90, 300, 600]),
    begin=st.integers(T0 - 500, T0 + 3_000),
    length=st.integers(0, 3_000),
    silence=st.integers(T0 - 500, T0 + 3_000),
    aggregation=st.sampled_from(["avg", "min", "max", "last"]),
    attribute=st.sampled_from(["power", "production_rate", "starts_total"]),
    value=st.sampled_from([0, 250, -1.5]),
)
def test_a_bucket_with_set_values_holds_the_aggregate_of_all_its_samples(
    granularity: int, begin: int, length: int, silence: int, aggregation: str, attribute: str, value: float
) -> None:
    world = World(devices=1, clock=lambda: T0)
    (device,) = (world.add_device(blueprint="electrolyser"),)
    track = world.track(device, attribute)
    assert track is not None
    span, outage = Stated(begin, begin + length, value), (float(silence), silence + 100.0)
    column = Column(track, granularity, aggregation, outages=(outage,), stated=(span,))
    first = T0 // granularity
    for number, cell in enumerate(column.cells(first, 20)):
        seconds = range((first + number) * granularity, (first + number + 1) * granularity)
        values = [
            value if begin <= second < begin + length else track.signal.value(track.level(second))
            for second in seconds
            if not silence <= second < silence + 100
        ]
        if not values:
            assert cell == ""
        elif aggregation == "avg":
            digits = 2 if track.signal.data_type == "integer" else track.signal.digits
            assert float(cell) == pytest.approx(sum(values) / len(values), abs=10**-digits)
        else:
            assert float(cell) == {"min": min, "max": max, "last": lambda all_: all_[-1]}[aggregation](values)
