"""The chaos run's server: a simulator in a process of its own, with faults of all kinds and a ledger of effects.

    python -m tests.chaos.server --seed 1 --fault-rate 0.1

prints one line of JSON with its URL, then obeys lines on standard input: `calm` ends the faults, `report` prints
the ledger as JSON, and the end of input ends the process. Its clock for outages is CLOCK_MONOTONIC, as the client's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import re
import select
import sys
import time
from collections import Counter
from weakref import WeakSet

from aiohttp import web

from enapter_async.simulator import Fault, FaultPlan, FaultRule, Simulator
from enapter_async.simulator._server import simulator
from enapter_async.simulator._server.ledger import Ledger, RequestRecord
from enapter_async.simulator._server.operations import Operation
from enapter_async.simulator._server.server import Server
from enapter_async.simulator._server.world.executions import Execution, ExecutionStore
from tests.secrecy import TOKEN

TAG = re.compile(r"chaos-(\d+)")
_KEPT_EXECUTIONS = 2_000
_OUTAGE_EVERY = 5.0
_OUTAGE = 0.2
_SPELL, _SPELL_EVERY = 30, 200
"""Faults, counted: how many of them make a spell in which there are refusals."""
_A_WHILE = 2.0
"""Seconds; longer than a process of a busy machine stands still."""


class EffectLedger(Ledger):
    """Counts by tag what was seen and what was done; only that grows, not the list of requests."""

    def __init__(self) -> None:
        super().__init__(limit=100)
        self.effects: Counter[int] = Counter()
        self.seen: Counter[int] = Counter()
        self.faults: Counter[str] = Counter()
        self.operations: Counter[str] = Counter()

    def close(self, record: RequestRecord) -> None:
        super().close(record)
        self.operations[record.operation or "none"] += 1
        if record.fault:
            self.faults[record.fault] += 1
        if record.method != "GET" and (found := TAG.search(record.body.decode("utf-8", "replace"))):
            tag = int(found[1])
            self.seen[tag] += 1
            # Commands are counted where they are executed: their answers come later, if at all.
            if record.applied and record.operation not in ("executeCommand", "createExecution"):
                self.effects[tag] += 1


class CountedExecutions(ExecutionStore):
    """Counts every execution by the tag in its arguments, and forgets the oldest."""

    def __init__(self, effects: Counter[int]) -> None:
        super().__init__()
        self._effects = effects

    def add(self, execution: Execution) -> None:
        super().add(execution)
        if found := TAG.search(json.dumps(execution.sent_arguments)):
            self._effects[int(found[1])] += 1
        while len(self._executions) > _KEPT_EXECUTIONS:
            del self._executions[next(iter(self._executions))]


class WireCount:
    """Requests that somebody waits for: come in, not answered, on a connection that is still open.

    The ledger's own count includes handlers whose client has hung up; those hold no slot of the client's. That it has
    may show late: the client's event loop closes a connection one step after it gave it up, and each side may stand
    still before that step. So a new peak counts when, a while later, those in it were answered or still wait.
    """

    def __init__(self) -> None:
        self.open: dict[RequestRecord, web.Request] = {}
        self.abandoned: WeakSet[RequestRecord] = WeakSet()
        self.peak = 0

    def begin(self, record: RequestRecord, request: web.Request) -> None:
        self.open[record] = request
        if len(self.open) > self.peak:
            waited_for = [record for record in self.open if not record.streamed and not self._is_abandoned(record)]
            if len(waited_for) > self.peak:
                asyncio.get_running_loop().call_later(_A_WHILE, self.settle, waited_for)

    def end(self, record: RequestRecord) -> None:
        if self._is_abandoned(record):
            self.abandoned.add(record)
        del self.open[record]

    def settle(self, waited_for: list[RequestRecord]) -> None:
        self.peak = max(self.peak, sum(not self._is_abandoned(record) for record in waited_for))

    def _is_abandoned(self, record: RequestRecord) -> bool:
        if record not in self.open:
            return record in self.abandoned
        transport = self.open[record].transport
        if transport is None or transport.is_closing():
            return True
        poll = select.poll()  # what the system knows: this process may not have come to reading that yet
        poll.register(transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))


wire = WireCount()


class CountingServer(Server):
    """Keeps the wire count."""

    async def _serve_recorded(
        self, request: web.Request, operation: Operation | None, record: RequestRecord
    ) -> web.StreamResponse:
        wire.begin(record, request)
        try:
            return await super()._serve_recorded(request, operation, record)
        finally:
            wire.end(record)


class RandomFaults(FaultPlan):
    """A seeded mix of everything that goes wrong between a client and a server that does not lie.

    A refusal (4xx) means that nothing was done, so it comes before the handler; what is lost, late or garbled
    comes before or after it.
    """

    def __init__(self, rate: float, seed: int) -> None:
        super().__init__()
        self.rate = rate
        self._random = random.Random(seed)

    def next(self, operation: str | None, method: str, path: str) -> FaultRule | None:
        chance = self._random
        if chance.random() >= self.rate:
            return None
        self.injected += 1
        # Refusals come in spells: between them the client is to find its full speed again.
        if self.injected % _SPELL_EVERY < _SPELL and chance.random() < 0.5:
            return FaultRule(fault=self._refusal(method), when="before")
        if chance.random() < 0.1:
            garbage = (b"", b"{", b"null", b'{"errors": 5}', b"[[[[", b"\xff\xfe", b'{"site": {"id": null}}')
            return FaultRule(fault=Fault.answer(200, chance.choice(garbage)), when="after")
        fault = chance.choice(
            (
                Fault.answer(500),
                Fault.html(502),
                Fault.html(503),
                Fault.answer(503, headers={"Retry-After": chance.choice(("0", "1", "3600", "soon", "-1"))}),
                Fault.html(504),
                Fault.reset(),
                Fault.close(),
                Fault.truncate(chance.randint(0, 200)),
                Fault.hang(chance.uniform(0.05, 3.0)),
                Fault.delay(chance.uniform(0.01, 1.5)),
                Fault.drip(chance.uniform(0.0, 0.005)),
            )
        )
        return FaultRule(fault=fault, when=chance.choice(("before", "after")))

    def _refusal(self, method: str) -> Fault:
        chance = self._random
        if chance.random() < 0.7:
            return Fault.rate_limited(chance.choice((None, None, 0, 0.2, 1, "soon", "nan", "-5")))
        # "Not found" would be a lie about what a delete that is sent again finds.
        return Fault.answer(chance.choice((400, 403, 409, 422) if method == "DELETE" else (400, 403, 404, 409, 422)))


class Defects(logging.Handler):
    """Counts what the simulator logs as its own defects: then the run would prove nothing."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(self.format(record)[-2000:])


