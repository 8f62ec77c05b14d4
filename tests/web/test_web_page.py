"""docs/how-to/web.md shows the service of the examples, and its tests and its aiohttp application work."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from enapter_async.simulator import Simulator

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs/how-to/web.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
)
SERVICE = (ROOT / "examples" / "fastapi_service.py").read_text("utf-8")


def test_the_page_shows_the_example() -> None:
    # Lines on pages are shorter than those of the code.
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "-q", "--isolated", "--line-length=88", "-"],
        input=SERVICE,
        capture_output=True,
        text=True,
        check=True,
    )
    assert BLOCKS[0] == formatted.stdout


@pytest.mark.skipif(find_spec("fastapi") is None, reason="FastAPI is not installed")
@pytest.mark.parametrize("mode", ["anyio", "auto"])
def test_the_tests_of_the_page_pass(tmp_path: Path, mode: str) -> None:
    if mode == "auto" and find_spec("pytest_asyncio") is None:
        pytest.skip("pytest-asyncio is not installed")
    options = ["-p", "no:asyncio"] if mode == "anyio" and find_spec("pytest_asyncio") is not None else []
    if mode == "auto":
        settings = "asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
        (tmp_path / "pytest.ini").write_text(f"[pytest]\n{settings}", "utf-8")
    (tmp_path / "fastapi_service.py").write_text(SERVICE, "utf-8")
    tests = [block for block in BLOCKS if "def test_" in block]
    for number, block in enumerate(tests):
        text = block.replace("pytestmark = pytest.mark.anyio\n", "") if mode == "auto" else block
        (tmp_path / f"test_{number}.py").write_text(text, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(tests)} passed" in done.stdout


@pytest.mark.anyio
async def test_the_aiohttp_application(monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = (block for block in BLOCKS if "make_app" in block)
    names: dict[str, Any] = {"__name__": "application"}
    exec(compile(block, "application.py", "exec"), names)
    async with Simulator(devices=5) as simulator:
        monkeypatch.setenv("ENAPTER_HTTP_API_TOKEN", simulator.token)
        monkeypatch.setenv("ENAPTER_HTTP_API_BASE_URL", simulator.url)
        device = next(iter(simulator.world.devices))
        async with TestClient(TestServer(names["make_app"]())) as client:
            answer = await client.get(f"/devices/{device}")
            assert (answer.status, (await answer.json())["id"]) == (200, device)
            answer = await client.get("/devices/nobody")
            assert (answer.status, answer.content_type) == (404, "application/problem+json")
            assert (await answer.json(content_type=None))["outcome"] == "final"
