"""Building blocks of options: a typed decorator, values from the environment, and parameter types.

Each command declares its options above its function. Options of several commands are in `connection` (server and
token), `selection` (devices and attributes) and `span` (time range).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click
import rich_click

F = TypeVar("F", bound=Callable[..., object])
C = TypeVar("C", bound=click.Command)

_NUMBER: Final = r"[0-9]+(?:\.[0-9]+)?"
_PARTS: Final = re.compile(rf"({_NUMBER})(ms|s|m|h|d)")
_AMBIGUOUS: Final = re.compile(r"\dM(?!s)", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """Declare an option like `rich_click.option`, whose type annotations are incomplete."""
    decorator: Callable[[F], F] = rich_click.option(*names, **settings)  # pyright: ignore[reportUnknownMemberType]
    return decorator


def from_environment(prefix: str) -> Callable[[C], C]:
    """Read each option of a command from the environment too, such as `--log-format` from `PREFIX_LOG_FORMAT`.

    Args:
        prefix: Prefix of the variable names.
    """

    def add(command: C) -> C:
        for parameter in command.params:
            if isinstance(parameter, click.Option) and parameter.name != "help":
                name = next(name for name in parameter.opts if name.startswith("--"))
                parameter.envvar = f"{prefix}_{name[2:].replace('-', '_').upper()}"
        return command

    return add


def duration(minimum: float) -> Callable[[str], float]:
    """Return the type of a duration such as `500ms`, `30s`, `2m30s` or `1h`. A plain number means seconds.

    Args:
        minimum: Shortest duration, in seconds.
    """

    def convert(value: str) -> float:
        if _AMBIGUOUS.search(value):
            raise click.BadParameter(f"{value!r} is ambiguous: m is minutes, and there is no unit for months")
        seconds = _seconds(value.strip().lower())
        if seconds is None:
            raise click.BadParameter(f"{value!r} is not a duration such as 500ms, 30s, 2m30s or 1h")
        if not math.isfinite(seconds):
            raise click.BadParameter(f"{value[:10]}... is too long")
        if seconds < minimum:
            raise click.BadParameter(f"{value!r} is too short; the minimum is {minimum:g} s")
        return seconds

    return convert


def _seconds(text: str) -> float | None:
    if re.fullmatch(_NUMBER, text):
        return float(text)
    parts = _PARTS.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
