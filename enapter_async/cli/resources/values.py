"""Values by name, as users write them: `power=5 mode=auto`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Final

import click

from enapter_async import JSON
from enapter_async.cli.output import Shape

BY_NAME: Final = Shape.any()


def pairs_argument(name: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Declare an argument of any number of `NAME=VALUE`; the command gets a dict."""

    def read(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, JSON]:
        del context, parameter
        return pairs(texts)

    return click.argument(name, nargs=-1, metavar="[NAME=VALUE]...", callback=read)


def pairs(texts: Iterable[str]) -> dict[str, JSON]:
    """Read `name=value`; a value that is JSON is taken as such, everything else as text.

    Raises:
        click.BadParameter: There is no `=`, or a name comes twice.
    """
    values: dict[str, JSON] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE")
        if name in values:
            raise click.BadParameter(f"{name!r} comes twice")
        values[name] = _value(value)
    return values


def _value(text: str) -> JSON:
    try:
        value: JSON = json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text
    except RecursionError:
        raise click.BadParameter("a value is nested too deeply") from None
    return value


def _refuse(constant: str) -> JSON:
    raise ValueError(constant)  # NaN and Infinity are no JSON, whatever Python thinks
