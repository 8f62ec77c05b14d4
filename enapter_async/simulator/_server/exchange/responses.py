"""Build responses."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ..errors import Refusal
from ..shapes import json_text


def json_response(payload: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Answer with JSON."""
    return web.Response(
        body=json_text(payload).encode(), status=status, content_type="application/json", headers=headers
    )


def refusal_response(refusal: Refusal) -> web.Response:
    """Answer with the documented envelope, or in plain text."""
    if refusal.plain:
        return web.Response(text=refusal.message, status=refusal.status, headers=refusal.headers)
    return json_response(refusal.envelope(), refusal.status, refusal.headers)


def zip_response(data: bytes, name: str) -> web.Response:
    """Answer with a zip archive."""
    return web.Response(
        body=data,
        content_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}.zip"'},
    )
