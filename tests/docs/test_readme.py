"""Every Python snippet of the README and of the docs runs against the simulator, as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from enapter_async.simulator import Simulator

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def snippets() -> Iterator[object]:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for number, block in enumerate(_BLOCK.findall(page.read_text("utf-8")), 1):
            yield pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")


@pytest.mark.parametrize("code", list(snippets()))
async def test_snippet_runs_as_it_stands(code: str, tmp_path: Path) -> None:
    script = tmp_path / "snippet.py"
    script.write_text(code, "utf-8")
    async with Simulator(devices=5) as simulator:
        environment = {
            "ENAPTER_HTTP_API_TOKEN": simulator.token,
            "ENAPTER_HTTP_API_BASE_URL": simulator.url,
            "PATH": "",
            "PYTHONWARNINGS": "error",
        }
        with anyio.fail_after(30):
            result = await anyio.run_process(
                [sys.executable, str(script)], cwd=tmp_path, env=environment, check=False, stderr=subprocess.STDOUT
            )
    assert result.returncode == 0, result.stdout.decode()
