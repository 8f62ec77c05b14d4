"""Times on the command line: with a time zone, or relative to now."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import attrs
import click

from enapter_async.cli.parameters import duration, option

F = TypeVar("F", bound=Callable[..., object])

AGGREGATIONS: Final = ("auto", "avg", "min", "max", "last", "bool_or")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ago = duration(0)
_BARE_NUMBER: Final = re.compile(r"\d{4,}(\.\d*)?")
"""A number that could be a year, a date, Unix time or seconds."""


@attrs.frozen
class Moment:
    """A time, or a duration before now.

    Attributes:
        text: The user's input.
        at: The time; None for a time relative to now.
        seconds_ago: Seconds before now.
    """

    text: str
    at: datetime | None = None
    seconds_ago: float = 0.0

    @property
    def value(self) -> datetime | timedelta:
        """The time, or the duration before now.

        Raises:
            click.BadParameter: The time is before the year 1.
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
            now: Current time.
            step: A time relative to now is rounded down to whole steps, so that the newest step is complete.
        """
        if self.at is not None:
            return self.at
        try:
            moment = now - timedelta(seconds=self.seconds_ago)
            return _EPOCH + (moment - _EPOCH) // step * step
        except OverflowError:
            raise click.BadParameter(f"{self.text!r} ago is before all times") from None


def moment(text: str) -> Moment:
    """Read `2026-03-14T09:26Z`, `now`, or a duration before now: `30d`, `2h30m`.

    Raises:
        click.BadParameter: The text is neither a time nor a duration.
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
            f"{text!r} is not a time; write 2026-03-14T09:26Z, or how long ago: 30d, 12h, now"
        ) from None


def since_option(default: str | None = None) -> Callable[[F], F]:
    """Declare the option for the start of a span, `--from` or `--since` in every command; the command takes `since`.

    Args:
        default: Value if the option is not given.
    """
    return option(
        "--since",
        "--from",
        "since",
        type=moment,
        default=default,
        show_default=True,
        metavar="TIME",
        help="Start: 2026-03-14T09:26Z, or how long ago: 30d.",
    )


until_option: Final = option(
    "--until",
    type=moment,
    default="now",
    show_default=True,
    metavar="TIME",
    help="End (exclusive), like --from.",
)
"""The option for the end of a span; the command takes `until`."""