async def outages(running: Simulator, plan: RandomFaults, happened: list[tuple[float, float]]) -> None:
    """Stop listening now and then: connections are refused, and what was under way is cut."""
    while True:
        await asyncio.sleep(_OUTAGE_EVERY)
        if plan.rate:
            began = time.monotonic()
            await running.stop()
            await asyncio.sleep(_OUTAGE)
            await running.start()
            happened.append((began, time.monotonic()))


async def serve(seed: int, rate: float) -> None:
    """Run until standard input ends."""
    defects = Defects()
    logging.getLogger("enapter_async.simulator").addHandler(defects)
    simulator.Server = CountingServer  # type: ignore[attr-defined]
    plan, happened = RandomFaults(rate, seed), list[tuple[float, float]]()
    running = Simulator(
        seed=seed, devices=20, token=TOKEN, faults=plan, command_seconds=0.05, stream_interval=0.1, latency=(0, 0.005)
    )
    ledger = running.ledger = EffectLedger()
    running.world.executions = CountedExecutions(ledger.effects)
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with running:
        breaking = loop.create_task(outages(running, plan, happened))
        print(json.dumps({"url": running.url}), flush=True)
        while line := (await lines.readline()).strip():
            if line == b"calm":
                plan.rate = 0.0
                breaking.cancel()
                await asyncio.wait([breaking])
                await running.start() if running._runner is None else None
                print("{}", flush=True)
            elif line == b"report":
                print(json.dumps(_report(running, ledger, defects, happened)), flush=True)
        breaking.cancel()


def _report(
    running: Simulator, ledger: EffectLedger, defects: Defects, happened: list[tuple[float, float]]
) -> dict[str, object]:
    return {
        "effects": ledger.effects,
        "seen": ledger.seen,
        "faults": ledger.faults,
        "operations": ledger.operations,
        "requests": ledger.total,
        "peak_in_flight": wire.peak,
        "outages": happened,
        "defects": defects.messages,
        "sites": {site.id: site.name for site in running.world.sites.values()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fault-rate", type=float, default=0.1)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.seed, arguments.fault_rate))


if __name__ == "__main__":
    main()
