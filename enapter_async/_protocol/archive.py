"""Checks that a downloaded zip archive is complete."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import IO

from enapter_async._protocol.request import Answer
from enapter_async.errors import InvalidBodyError


def complete(answer: Answer) -> bytes:
    """Decode a response that is a zip archive.

    Raises:
        InvalidBodyError: Neither the response nor the archive itself proves that it is complete.
    """
    headers = answer.headers
    proven = (
        headers.get("Content-Length") is not None
        or "chunked" in (headers.get("Transfer-Encoding") or "").lower()
        or "gzip" in (headers.get("Content-Encoding") or "").lower()
    )
    if not proven:
        check_end(io.BytesIO(answer.body))
    return answer.body


def check_end(file: Path | IO[bytes]) -> None:
    """Check that a zip archive has its end, which contains its directory.

    Raises:
        InvalidBodyError: The end is missing.
    """
    if not zipfile.is_zipfile(file):
        raise InvalidBodyError("the archive was cut off, or is not a zip archive")
