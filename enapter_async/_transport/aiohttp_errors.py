"""Conversion of aiohttp's exceptions into errors of the SDK: what failed, where, and whether anything was sent."""

from __future__ import annotations

import re
import ssl
from typing import Final

import aiohttp

from enapter_async.errors import (
    ConnectError,
    ConnectionLostError,
    NameResolutionError,
    TLSError,
    TransportError,
)

_IN_EVERY_ANSWER: Final = ("got more than", "too many headers")
"""Parser errors caused by headers that a server or proxy puts into every response."""
_PASSING: Final = frozenset({408, 425, 429})
_QUOTE: Final = re.compile(r":?\s+(?:b?['\"]|bytearray\()")
_WORDS: Final = re.compile(r"[A-Z][A-Za-z0-9 ,/:()'.-]{5,150}").fullmatch


def convert_error(error: BaseException, *, sent: bool, phase: str) -> TransportError:
    """Return the SDK's error for an exception of aiohttp. It keeps only text that contains no headers.

    Call it inside the `except` block and raise the result after leaving it. Then neither `__cause__` nor
    `__context__` keeps the original, whose arguments contain the request's headers.

    Args:
        error: Exception of aiohttp.
        sent: Whether anything may have reached the server.
        phase: `wait` or `body`. If nothing was sent, the error has `connect` instead.
    """
    failed = _connecting(error, sent=sent)
    if failed is not None:
        return failed
    if isinstance(error, aiohttp.ClientPayloadError):
        return ConnectionLostError("the body was cut off or malformed", phase="body")
    if isinstance(error, aiohttp.ClientResponseError):
        complaint = _shorten_complaint(error.message)
        # Headers that a server sends with every response would break a retry too.
        permanent = complaint.startswith(_IN_EVERY_ANSWER)
        return ConnectionLostError(
            f"the response was not valid HTTP{': ' + complaint if complaint else ''}", phase=phase, permanent=permanent
        )
    if sent:
        return ConnectionLostError(f"the connection was lost: {_reason(error)}", phase=phase)
    return ConnectionLostError(f"the request could not be sent: {_reason(error)}", phase="connect", outcome="not_sent")


def _connecting(error: BaseException, *, sent: bool) -> ConnectError | None:
    """Return the error for a connection that was not established."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ConnectError("no connection in time")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return TLSError(f"the certificate of {error.host} was not accepted: {error.certificate_error}")
    if isinstance(error, aiohttp.ClientConnectorError):
        return _connector_failure(error)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        passing = error.status >= 500 or error.status in _PASSING
        return ConnectError(f"the proxy answered with status {error.status}", permanent=not passing)
    if isinstance(error, ssl.SSLError) and not sent:
        return TLSError(f"the TLS handshake failed: {_reason(error)}")
    return None


def _shorten_complaint(message: str) -> str:
    """Return aiohttp's complaint without the text that it quotes from the response, which may contain a secret."""
    words = _QUOTE.split(message, maxsplit=1)[0].split("\n\n", 1)[0]
    text = " ".join(words.split()).rstrip(" :.")
    return text[0].lower() + text[1:] if _WORDS(text) else ""


def _connector_failure(error: aiohttp.ClientConnectorError) -> ConnectError:
    host, why = error.host, _reason(error.os_error)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return NameResolutionError(f"the name {host} could not be resolved: {why}")
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return TLSError(f"the TLS handshake with {host} failed: {why}")
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return ConnectError(f"the proxy could not be reached: {why}")
    return ConnectError(f"no connection to {host}:{error.port}: {why}")


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
