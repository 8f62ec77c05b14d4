"""The reference page that lists every method with its requests, safety class and role.

`python -m tests.docs.test_operations_page` writes its tables.
"""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from pathlib import Path
from typing import Any

import pytest

from enapter_async import resources
from enapter_async._protocol.request import Operation
from enapter_async._streaming import timeseries
from enapter_async.simulator._server.resources import OPERATIONS
from tests.contract.specification import document
from tests.contract.test_every_operation_is_reached import LEFT_OUT, reached

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "operations.md"
_BEGIN = "<!-- generated: python -m tests.docs.test_operations_page -->\n"
_HEADER = "| method | requests | safety | role |\n|---|---|---|---|\n"

_ROLES = {
    "none (anonymous)": "none, no token needed",
    "authenticated user": "any user",
    "authenticated user (becomes INSTALLER on the new site)": "any user",
    "manifest: access_level of the command (default user)": "access level of the command, USER by default",
    "manifest: access_level of the group (default user)": "access level of the group, USER by default",
    "READONLY, then per attribute: access_level (default readonly)": "READONLY, and per attribute its access level",
    "READONLY, then per property: access_level (default readonly)": "READONLY, and per property its access level",
    "READONLY, then per command: read_access_level": "READONLY, and per command its read access level",
    "unknown": "not documented",
    "unknown (at least READONLY)": "not documented, at least READONLY",
    "unknown (feature must be enabled in the Gateway's settings)": "not documented",
    "unknown (likely platform operators or a Gateway)": "not documented",
}
"""The specification's words for the lowest role, in those of the page."""

_RULE_ENGINE = "unknown (reading at least READONLY; changing presumably OWNER)"


def safety_classes() -> dict[str, str]:
    """Return the safety class of every method that is one operation."""
    modules = [
        timeseries,
        *(importlib.import_module(f"{resources.__name__}.{m.name}") for m in pkgutil.iter_modules(resources.__path__)),
    ]
    return {
        value.name: value.safety.name
        for module in modules
        for value in vars(module).values()
        if isinstance(value, Operation)
    }


def described() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Return method, path and description of every operation of the specification, by its ID."""
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
        if isinstance(operation, dict) and "operationId" in operation
    }


def lowest_role(method: str, operation: dict[str, Any]) -> str:
    """Return the lowest role in the words of the page."""
    written = operation["x-min-role"]
    if written == _RULE_ENGINE:
        return "not documented, " + ("at least READONLY" if method == "GET" else "presumably OWNER")
    return _ROLES.get(written, written)


def request_of(operation_id: str, method: str, path: str, operation: dict[str, Any]) -> str:
    """Return one line of the column of requests."""
    servers = operation["x-availability"]
    only = f" ({'Cloud' if servers == ['cloud'] else 'Gateway'} only)" if len(servers) == 1 else ""
    return f"`{operation_id}`: {method} `{path}`{only}"


async def table() -> str:
    """Return the tables as they have to be, one for each service; of several roles, the most detailed."""
    methods: dict[str, list[str]] = {}
    served = {operation.id for operation in OPERATIONS}
    for operation, names in (await reached()).items():
        for name in names if operation in served else ():  # not where one operation is served under two paths
            methods.setdefault(name, []).append(operation)
    safety, specified = safety_classes(), described()
    rows: dict[str, list[str]] = {}
    for name, operations in sorted(methods.items()):
        entries = [(operation, *specified[operation]) for operation in sorted(operations)]
        requests = "<br>".join(request_of(*entry) for entry in entries)
        role = max((lowest_role(method, operation) for _, method, _, operation in entries), key=len)
        service, _, method = name.partition(".")
        rows.setdefault(service, []).append(f"| `{method}` | {requests} | {safety[name]} | {role} |\n")
    return "\n".join(f"## {service}\n\n{_HEADER}{''.join(lines)}" for service, lines in rows.items())


@pytest.mark.anyio
async def test_each_method_and_operation_is_on_it() -> None:
    assert PAGE.read_text("utf-8").partition(_BEGIN)[2] == await table()


def test_its_names_are_those_of_the_simulator() -> None:
    text = PAGE.read_text("utf-8")
    assert {operation.id for operation in OPERATIONS if f"`{operation.id}`" not in text} <= set(LEFT_OUT)


if __name__ == "__main__":
    head = PAGE.read_text("utf-8").partition(_BEGIN)[0]
    PAGE.write_text(head + _BEGIN + asyncio.run(table()), "utf-8")
