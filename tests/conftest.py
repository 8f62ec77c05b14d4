"""Shared by all tests: asyncio is the only backend."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio: the SDK stands on aiohttp."""
    return "asyncio"
