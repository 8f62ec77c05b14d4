"""Blueprints (reference.md, Blueprints)."""

from __future__ import annotations

import asyncio
from email.message import Message
from typing import Any

from aiohttp import web

from ..errors import Refusal, not_found, unprocessable
from ..exchange.call import Call
from ..exchange.responses import json_response, zip_response
from ..manifests.archives import compiled, original, read_archive, read_files, write_archive
from ..operations import Operations
from ..roles import Role
from ..times import format_time
from ..world.entities import Blueprint

operations = Operations()

_PROFILES = write_archive(
    {
        "profiles/lib/device.yml": b"display_name: Device\nproperties:\n  serial_number:\n    type: string\n",
        "profiles/lib/energy/power.yml": b"display_name: Power\ntelemetry:\n  power:\n    type: float\n",
    }
)


def _render(blueprint: Blueprint) -> dict[str, Any]:
    answer: dict[str, Any] = {"id": blueprint.id, "created_at": format_time(blueprint.created_at)}
    return answer | {"full_names": blueprint.full_names} if blueprint.full_names else answer


def _archive(call: Call) -> bytes:
    """Return the archive of a body: the raw bytes, or the part `data` (reference.md, Known quirks 3)."""
    data = call.content
    if call.request.content_type == "multipart/form-data":
        data = form_part(call.request.headers["Content-Type"], data, "data")
    if not data:
        raise Refusal(400, "the body is empty; expected a zip archive", code="invalid_body")
    return data


def form_part(content_type: str, content: bytes, name: str) -> bytes:
    """Cut one part out of a multipart form.

    Raises:
        Refusal: The part does not exist (400).
    """
    boundary = _parameter("Content-Type", content_type, "boundary")
    if boundary:
        for part in (b"\r\n" + content).split(b"\r\n--" + boundary.encode())[1:]:
            head, found, body = part.partition(b"\r\n\r\n")
            for line in head.decode("utf-8", "replace").split("\r\n"):
                header, _, value = line.partition(":")
                is_disposition = found and header.strip().lower() == "content-disposition"
                if is_disposition and _parameter("Content-Disposition", value, "name") == name:
                    return body
    raise Refusal(400, f"the form has no part {name!r}", code="invalid_body")


def _parameter(header: str, value: str, name: str) -> str | None:
    message = Message()
    message[header] = value.strip()
    found = message.get_param(name, header=header)
    return found if isinstance(found, str) else None


@operations.add("POST", "/v3/blueprints/validate", "validateBlueprint", role=None)
async def validate(call: Call) -> web.Response:
    """Validate an archive. The status is 200 for an invalid one, too."""
    archive = await asyncio.to_thread(read_archive, _archive(call))
    return json_response({"validation_errors": archive.errors} if archive.errors else {})


@operations.add("POST", "/v3/blueprints/upload", "uploadBlueprint")
async def upload(call: Call) -> web.Response:
    """Store an archive. An invalid one is refused with an error for each defect."""
    data = _archive(call)
    archive = await asyncio.to_thread(read_archive, data)
    if archive.errors:
        raise Refusal(422, archive.errors[0], code="invalid_blueprint", more=archive.errors[1:])
    blueprint = call.world.add_blueprint(archive.manifest, archive=data)
    answer = _render(blueprint)
    match call.behaviour.upload_answer:
        case "wrapped":
            return call.created({"blueprint": answer})
        case "flat":
            return call.created(answer)
        case _:
            return call.created({"blueprint_id": answer["id"], "created_at": answer["created_at"]})


def _blueprint(call: Call) -> Blueprint:
    blueprint = call.world.blueprints.get(call.path("blueprint_id"))
    if blueprint is None:
        raise not_found("blueprint")
    return blueprint


@operations.add("GET", "/v3/blueprints/{blueprint_id}", "getBlueprint")
async def get_blueprint(call: Call) -> web.Response:
    """Get a blueprint's metadata."""
    return json_response({"blueprint": _render(_blueprint(call))})


@operations.add("GET", "/v3/blueprints/{blueprint_id}/zip", "downloadBlueprint", role=None)
async def download(call: Call) -> web.Response:
    """Download an archive. The server's default is the compiled view."""
    blueprint = _blueprint(call)
    view = call.query.choice("view", ("ORIGINAL", "COMPILED"), "COMPILED")
    make = original if view == "ORIGINAL" else compiled
    return zip_response(await asyncio.to_thread(make, blueprint), blueprint.id)


@operations.add("GET", "/v3/blueprints/{namespace}/{name}/{tag}", "getBlueprintByName")
async def get_by_name(call: Call) -> web.Response:
    """Get the metadata of a named blueprint."""
    blueprint = call.world.find_blueprint(call.path("name"), call.path("namespace"), call.path("tag"))
    if blueprint is None:
        raise not_found("blueprint")
    return json_response({"blueprint": _render(blueprint)})


@operations.add("GET", "/v3/blueprints/device_profiles/download", "downloadDeviceProfiles")
@operations.add("GET", "/v3/blueprints/download_device_profiles", "downloadDeviceProfilesLegacy")
async def download_profiles(call: Call) -> web.Response:
    """Download the device profile library."""
    return zip_response(call.world.device_profiles or _PROFILES, "device_profiles")


@operations.add("POST", "/v3/blueprints/upload_device_profiles", "uploadDeviceProfiles", role=Role.OWNER)
async def upload_profiles(call: Call) -> web.Response:
    """Replace the device profile library."""
    call.require(Role.OWNER, None)
    data = _archive(call)
    try:
        await asyncio.to_thread(read_files, data)
    except ValueError as error:
        raise unprocessable(str(error), code="invalid_archive") from None
    call.world.device_profiles = data
    return json_response({})
