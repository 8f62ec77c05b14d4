"""Faults: a scripted plan for tests, and a seeded mix for endurance."""

from __future__ import annotations

import fnmatch
import itertools
import random
from collections.abc import Collection
from typing import Any, Literal, Self, get_args

import attrs

from .resources import require_operation
from .texts import require_text

Kind = Literal["answer", "reset", "close", "hang", "delay", "truncate", "drip"]
When = Literal["before", "after"]

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr>nginx</body></html>"
_REASONS = {502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable", 504: "504 Gateway Time-out"}


@attrs.frozen
class Fault:
    """A fault of one response. Use the class methods to create one."""

    kind: Kind
    status: int = 200
    body: bytes | None = None
    content_type: str = "application/json"
    headers: dict[str, str] = attrs.field(factory=dict[str, str])
    seconds: float = 0.0
    count: int = 0

    @property
    def name(self) -> str:
        """A short name for records."""
        return f"answer {self.status}" if self.kind == "answer" else self.kind

    @classmethod
    def answer(
        cls,
        status: int,
        body: bytes | str | None = None,
        *,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> Self:
        """Answer with this status instead. Without a body, send the documented envelope."""
        data = body.encode() if isinstance(body, str) else body
        return cls("answer", status, data, content_type, headers or {})

    @classmethod
    def html(cls, status: int) -> Self:
        """Answer with an HTML page, as a proxy does."""
        return cls.answer(status, _HTML.format(_REASONS.get(status, status)), content_type="text/html")

    @classmethod
    def rate_limited(cls, retry_after: float | str | None = None) -> Self:
        """Answer 429, with `Retry-After` if given."""
        return cls.answer(429, headers={} if retry_after is None else {"Retry-After": str(retry_after)})

    @classmethod
    def reset(cls) -> Self:
        """Reset the connection (RST)."""
        return cls("reset")

    @classmethod
    def close(cls) -> Self:
        """Close the connection before the headers."""
        return cls("close")

    @classmethod
    def hang(cls, seconds: float = 30.0) -> Self:
        """Send nothing for a while, then close the connection."""
        return cls("hang", seconds=seconds)

    @classmethod
    def delay(cls, seconds: float) -> Self:
        """Answer as usual, later."""
        return cls("delay", seconds=seconds)

    @classmethod
    def truncate(cls, count: int) -> Self:
        """Announce the whole body, send so many bytes of it, then close the connection."""
        return cls("truncate", count=count)

    @classmethod
    def drip(cls, seconds: float) -> Self:
        """Send the body byte by byte with a pause after each."""
        return cls("drip", seconds=seconds)


def require_fault(fault: object) -> None:
    """Raise an error for anything but a `Fault`.

    Raises:
        TypeError: It is not a `Fault`.
    """
    if not isinstance(fault, Fault):
        raise TypeError(f"fault must be a Fault, such as Fault.answer(503), got {fault!r}")


def _is_fault(rule: object, attribute: object, value: Any) -> None:
    require_fault(value)


def _is_operation(rule: object, attribute: object, value: str | None) -> None:
    if value is not None:
        require_operation(value)


def _is_method(rule: object, attribute: object, value: str | None) -> None:
    if value is not None and str(value).upper() not in METHODS:
        raise ValueError(f"method must be an HTTP method such as GET, or None for any, got {value!r}")


def _is_pattern(rule: object, attribute: object, value: str | None) -> None:
    if value is not None:
        require_text("path", value)


def _is_nth(rule: object, attribute: object, value: Any) -> None:
    numbers = value if hasattr(value, "__iter__") else (value,)
    if value is not None and not all(isinstance(number, int) and number >= 1 for number in numbers):
        raise ValueError(f"nth must be whole numbers from 1, or None for every request, got {value!r}")


def _is_moment(rule: object, attribute: object, value: When) -> None:
    if value not in get_args(When):
        raise ValueError(f"when must be 'before' or 'after', got {value!r}")


@attrs.frozen(kw_only=True)
class FaultRule:
    """When a fault happens.

    Attributes:
        fault: What happens.
        operation: An operationId, or None for any.
        method: An HTTP method, or None for any.
        path: A path pattern with `*` and `?`, or None for any.
        nth: Which of the matching requests, counted from 1, or None for every one.
        when: `before` the handler ran, or `after`: applied, but the response is lost.
    """

    fault: Fault = attrs.field(validator=_is_fault)
    operation: str | None = attrs.field(default=None, validator=_is_operation)
    method: str | None = attrs.field(default=None, validator=_is_method)
    path: str | None = attrs.field(default=None, validator=_is_pattern)
    nth: Collection[int] | None = attrs.field(default=None, validator=_is_nth)
    when: When = attrs.field(default="before", validator=_is_moment)

    def matches(self, operation: str | None, method: str, path: str) -> bool:
        """Return whether the rule matches a request."""
        return (
            (self.operation is None or self.operation == operation)
            and (self.method is None or self.method.upper() == method)
            and (self.path is None or fnmatch.fnmatchcase(path, self.path))
        )


@attrs.define(eq=False)
class PlannedFault:
    """A rule in a plan.

    Attributes:
        number: Identifies the rule in its plan.
        rule: The rule.
        seen: Number of requests that matched.
    """

    number: int
    rule: FaultRule
    seen: int = 0

    @property
    def remaining(self) -> int | None:
        """Number of faults still to come, or None for a rule without an end."""
        return None if self.rule.nth is None else sum(number > self.seen for number in self.rule.nth)


class FaultPlan:
    """A script of faults. Rules are tried in order, and the first that applies wins. All of them count requests.

        plan = FaultPlan().on("executeCommand", Fault.reset(), when="after")
        async with Simulator(faults=plan) as sim: ...

    Args:
        rules: The initial rules. You can add more while the simulator runs.
    """

    def __init__(self, *rules: FaultRule) -> None:
        self._numbers = itertools.count(1)
        self.planned: list[PlannedFault] = []
        self.injected: int = 0
        for rule in rules:
            self.add(rule)

    def on(
        self,
        operation: str | None,
        fault: Fault,
        *,
        method: str | None = None,
        path: str | None = None,
        nth: int | Collection[int] | None = 1,
        when: When = "before",
    ) -> Self:
        """Add a rule; by default for the first matching request from now on. Return the plan itself.

        Raises:
            ValueError: The operation does not exist, or another argument is invalid.
            TypeError: The fault is not a `Fault`.
        """
        chosen = {nth} if isinstance(nth, int) else nth
        self.add(FaultRule(fault=fault, operation=operation, method=method, path=path, nth=chosen, when=when))
        return self

    def add(self, rule: FaultRule) -> PlannedFault:
        """Add a rule, which counts matching requests from now on."""
        planned = PlannedFault(next(self._numbers), rule)
        self.planned.append(planned)
        return planned

    def remove(self, planned: PlannedFault) -> None:
        """Forget one rule."""
        self.planned.remove(planned)

    def clear(self) -> None:
        """Forget all rules."""
        self.planned.clear()

    def next(self, operation: str | None, method: str, path: str) -> FaultRule | None:
        """Return the fault of a request, if it has one."""
        chosen: FaultRule | None = None
        for planned in self.planned:
            rule = planned.rule
            if not rule.matches(operation, method, path):
                continue
            planned.seen += 1
            if chosen is None and (rule.nth is None or planned.seen in rule.nth):
                chosen = rule
        self.injected += chosen is not None
        return chosen


class Chaos:
    """A seeded mix of the faults that real networks have.

    Args:
        rate: Share of requests that fail, from 0 to 1.
        seed: The same seed gives the same sequence.
        hang: Longest silence in seconds.
    """

    def __init__(self, rate: float, seed: int, hang: float = 2.0) -> None:
        if not 0 <= rate <= 1:
            raise ValueError(f"the fault rate must be from 0 to 1, got {rate}")
        self.rate = rate
        self._random = random.Random(seed)  # noqa: S311 - chance, not secrecy
        self._hang = hang

    def next(self) -> FaultRule | None:
        """Return the next request's fault, if it has one."""
        if not self.rate or self._random.random() >= self.rate:
            return None
        fault = self._random.choice(
            (
                Fault.answer(500),
                Fault.html(502),
                Fault.answer(503, headers={"Retry-After": "1"}),
                Fault.html(503),
                Fault.html(504),
                Fault.reset(),
                Fault.close(),
                Fault.truncate(self._random.randint(0, 20)),
                Fault.hang(self._random.uniform(0.1, self._hang)),
            )
        )
        return FaultRule(fault=fault, when=self._random.choice(("before", "after")))
