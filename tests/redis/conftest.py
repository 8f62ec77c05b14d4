"""A redis-server of the tests' own, where there is one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.redis.server import BINARY, RedisServer, redis_server


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    if BINARY is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    pytest.importorskip("throttled", reason="the extra `redis` is not installed")
    with redis_server() as server:
        yield server
