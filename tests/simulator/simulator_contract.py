"""Holding answers against `openapi.yaml`."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

SPEC = Path(__file__).parents[1] / "data" / "openapi.yaml"


@functools.cache
def spec() -> dict[str, Any]:
    """Read the specification."""
    return yaml.safe_load(SPEC.read_text())


@functools.cache
def operations() -> dict[str, dict[str, Any]]:
    """List every operation by its operationId, with method and path."""
    return {
        operation["operationId"]: operation | {"method": method.upper(), "path": path}
        for path, methods in spec()["paths"].items()
        for method, operation in methods.items()
    }


@functools.cache
def _registry() -> Registry[Any]:
    return Registry().with_resource("urn:spec", DRAFT202012.create_resource(spec()))


def _resolve(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        target: Any = spec()
        for key in node["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        node = target
    return node


@functools.cache
def _validator(text: str) -> Draft202012Validator:
    schema = json.loads(text.replace('"#/components', '"urn:spec#/components'))
    return Draft202012Validator(schema, registry=_registry())


def check_value(schema: dict[str, Any], value: Any) -> None:
    """Check a value against a schema of the specification."""
    _validator(json.dumps(schema)).validate(value)


def check_answer(operation_id: str | None, status: int, content_type: str, body: bytes) -> None:
    """Check that the specification allows an answer of an operation; None is a path that does not exist."""
    if operation_id is None:
        check_value({"$ref": "#/components/schemas/Errors"}, json.loads(body))
        return
    responses = operations()[operation_id]["responses"]
    assert str(status) in responses or status >= 300, f"{operation_id} never answers {status}"
    content = _resolve(responses.get(str(status), responses["default"])).get("content", {})
    if not body:
        assert not content or status == 200, f"{operation_id} {status} has a body"
        return
    assert content_type in content, f"{operation_id} {status}: {content_type}"
    if content_type == "application/json":
        check_value(content[content_type]["schema"], json.loads(body))
