"""The specification as a judge: every exchange, in both directions, against openapi.yaml by openapi-core."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import yaml
from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from werkzeug.datastructures import Headers as WerkzeugHeaders
from werkzeug.datastructures import ImmutableMultiDict

from enapter_async._protocol.request import Answer, Request
from enapter_async._transport.http import HttpTransport

SPECIFICATION = Path(__file__).parents[1] / "data" / "openapi.yaml"
LATEST = "/v3/telemetry/latest"
HOST = "https://api.enapter.com"


@cache
def document() -> dict[str, Any]:
    """Return the specification, with the site-scoped twins of its paths written out."""
    loaded: dict[str, Any] = yaml.safe_load(SPECIFICATION.read_text("utf-8"))
    for path, methods in list(loaded["paths"].items()):
        for method, operation in methods.items():
            scoped = operation.get("x-site-scoped-path") if isinstance(operation, dict) else None
            if scoped is None or method in loaded["paths"].get(scoped, {}):
                continue
            twin = copy.deepcopy(operation)
            twin["operationId"] += "OfSite"
            twin.setdefault("parameters", []).append({"$ref": "#/components/parameters/SiteId"})
            loaded["paths"].setdefault(scoped, {})[method] = twin
        del path
    # openapi-core knows deepObject only with named properties, and here the names are device IDs: see `judge`.
    loaded["paths"][LATEST]["get"]["parameters"][0]["required"] = False
    _allow_bytes(loaded)
    return loaded


def _allow_bytes(part: Any) -> None:
    """Take the schema away from archives: openapi-core knows `format: binary` for text only."""
    if isinstance(part, dict):
        if part.get("schema") == {"type": "string", "format": "binary"}:
            part["schema"] = {}
        for one in part.values():
            _allow_bytes(one)
    elif isinstance(part, list):
        for one in part:
            _allow_bytes(one)


@cache
def api() -> OpenAPI:
    """Return the specification, ready to judge."""
    return OpenAPI.from_dict(document())


class SentRequest:
    """A request of ours, as openapi-core wants to see it."""

    def __init__(self, request: Request, headers: dict[str, str]) -> None:
        self.host_url = HOST
        self.path = "/" + request.path
        self.full_url_pattern = HOST + self.path
        self.method = request.operation.method.lower()
        self.body = request.body
        self.content_type = request.content_type or ""
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(parse_qsl(request.query, keep_blank_values=True)),
            header=WerkzeugHeaders(list(headers.items())),
            cookie=ImmutableMultiDict(),
        )


class ReceivedAnswer:
    """An answer of the simulator, as openapi-core wants to see it."""

    def __init__(self, answer: Answer) -> None:
        self.data = answer.body
        self.status_code = answer.status
        self.content_type = (answer.headers.get("Content-Type") or "").split(";")[0]
        self.headers = WerkzeugHeaders(answer.headers.items())


def judge(request: Request, headers: dict[str, str], answer: Answer) -> None:
    """Raise unless request and answer are both what the specification says."""
    sent = SentRequest(request, headers)
    if sent.path == LATEST:
        names = [name for name in sent.parameters.query if name != "relevance_interval"]
        assert names
        assert all(name.startswith("devices[") and name.endswith("]") for name in names)
    if answer.status < 400:
        api().validate_request(sent)
    api().validate_response(sent, ReceivedAnswer(answer))


class Exchanges(list[tuple[Request, Answer]]):
    """Everything that was sent and received."""

    @property
    def operations(self) -> set[str]:
        """Names of the operations that were sent."""
        return {request.operation.name for request, _ in self}


def judge_exchanges(monkeypatch: pytest.MonkeyPatch) -> Exchanges:
    """Judge every exchange from now on, and keep it."""
    kept = Exchanges()
    exchange = HttpTransport.send

    async def judged(self: HttpTransport, request: Request, headers: Mapping[str, str], **options: Any) -> Answer:
        answer = await exchange(self, request, headers, **options)
        kept.append((request, answer))
        judge(request, dict(headers), answer)
        return answer

    monkeypatch.setattr(HttpTransport, "send", judged)
    return kept
