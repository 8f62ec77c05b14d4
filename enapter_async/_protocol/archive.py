"""Zip archives that were downloaded: whether they came whole."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import IO

from enapter_async._protocol.request import Answer
from enapter_async.errors import InvalidBodyError


def complete(answer: Answer) -> bytes:
    """Decode an answer that is a zip archive.

    Raises:
        InvalidBodyError: Nothing but the archive itself proves where it ends, and it does not.
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
    """Check that a zip archive has its end, where its directory stands.

    Raises:
        InvalidBodyError: It has none.
    """
    if not zipfile.is_zipfile(file):
        raise InvalidBodyError("the archive was cut off, or is none")
