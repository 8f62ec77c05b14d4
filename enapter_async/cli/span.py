"""A span of time as users write it: times with a zone, or lengths of time before now."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs
import click

from enapter_async.cli.parameters import duration

AGGREGATIONS: Final = ("auto", "avg", "min", "max", "last", "bool_or")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ago = duration(0)
_BARE_NUMBER: Final = re.compile(r"\d{4,}(\.\d*)?")
"""A year, a date or Unix time as much as seconds."""


@attrs.frozen
class Moment:
    """A time, or a length of time before now.

    Attributes:
        text: The user's input.
        at: The time; None for one relative to now.
        seconds_ago: How long before now.
    """

    text: str
    at: datetime | None = None
    seconds_ago: float = 0.0

    @property
    def value(self) -> datetime | timedelta:
        """The time, or how long before now.

        Raises:
            click.BadParameter: It is longer ago than there is time.
        """
        if self.at is not None:
            return self.at
        try:
            return timedelta(seconds=self.seconds_ago)
        except OverflowError:
            raise click.BadParameter(f"{self.text!r} ago is before all times") from None

    def resolve(self, now: datetime, step: timedelta) -> datetime:
        """Return the time.

        Args:
            now: What is now.
            step: A time relative to now is cut down to whole steps, so that the newest step is a whole one.
        """
        if self.at is not None:
            return self.at
        try:
            moment = now - timedelta(seconds=self.seconds_ago)
            return _EPOCH + (moment - _EPOCH) // step * step
        except OverflowError:
            raise click.BadParameter(f"{self.text!r} ago is before all times") from None


def moment(text: str) -> Moment:
    """Read `2026-03-14T09:26Z`, `now`, or how long ago: `30d`, `2h30m`.

    Raises:
        click.BadParameter: The text is neither a time nor a length of time.
    """
    text = text.strip()
    if text.lower() == "now":
        return Moment("now")
    if _BARE_NUMBER.fullmatch(text):
        raise click.BadParameter(f"{text!r} is ambiguous; write 2026-03-14T09:26Z, or how long ago: {text}s")
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        pass
    else:
        if at.utcoffset() is None:
            raise click.BadParameter(f"{text!r} has no time zone; write {at.isoformat(timespec='minutes')}Z for UTC")
        return Moment(text, at.astimezone(UTC))
    try:
        return Moment(text, seconds_ago=_ago(text))
    except click.BadParameter as error:
        if "ambiguous" in error.message:
            raise
        raise click.BadParameter(
            f"{text!r} is no time; write 2026-03-14T09:26Z, or how long ago: 30d, 12h, now"
        ) from None
