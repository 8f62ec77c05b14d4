"""Whatever a test here does: no log record shows the token, and nothing is left open."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clocks import SteadyLoop
from tests.secrecy import TOKEN


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Short timeouts are many here, and none may expire because the machine was busy."""
    return "asyncio", {"loop_factory": SteadyLoop}


@pytest.fixture(autouse=True)
def no_token_in_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield
    for record in caplog.get_records("call"):
        assert TOKEN not in caplog.handler.format(record)
