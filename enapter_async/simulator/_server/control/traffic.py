"""The simulator as a whole, and the requests that came in."""

from __future__ import annotations

import asyncio

from ..ledger import Ledger, RequestRecord
from ..resources import OPERATIONS
from .faults import check_operation
from .models import OperationInfo, StatusInfo
from .routing import Exchange, Payload, Routes
from .structure import unstructure
from .views import show_request

routes = Routes()

_MOST_REQUESTS = 1_000
_LONGEST_WAIT = 60.0


@routes.add("GET", "/status")
async def get_status(exchange: Exchange) -> Payload:
    """Describe the simulator as a whole."""
    simulator = exchange.simulator
    ledger = simulator.ledger
    status = StatusInfo(
        url=simulator.url,
        token=simulator.token,
        mode=simulator.behaviour.mode,
        seed=simulator.world.seed,
        sites=len(simulator.world.sites),
        devices=len(simulator.world.devices),
        requests=ledger.total,
        in_flight=ledger.in_flight,
        peak_in_flight=ledger.peak_in_flight,
        streams=ledger.streams,
        faults_injected=simulator.faults.injected,
    )
    return {"status": unstructure(status)}


@routes.add("GET", "/operations")
async def list_operations(exchange: Exchange) -> Payload:
    """List the operations of the API that this simulator serves."""
    mode = exchange.simulator.behaviour.mode
    served = {operation.id: operation for operation in OPERATIONS if operation.served_in(mode)}
    shown = [OperationInfo(id=item.id, method=item.method, path=item.path) for item in served.values()]
    return {"operations": unstructure(sorted(shown, key=lambda item: item.id))}


# Requests


@routes.add("GET", "/requests")
async def list_requests(exchange: Exchange) -> Payload:
    """List requests, oldest first. With `wait`, wait for the first one that is answered."""
    ledger, operation = exchange.simulator.ledger, exchange.text("operation")
    after = int(exchange.number("after", 0, 1e12))
    limit = max(1, int(exchange.number("limit", _MOST_REQUESTS, _MOST_REQUESTS)))
    wait = exchange.number("wait", 0.0, _LONGEST_WAIT)
    check_operation(operation)
    if wait:
        await _wait_for_answer(exchange, after, operation, wait)
    found = _requests(ledger, after, operation)
    shown = [unstructure(show_request(record, sequence)) for sequence, record in found[-limit:]]
    return {"requests": shown, "last": ledger.total}


@routes.add("DELETE", "/requests", status=204)
async def forget_requests(exchange: Exchange) -> Payload:
    """Forget the requests so far."""
    exchange.simulator.ledger.clear()
    return None


def _requests(ledger: Ledger, after: int, operation: str | None) -> list[tuple[int, RequestRecord]]:
    first = ledger.forgotten
    records = ledger.records[max(0, after - first) :]
    numbered = enumerate(records, max(first, after) + 1)
    return [(sequence, record) for sequence, record in numbered if operation in (None, record.operation)]


async def _wait_for_answer(exchange: Exchange, after: int, operation: str | None, seconds: float) -> None:
    ledger = exchange.simulator.ledger
    stopping = asyncio.ensure_future(exchange.stopping.wait())
    try:
        async with asyncio.timeout(seconds):
            while not any(record.duration is not None for _, record in _requests(ledger, after, operation)):
                changed = asyncio.ensure_future(ledger.changed.wait())
                try:
                    await asyncio.wait((changed, stopping), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changed.cancel()
                if stopping.done():
                    return
    except TimeoutError:
        pass
    finally:
        stopping.cancel()
