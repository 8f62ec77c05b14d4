"""What the callers were told of every change, to be compared with what the server did."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import IntEnum

from enapter_async import (
    APIError,
    EnapterError,
    ExecutionPendingError,
    OutcomeUnknownError,
    RequestError,
    StreamError,
)


class Told(IntEnum):
    """What the caller knows of a change, and what the server's ledger must say of it."""

    NOTHING = 0
    """Cancelled, or an error that leaves it open: done once or not at all."""
    DONE = 1
    """Acknowledged: done, and not twice."""
    NOT_DONE = 2
    """An error that says that nothing was done: not done."""


class Book:
    """One byte for each change, so that the book itself does not look like a leak."""

    def __init__(self) -> None:
        self.told = bytearray()
        self.may_repeat = bytearray()
        self.errors: Counter[str] = Counter()
        self.unknown_tags = array("Q")
        self.unknown_between = array("d")

    def new(self, *, may_repeat: bool) -> int:
        """Return the tag of the next change; `may_repeat`: the caller has allowed to send it again."""
        self.told.append(Told.NOTHING)
        self.may_repeat.append(may_repeat)
        return len(self.told) - 1

    def acknowledged(self, tag: int) -> None:
        self.told[tag] = Told.DONE

    def failed(self, tag: int, error: EnapterError, began: float) -> None:
        """Note what an error says about a change."""
        if isinstance(error, ExecutionPendingError):
            self.told[tag] = Told.DONE
        elif isinstance(error, OutcomeUnknownError):
            self.unknown_tags.append(tag)
            self.unknown_between.extend((began, time.monotonic()))
        elif isinstance(error, RequestError) and (
            error.outcome in ("not_sent", "rejected") or _is_refusal(error, error.outcome)
        ):
            self.told[tag] = Told.NOT_DONE

    # -- judgement -----------------------------------------------------------------------------------------

    def violations(
        self, effects: Mapping[int, int], seen: Mapping[int, int], outages: Sequence[Sequence[float]]
    ) -> list[str]:
        """Compare with the server's ledger.

        Args:
            effects: How often each change was done.
            seen: How often each was received.
            outages: From when to when nobody listened.
        """
        found: list[str] = []
        for tag, told in enumerate(self.told):
            done = effects.get(tag, 0)
            if done > 1 and not self.may_repeat[tag]:
                found.append(f"change {tag} was done {done} times")
            if told == Told.DONE and not done:
                found.append(f"change {tag} was acknowledged and never done")
            if told == Told.NOT_DONE and done:
                found.append(f"change {tag} was done, and its error says that it was not")
        for place, tag in enumerate(self.unknown_tags):
            began, ended = self.unknown_between[2 * place : 2 * place + 2]
            # What an outage swallowed was sent all the same: nobody can know that the server never read it.
            if not seen.get(tag) and not any(start - 0.1 <= ended and began <= end + 0.1 for start, end in outages):
                found.append(f"change {tag} ended in OutcomeUnknownError, and the server never received it")
        return found

    @property
    def acknowledgements(self) -> int:
        return self.told.count(Told.DONE)


def _is_refusal(error: RequestError, outcome: str) -> bool:
    return isinstance(error, APIError) and error.status < 500 and outcome == "final"


def outcome_of(error: EnapterError) -> str:
    """Return a short name for the table of results."""
    status = getattr(error, "status", None)
    return f"{type(error).__name__}" + (f" {status}" if status and not isinstance(error, StreamError) else "")
