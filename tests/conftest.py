"""Shared by all tests: asyncio is the only backend."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says more of the machine than of the code.
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# Examples are the same in every run, so that a change is judged by what it changes and not by luck;
# `nox -s properties` looks for new ones.
settings.register_profile("project", parent=settings.get_profile("random"), derandomize=True)
settings.load_profile("project")


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio: the SDK stands on aiohttp."""
    return "asyncio"
