"""Encoding of path segments, so that no value can change the path."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from enapter_async._arguments import refuse_argument
from enapter_async.errors import InvalidArgumentError

_PLAIN: Final = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*").fullmatch
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]").search


def segment(value: object, argument: str) -> str:
    """Return a value percent-encoded as one path segment.

    Every reserved byte is encoded, so that no value can leave its segment.

    Args:
        value: An identifier, slug or name.
        argument: Name of the argument, for the error.

    Raises:
        InvalidArgumentError: The value is not a string, is empty, `.` or `..`, or contains control characters.
    """
    if not isinstance(value, str):
        raise refuse_argument(argument, "must be a string", value)
    if _PLAIN(value):
        return value
    if not value.strip():
        raise InvalidArgumentError(argument, "must not be empty")
    if value in (".", ".."):
        raise InvalidArgumentError(argument, "must not be '.' or '..'")
    if _CONTROL(value):
        raise InvalidArgumentError(argument, "must not contain control characters")
    return _quoted(value, argument, safe="")


def _quoted(value: str, argument: str, *, safe: str) -> str:
    try:
        return quote(value, safe=safe)
    except UnicodeEncodeError:
        pass
    raise InvalidArgumentError(argument, "must be text that can be encoded as UTF-8")


def relative_path(value: object) -> str:
    """Return a path below the base URL, for endpoints that the SDK does not support.

    Raises:
        InvalidArgumentError: The path is empty or absolute, leaves the base URL, or has a query or invalid characters.
    """
    if not isinstance(value, str) or not value.strip("/"):
        raise refuse_argument("path", "must be a path such as v3/devices", value)
    if "://" in value or value.startswith("//") or "\\" in value:
        raise InvalidArgumentError("path", "must be relative to the base URL")
    if "?" in value or "#" in value:
        raise InvalidArgumentError("path", "must not contain a query or a fragment: pass query=")
    if _CONTROL(value) or " " in value:
        raise InvalidArgumentError("path", "must not contain spaces or control characters")
    path = value.removeprefix("/")
    if any(part.replace("%2e", ".").replace("%2E", ".") in (".", "..") for part in path.split("/")):
        raise InvalidArgumentError("path", "must not contain '.' or '..' segments")
    return _quoted(path, "path", safe="/%:@!$&'()*+,;=~")
