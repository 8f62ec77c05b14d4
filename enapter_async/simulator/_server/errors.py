"""Refusals: what a handler raises and how it looks on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Refusal(Exception):  # noqa: N818 - it is a response, not a defect
    """A response of 4xx or 5xx in the documented envelope.

    Args:
        status: HTTP status.
        message: Human-readable reason.
        code: The error code; None leaves it out, as the devices service does.
        details: Fields specific to the error.
        headers: Further response headers.
        more: Messages of further errors with the same code; several may come at once.
        plain: Answer in plain text instead of the envelope, as relays do.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        details: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        more: Sequence[str] = (),
        plain: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.details = details
        self.headers: dict[str, str] = headers or {}
        self.more = more
        self.plain = plain

    def envelope(self) -> dict[str, Any]:
        """Return the JSON body."""
        answer = envelope(self.message, code=self.code, details=self.details)
        for message in self.more:
            answer["errors"] += envelope(message, code=self.code)["errors"]
        return answer


def envelope(message: str, *, code: str | None = None, details: dict[str, Any] | None = None) -> dict[str, Any]:
    """Build the error envelope of an error."""
    error: dict[str, Any] = {}
    if code is not None:
        error["code"] = code
    error["message"] = message
    if details is not None:
        error["details"] = details
    return {"errors": [error]}


def invalid_parameter(name: str, message: str) -> Refusal:
    """Refuse a query parameter."""
    return Refusal(400, f"{name}: {message}", code="invalid_query_parameter", details={"parameter": name})


def invalid_field(name: str, message: str) -> Refusal:
    """Refuse a field of the body."""
    return Refusal(400, f"{name}: {message}", code="invalid_field", details={"field": name})


def not_found(what: str) -> Refusal:
    """Report that a resource does not exist. Real responses have no code here."""
    return Refusal(404, f"{what} not found")


def no_telemetry() -> Refusal:
    """Report that none of the requested attributes exists. Dashboards take this response as a sign of health."""
    return Refusal(
        404,
        "No requested telemetry attribute exists.",
        code="telemetrypersistence/NO_TELEMETRY_ATTRIBUTES_FOUND",
    )


def conflict(message: str) -> Refusal:
    """Report that an entity already exists or conflicts."""
    return Refusal(409, message, code="already_exists")


def unprocessable(message: str, *, code: str = "unprocessable", details: dict[str, Any] | None = None) -> Refusal:
    """Report that a well-formed request cannot be processed."""
    return Refusal(422, message, code=code, details=details)
