"""Interprets the close code of a WebSocket, to decide whether to reconnect."""

from __future__ import annotations

from typing import Final

import attrs

_POLICY_VIOLATION: Final = 1008
# Registered with IANA: Unauthorized and Forbidden.
_REGISTERED: Final = {3000: 401, 3003: 403}
# By convention, 4000 plus an HTTP status of the range 4xx.
_STATUS_CODES: Final = range(4400, 4500)
_PASSING: Final = frozenset({408, 425, 429})


@attrs.frozen
class Refusal:
    """The server does not want this client, or not with this token.

    Attributes:
        status: HTTP status that the code corresponds to. None for a policy of the server.
    """

    status: int | None

    @property
    def is_about_the_token(self) -> bool:
        """Whether another token may be accepted."""
        return self.status in (None, 401, 403)


def refusal_of(code: int | None) -> Refusal | None:
    """Return the refusal that a close code means, or None for a normal end of a connection."""
    if code == _POLICY_VIOLATION:
        return Refusal(None)
    if code is None:
        return None
    status = _REGISTERED.get(code) or (code - 4000 if code in _STATUS_CODES else None)
    return None if status is None or status in _PASSING else Refusal(status)
