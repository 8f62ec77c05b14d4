"""The fault plan."""

from __future__ import annotations

from typing import get_args

from ..errors import Refusal, not_found
from ..exchange.body import Body
from ..faults import METHODS, Fault, FaultRule, Kind
from ..resources import require_operation
from ..shapes import as_list
from .routing import Exchange, Payload, Routes
from .structure import ShapeError, structure, unstructure
from .views import show_fault

routes = Routes()

_MOST_TIMES = 100_000


@routes.add("GET", "/faults")
async def list_faults(exchange: Exchange) -> Payload:
    """List the rules of the fault plan, in the order in which they are tried."""
    return {"faults": [unstructure(show_fault(planned)) for planned in exchange.simulator.faults.planned]}


@routes.add("POST", "/faults", status=201)
async def add_fault(exchange: Exchange) -> Payload:
    """Add a rule, by default for the next matching request."""
    planned = exchange.simulator.faults.add(_read_rule(exchange.body()))
    return {"fault": unstructure(show_fault(planned))}


@routes.add("DELETE", "/faults", status=204)
async def clear_faults(exchange: Exchange) -> Payload:
    """Remove all rules."""
    exchange.simulator.faults.clear()
    return None


@routes.add("DELETE", "/faults/{number}", status=204)
async def remove_fault(exchange: Exchange) -> Payload:
    """Remove a rule."""
    plan = exchange.simulator.faults
    for planned in plan.planned:
        if str(planned.number) == exchange.path["number"]:
            plan.remove(planned)
            return None
    raise not_found("fault")


def _read_rule(body: Body) -> FaultRule:
    unknown = set(body.fields()) - {"operation", "method", "path", "nth", "times", "when", "fault"}
    if unknown:
        raise body.refuse(min(unknown), "unknown field")
    operation, fault = body.optional_text("operation"), body.object("fault")
    check_operation(operation)
    method = body.optional_text("method")
    if method is not None and method.upper() not in METHODS:
        raise body.refuse("method", "expected an HTTP method such as GET")
    if fault is None:
        raise body.refuse("fault", "is required")
    return FaultRule(
        fault=_read_fault(fault),
        operation=operation,
        method=method,
        path=body.optional_text("path"),
        nth=_read_nth(body),
        when="after" if body.choice("when", ("before", "after"), "before") == "after" else "before",
    )


def _read_nth(body: Body) -> range | frozenset[int] | None:
    """Return which matching requests the rule is for: the next `times`, those of `nth`, or all."""
    fields = body.fields()
    if "times" in fields and "nth" in fields:
        raise body.refuse("times", "give times or nth")
    if "nth" not in fields:
        times = fields.get("times", 1)
        if times is None:
            return None
        if not _is_whole(times) or not 1 <= times <= _MOST_TIMES:
            raise body.refuse("times", f"expected a whole number from 1 to {_MOST_TIMES}, or null for every request")
        return range(1, times + 1)
    nth = fields["nth"]
    if nth is None:
        return None
    numbers = as_list(nth)
    numbers = [nth] if numbers is None else numbers
    if not numbers or not all(_is_whole(number) and number >= 1 for number in numbers):
        raise body.refuse("nth", "expected whole numbers from 1, or null for every request")
    return frozenset(numbers)


def _read_fault(body: Body) -> Fault:
    fields = dict(body.fields())
    kind = fields.get("kind")
    if kind not in get_args(Kind):
        raise body.refuse("kind", f"expected one of {', '.join(get_args(Kind))}")
    text = fields.pop("body", None)
    if text is not None and not isinstance(text, str):
        raise body.refuse("body", "expected a text; JSON as a text too, or binary data as body_base64")
    encoded = fields.pop("body_base64", None)
    try:
        fault = structure(Fault, fields | ({} if encoded is None else {"body": encoded}), "fault")
    except ShapeError as error:
        raise Refusal(400, str(error), code="invalid_field", details={"field": error.path}) from None
    if kind == "answer" and not 200 <= fault.status <= 599:
        raise body.refuse("status", "expected a status from 200 to 599")
    if not 0 <= fault.seconds <= 86_400:
        raise body.refuse("seconds", "expected a number from 0 to 86400")
    if fault.count < 0:
        raise body.refuse("count", "must not be negative")
    if any(char in part for header in fault.headers.items() for part in header for char in "\r\n\0"):
        raise body.refuse("headers", "must not contain line breaks")
    if text is None:
        return fault
    return structure(Fault, fields, given={"body": text.encode("utf-8", "replace")})


def check_operation(operation: str | None) -> None:
    """Refuse the name of an operation that does not exist.

    Raises:
        Refusal: The operation does not exist (400).
    """
    if operation is None:
        return
    try:
        require_operation(operation)
    except ValueError as error:
        raise Refusal(400, str(error), code="invalid_field", details={"field": "operation"}) from None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
