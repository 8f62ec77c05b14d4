"""The page, the description of the control API, and the headers of all responses."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

_FOLDER = Path(__file__).parent
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Nothing from elsewhere, nothing inline, nothing in the frame of another page, nothing kept."""


class StaticFiles:
    """Return the public static files by their path below the prefix. They are read once."""

    def __init__(self) -> None:
        self._files = {
            path.name: (path.read_bytes(), _TYPES[path.suffix]) for path in sorted((_FOLDER / "page").iterdir())
        }
        self._files[""] = self._files.pop("index.html")
        self._files["openapi.json"] = ((_FOLDER / "openapi.json").read_bytes(), "application/json")

    def find(self, name: str) -> web.Response | None:
        """Return the response for a path, or None if no file has it."""
        found = self._files.get(name)
        if found is None:
            return None
        body, content_type = found
        charset = None if content_type == "application/json" else "utf-8"
        return web.Response(body=body, content_type=content_type, charset=charset)
