"""Shared by all tests: asyncio is the only backend."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says more of the machine than of the code.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio: the SDK stands on aiohttp."""
    return "asyncio"
