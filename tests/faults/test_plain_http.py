"""A Gateway redirects plain http unless it is asked for (reference.md, section 14)."""

from __future__ import annotations

import pytest

from enapter_async import Safety
from tests.faults.clients import CALLS, GOOD, impatient
from tests.faults.raw_server import RawServer, response, sending

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("safety", CALLS, ids=lambda safety: safety.value)
async def test_plain_http_says_so(safety: Safety) -> None:
    async with RawServer(sending(response(GOOD[safety]))).running() as server, impatient(server) as client:
        await CALLS[safety](client)
    assert server.requests[0].headers["x-enapter-allow-http"] == "true"
