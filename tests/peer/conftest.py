"""The vendor's own SDK as a second opinion; `nox -s peer` installs it."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("enapter", reason="the vendor's SDK is not installed: run `nox -s peer`")

from enapter.http import api

from enapter_async import EnapterClient, Manifest
from enapter_async._duration import parse_duration
from enapter_async.simulator import Simulator


@pytest.fixture(params=["any", "cloud", "gateway"])
async def simulator(request: pytest.FixtureRequest) -> AsyncIterator[Simulator]:
    async with Simulator(devices=70, mode=request.param) as running:
        yield running


@pytest.fixture
async def ours(simulator: Simulator) -> AsyncIterator[EnapterClient]:
    async with EnapterClient(base_url=simulator.url, token=simulator.token) as client:
        yield client


@pytest.fixture
async def theirs(simulator: Simulator) -> AsyncIterator[api.Client]:
    async with api.Client(config=api.Config(base_url=simulator.url, token=simulator.token)) as client:
        yield client


def assert_same(mine: Any, other: Any, path: str = "") -> None:
    """Assert that every field of their object has the same value in ours."""
    if dataclasses.is_dataclass(other):
        for field in dataclasses.fields(other):
            assert_same(getattr(mine, field.name), getattr(other, field.name), f"{path}.{field.name}")
    elif isinstance(other, Mapping):
        raw = mine.raw if isinstance(mine, Manifest) else mine
        assert set(raw) == set(other), path
        for key, value in other.items():
            assert_same(raw[key], value, f"{path}[{key}]")
    elif isinstance(other, list):
        assert len(mine) == len(other), path
        for index, value in enumerate(other):
            assert_same(mine[index], value, f"{path}[{index}]")
    elif isinstance(mine, timedelta):
        assert mine == parse_duration(other), path  # theirs stays text
    elif isinstance(other, enum.Enum):
        assert mine.upper() == other.value.upper(), path
    else:
        assert mine == other, path
