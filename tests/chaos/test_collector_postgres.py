"""A short run of the collector's ledger test with PostgreSQL; `nox -s collector-chaos` runs it for ten minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.postgres_server import needs_postgres

pytest.importorskip("asyncpg", reason="the extra `postgres` is not installed")
from tests.chaos.collector_postgres import run

pytestmark = pytest.mark.anyio


@needs_postgres
async def test_what_the_database_has_in_the_end_is_what_the_platform_has(tmp_path: Path) -> None:
    result = await run(20, 6, 3, tmp_path)
    assert result["missing"] == []
    assert result["journal"] == 0
    assert isinstance(result["compared"], int)
    assert result["compared"] > 500
