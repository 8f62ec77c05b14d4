"""Evaluates the markers of a test for the fixtures of the pytest plugin."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from enapter_async.simulator import FaultPlan, Simulator

SIMULATOR: Final = pytest.StashKey["Simulator"]()
"""The simulator of a test, for its report."""

_SHOWN_REQUESTS: Final = 50


def is_async(node: pytest.Item) -> bool:
    """Return whether a test is `async def` and run by a pytest plugin."""
    from unittest import TestCase

    if not isinstance(node, pytest.Function) or (node.cls is not None and issubclass(node.cls, TestCase)):
        return False  # `IsolatedAsyncioTestCase` runs its tests in a loop that fixtures cannot use
    return inspect.iscoroutinefunction(inspect.unwrap(_find_inner_test(node.obj)))


def _find_inner_test(function: Any) -> Any:
    """Return the function below `@given` of Hypothesis, or the function itself."""
    inner = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    # anyio replaces the inner test when it runs, and a parametrized test runs several times.
    return getattr(inner, "_anyio_original_func", inner)


def read_options(node: pytest.Item, marker: str) -> dict[str, Any]:
    """Merge the keyword arguments of a marker. The marker closest to the test takes precedence."""
    options: dict[str, Any] = {}
    for mark in node.iter_markers(marker):
        if mark.args:
            raise pytest.UsageError(f"@pytest.mark.{marker} accepts only keyword arguments")
        options = {**mark.kwargs, **options}
    if marker == "enapter_simulator" and "faults" in options:
        raise pytest.UsageError("script faults with @pytest.mark.enapter_faults(...), or with the fixture itself")
    return options


def read_faults(node: pytest.Item) -> FaultPlan:
    """Create the fault plan from the markers of a test."""
    from enapter_async.simulator import FaultPlan

    plan = FaultPlan()
    for mark in node.iter_markers("enapter_faults"):
        try:
            plan.on(*mark.args, **mark.kwargs)
        except (TypeError, ValueError) as error:
            raise pytest.UsageError(f"enapter_faults: {error}") from None
    return plan


def list_requests(simulator: Simulator) -> str:
    """List the latest requests of a simulator, for the report of a failed test."""
    records = simulator.requests
    lines = [
        f"{record.operation or 'no operation'}: {record.method} {record.path} -> {record.status or 'no response'}"
        + (f" (fault: {record.fault}, {'applied' if record.applied else 'not applied'})" if record.fault else "")
        for record in records[-_SHOWN_REQUESTS:]
    ]
    if len(records) > _SHOWN_REQUESTS:
        lines.insert(0, f"... {len(records) - _SHOWN_REQUESTS} earlier ones")
    return "\n".join(lines) or "none"
