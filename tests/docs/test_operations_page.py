"""The page that says which method of a client is which operation of the API.

`python -m tests.docs.test_operations_page` writes it anew.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from enapter_async.simulator._server.resources import OPERATIONS
from tests.contract.test_every_operation_is_reached import LEFT_OUT, reached

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "operations.md"
_BEGIN = "| method | operation |\n|---|---|\n"


async def table() -> str:
    """Return the rows as they have to be."""
    methods: dict[str, list[str]] = {}
    served = {operation.id for operation in OPERATIONS}
    for operation, names in (await reached()).items():
        for name in names if operation in served else ():  # not where one operation is served under two paths
            methods.setdefault(name, []).append(operation)
    for operations in methods.values():
        operations.sort()
    return "".join(
        f"| `{name}` | {', '.join(f'`{operation}`' for operation in operations)} |\n"
        for name, operations in sorted(methods.items())
    )


@pytest.mark.anyio
async def test_each_method_and_operation_is_on_it() -> None:
    assert PAGE.read_text("utf-8").partition(_BEGIN)[2] == await table()


def test_its_names_are_those_of_the_simulator() -> None:
    text = PAGE.read_text("utf-8")
    assert {operation.id for operation in OPERATIONS if f"`{operation.id}`" not in text} <= set(LEFT_OUT)


if __name__ == "__main__":
    head = PAGE.read_text("utf-8").partition(_BEGIN)[0]
    PAGE.write_text(head + _BEGIN + asyncio.run(table()), "utf-8")
