"""The WSGI application of docs/how-to/blocking.md works in a server with threads."""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

from enapter_async.simulator import Fault, SimulatorControl

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "blocking.md"


class Server(ThreadingMixIn, WSGIServer):
    """Answers each request in a thread."""


class QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        pass


@pytest.fixture
def address(enapter_environment: dict[str, str]) -> Iterator[str]:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (block,) = (block for block in blocks if "def application" in block)
    names: dict[str, Any] = {"__name__": "application"}
    exec(compile(block, "application.py", "exec"), names)
    with make_server("127.0.0.1", 0, names["application"], Server, QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
            names["enapter"].close()


def read(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.enapter_simulator(devices=5)
def test_the_wsgi_application(address: str, enapter_simulator_sync: SimulatorControl) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert [len(names) for names in pool.map(read, [address] * 4)] == [5] * 4
    enapter_simulator_sync.add_fault("listDevices", Fault.answer(403))
    with pytest.raises(urllib.error.HTTPError) as caught:
        read(address)
    with caught.value as answer:
        assert (answer.code, answer.headers["Content-Type"]) == (403, "application/problem+json")
        assert json.load(answer)["outcome"] == "final"
