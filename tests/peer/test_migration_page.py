"""The page on moving from the vendor's SDK: the script before and the script after print the same."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from enapter_async.simulator import Simulator

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "migrate.md"


async def printed(script: str, simulator: Simulator) -> list[str]:
    environment = {"ENAPTER_HTTP_API_TOKEN": simulator.token, "ENAPTER_HTTP_API_BASE_URL": simulator.url}
    with anyio.fail_after(30):
        done = await anyio.run_process(
            [sys.executable, "-c", script], env=environment, check=False, stderr=subprocess.STDOUT
        )
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout.decode().splitlines()


async def test_both_scripts_print_the_same() -> None:
    before, after = re.findall(r'^```\w+ title="[^"]+"\n(.*?)^```', PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert "from enapter.http" in before
    assert "from enapter_async" in after
    async with Simulator(devices=20) as simulator:
        expected = await printed(before, simulator)
        assert await printed(after, simulator) == expected
    assert len(expected) > 6
