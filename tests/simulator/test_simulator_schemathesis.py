"""Requests that a third party makes up from `openapi.yaml`: no 500, and no answer outside the contract."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from pathlib import Path

import pytest
from simulator_contract import SPEC

from enapter_async.simulator import Simulator

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)
# Left out: `positive_data_acceptance`, as a schema cannot say that an id exists or that a body is a real zip,
# and `negative_data_rejection`, as nulls are accepted where the vendor's SDK sends them.


@pytest.mark.anyio
@pytest.mark.skipif(importlib.util.find_spec("schemathesis") is None, reason="schemathesis is not installed")
async def test_nothing_that_schemathesis_thinks_of_breaks_it(tmp_path: Path) -> None:
    examples = os.environ.get("SCHEMATHESIS_EXAMPLES", "2")
    async with Simulator(devices=8, token="t", command_seconds=0) as sim:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schemathesis.cli", "run", str(SPEC), "--url", sim.url,
            "--header", "X-Enapter-Auth-Token: t", "--max-examples", examples,
            "--phases", "examples,coverage,fuzzing", "--checks", ",".join(CHECKS), "--continue-on-failure",
            "--generation-deterministic", "--no-color",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=tmp_path,
        )  # fmt: skip
        out, _ = await process.communicate()
        assert process.returncode == 0, out.decode()[-6000:]
        assert sum(record.status is not None for record in sim.requests) > 500
