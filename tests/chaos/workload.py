"""One worker of the chaos run: seeded, mixed operations, each of them bounded and judged."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import attrs

from enapter_async import EnapterClient, EnapterError, NotFoundError, RetryPolicy, RuleScript, Series, TimeseriesQuery
from enapter_async.models.common import JSON
from tests.chaos.book import Book, Told, outcome_of
from tests.secrecy import assert_clean

T = TypeVar("T")

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
QUERY_ROWS = 120
FAREWELL = 1.0
"""Seconds that leaving a stream may take: the server has so long to answer the closing."""


@attrs.define
class Stage:
    """What all workers share.

    Attributes:
        clients: The client, a copy that re-sends converging changes, and one that never retries.
        devices: IDs of the electrolysers, which take commands.
        site_id: A site whose devices do not change.
        site_devices: Their IDs.
        timeout: Seconds of every call.
        book: What callers were told.
        problems: What must not be, in words.
        calls: How many operations ended.
        cancelled: How many were cancelled.
        overrun: The most seconds that a call outlived its deadline.
        slowest_cancellation: The most seconds that a cancelled call took to end, streams apart.
    """

    clients: list[EnapterClient]
    devices: list[str]
    site_id: str
    site_devices: set[str]
    timeout: float
    book: Book = attrs.field(factory=Book)
    problems: list[str] = attrs.field(factory=list)
    calls: int = 0
    cancelled: int = 0
    overrun: float = 0.0
    slowest_cancellation: float = 0.0


@attrs.define
class OwnSite:
    """A site that only one worker changes, and the names that it can have."""

    site_id: str
    name: str
    perhaps: set[str] = attrs.field(factory=set)
    deleting: bool = False


class Worker:
    """Makes one operation after the other."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self._stage = stage
        self._book = stage.book
        self._chance = random.Random(seed)
        self.own: OwnSite | None = None
        self.gone: list[str] = []
        self._operations: list[tuple[int, Callable[[EnapterClient], Awaitable[None]]]] = [
            (6, self._read),
            (3, self._list),
            (3, self._latest),
            (2, self._timeseries),
            (1, self._stream_timeseries),
            (8, self._start),
            (4, self._execute),
            (2, self._run_command),
            (5, self._own_site),
            (2, self._rule),
            (2, self._configure),
            (1, self._follow),
        ]

    async def work(self, goes_on: Callable[[], bool]) -> None:
        """Go on as long as it is asked for."""
        weights = [weight for weight, _ in self._operations]
        while goes_on():
            _, operation = self._chance.choices(self._operations, weights)[0]
            client = self._chance.choice(self._stage.clients)
            if self._chance.random() < 0.05:
                await self._cut_short(operation, client)
            else:
                await self._judged(operation, client)
            self._stage.calls += 1

    async def _judged(self, operation: Callable[[EnapterClient], Awaitable[None]], client: EnapterClient) -> None:
        try:
            await operation(client)
        except EnapterError as error:
            self._book.errors[outcome_of(error)] += 1
            try:
                assert_clean(error)
            except AssertionError as dirty:
                self._problem(f"{operation.__name__}: {dirty}")
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._problem(f"{operation.__name__}: {type(error).__name__} came out: {error}")

    async def _cut_short(self, operation: Callable[[EnapterClient], Awaitable[None]], client: EnapterClient) -> None:
        task = asyncio.ensure_future(self._judged(operation, client))
        await asyncio.wait([task], timeout=self._chance.uniform(0, 0.1))
        if task.done():
            return
        self._stage.cancelled += 1
        began = time.monotonic()
        task.cancel()
        await asyncio.wait([task], timeout=10)
        took = time.monotonic() - began
        if not task.done():
            self._problem(f"{operation.__name__} did not end when it was cancelled")
        elif operation == self._follow:
            took -= FAREWELL
        self._stage.slowest_cancellation = max(self._stage.slowest_cancellation, took)

    def _problem(self, text: str) -> None:
        self._stage.problems.append(text)

    # -- calls, timed ----------------------------------------------------------------------------------------

    async def _timed(self, call: Awaitable[T], requests: int = 1) -> T:
        """Await a call of so many requests one after the other, and note by how much it outlives its deadline."""
        began = time.monotonic()
        try:
            return await call
        finally:
            overrun = time.monotonic() - began - requests * self._stage.timeout
            self._stage.overrun = max(self._stage.overrun, overrun)

    async def _change(
        self, call: Callable[[str], Awaitable[T]], *, may_repeat: bool = False, requests: int = 1
    ) -> tuple[str, T]:
        """Make a change that carries a tag, and write down what is known of it."""
        tag = self._book.new(may_repeat=may_repeat)
        text = f"chaos-{tag}"
        began = time.monotonic()
        try:
            value = await self._timed(call(text), requests)
        except EnapterError as error:
            self._book.failed(tag, error, began)
            raise
        self._book.acknowledged(tag)
        return text, value

    def _device(self) -> str:
        return self._chance.choice(self._stage.devices)

    # -- operations ------------------------------------------------------------------------------------------

    async def _read(self, client: EnapterClient) -> None:
        device = self._device()
        read = await self._timed(client.devices.get(device, expand={"manifest", "properties"}))
        if read.id != device:
            self._problem("an answer was given to the wrong call")

    async def _list(self, client: EnapterClient) -> None:
        kind = self._chance.randrange(3)
        if kind == 0:
            devices = await self._timed(client.devices.list(site_id=self._stage.site_id, page_size=3).collect(), 3)
            if {device.id for device in devices} != self._stage.site_devices:
                self._problem("a list of devices is not complete")
        elif kind == 1:
            await self._timed(client.commands.list_executions(device_id=self._device(), max_items=60).collect(), 2)
        else:
            await self._timed(client.logs.list(self._device(), max_items=60).collect(), 2)

    async def _latest(self, client: EnapterClient) -> None:
        device = self._device()
        latest = await self._timed(client.telemetry.latest({device: ["power", "status"]}))
        if set(latest) != {device}:
            self._problem("latest telemetry of the wrong device")

    def _query(self) -> TimeseriesQuery:
        return TimeseriesQuery(
            start=NOON,
            end=NOON + timedelta(minutes=QUERY_ROWS),
            granularity=timedelta(minutes=1),
            series=[Series(self._device(), ["power"], aggregation="avg")],
        )

    async def _timeseries(self, client: EnapterClient) -> None:
        table = await self._timed(client.telemetry.query_timeseries(self._query()))
        if len(table.timestamps) != QUERY_ROWS:
            self._problem(f"a time series of {len(table.timestamps)} rows, not {QUERY_ROWS}: silently short")

    async def _stream_timeseries(self, client: EnapterClient) -> None:
        rows = 0
        async with client.telemetry.stream_timeseries(self._query()) as stream:
            async for batch in stream.batches():
                rows += len(batch.timestamps)
                if self._chance.random() < 0.2:
                    return
        if rows != QUERY_ROWS:
            self._problem(f"a streamed time series of {rows} rows, not {QUERY_ROWS}: silently short")

    async def _start(self, client: EnapterClient) -> None:
        await self._change(lambda tag: client.commands.start(self._device(), "set_mode", _arguments(tag)))

    async def _execute(self, client: EnapterClient) -> None:
        await self._change(lambda tag: client.commands.execute(self._device(), "set_mode", _arguments(tag)))

    async def _run_command(self, client: EnapterClient) -> None:
        await self._change(lambda tag: client.commands.run(self._device(), "set_mode", _arguments(tag)))

    async def _own_site(self, _: EnapterClient) -> None:
        """Create, change, read and delete a site of one's own; never re-sent, so that its name is known."""
        client = self._stage.clients[0]
        own = self.own
        if own is None:
            tag, site = await self._change(lambda tag: client.sites.create(name=tag, timezone="UTC"))
            self.own = OwnSite(site.id, tag)
        elif self._chance.random() < 0.1 or len(own.perhaps) > 5:
            own.deleting = True
            self.own = None
            await self._timed(client.sites.delete(own.site_id))
            self.gone.append(own.site_id)
        elif self._chance.random() < 0.5:
            await self._rename(client, own)
        else:
            site = await self._timed(client.sites.get(own.site_id))
            self.check_name(own, site.name)

    async def _rename(self, client: EnapterClient, own: OwnSite) -> None:
        async def rename(tag: str) -> None:
            own.perhaps.add(tag)  # until it is known, also when this is cancelled
            await client.sites.update(own.site_id, name=tag)

        try:
            tag, _ = await self._change(rename)
        except EnapterError as error:
            own.perhaps -= {tag for tag in own.perhaps if self._book.told[int(tag.partition("-")[2])] == Told.NOT_DONE}
            raise error
        own.perhaps.discard(tag)
        own.name = tag

    def check_name(self, own: OwnSite, name: str | None) -> None:
        """Judge a name that was read."""
        if name != own.name and name not in own.perhaps:
            self._problem(f"a site is called {name}, after {own.name} was acknowledged")

    async def _rule(self, client: EnapterClient) -> None:
        """Create a rule, switch it, delete it."""
        site_id, script = self._stage.site_id, RuleScript(code="-- nothing")
        _, rule = await self._change(lambda tag: client.rules.create(slug=tag, script=script, site_id=site_id))
        may_repeat = client is self._stage.clients[1]
        # Nothing is cleaned up behind a cancellation: a call made there would be ours to wait for, not the client's.
        with suppress(EnapterError):
            await self._change(
                lambda tag: client.rules.update(rule.id, slug=tag, site_id=site_id), may_repeat=may_repeat
            )
        with suppress(EnapterError):
            await self._timed(client.rules.disable(rule.id, site_id=site_id))
        await self._timed(client.rules.delete(rule.id, site_id=site_id))
        try:
            await self._timed(client.rules.get(rule.id, site_id=site_id))
        except NotFoundError:
            return
        self._problem(f"rule {rule.id} is there after its deletion was acknowledged")

    async def _configure(self, client: EnapterClient) -> None:
        await self._change(
            lambda tag: client.configuration.update(self._device(), "limits", set={"contacts": [tag]}),
            may_repeat=client is self._stage.clients[1],
        )

    async def _follow(self, client: EnapterClient) -> None:
        """Follow a device for two frames, or for a moment."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(1.5):
                async with client.telemetry.follow(self._device(), timeout=self._stage.timeout) as stream:
                    async for _ in stream:
                        if self._chance.random() < 0.5:
                            break
        except TimeoutError:
            pass  # ours, above
        self._stage.overrun = max(self._stage.overrun, time.monotonic() - began - 1.5 - FAREWELL)


def _arguments(tag: str) -> dict[str, JSON]:
    return {"mode": "auto", "modules": [tag]}


def clients_of(client: EnapterClient) -> list[EnapterClient]:
    """Return the client, a copy that re-sends converging changes, and a copy that sends everything once."""
    return [
        client,
        client.with_options(retry=RetryPolicy(resend_converging=True)),
        client.with_options(retry=RetryPolicy.none()),
    ]
