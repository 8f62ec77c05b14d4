"""A server that gives prepared answers, for what the simulator would never say."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import attrs
from click.testing import Result
from served import invoke

NOT_FOUND = {"errors": [{"code": "not_found", "message": "not found"}]}


@attrs.frozen
class Answering:
    """A server; `requests` are the method, target and body of those it got."""

    url: str
    requests: list[tuple[str, str, bytes]]

    def run(self, *arguments: str, **variables: str | None) -> Result:
        environment = {"ENAPTER_HTTP_API_TOKEN": "secret", "ENAPTER_HTTP_API_BASE_URL": self.url}
        return invoke(*arguments, **environment, **variables)


@contextmanager
def answering(answers: Mapping[str, Any], *, status: int = 200) -> Iterator[Answering]:
    """Run a server that answers paths with JSON, bytes, or bytes and headers, and others with the 404 of the API."""
    requests: list[tuple[str, str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            requests.append((self.command, self.path, body))
            path = urlsplit(self.path).path
            found = answers.get(path)
            found, headers = found if isinstance(found, tuple) else (found, {})
            sent = found if isinstance(found, bytes) else json.dumps(found if path in answers else NOT_FOUND).encode()
            self.send_response(status if path in answers else 404)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(sent)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer  # noqa: N815 - names of http.server

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Answering(f"http://127.0.0.1:{server.server_port}", requests)
        finally:
            server.shutdown()
            thread.join()
