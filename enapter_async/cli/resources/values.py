"""Named values on the command line: `power=5 mode=auto`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Final

import click

from enapter_async import JSON
from enapter_async.cli.output import Shape

BY_NAME: Final = Shape.any()


def pairs_argument(name: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Declare an argument for any number of `NAME=VALUE`. The command gets a dict."""

    def read(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, JSON]:
        del context, parameter
        return pairs(texts)

    return click.argument(name, nargs=-1, metavar="[NAME=VALUE]...", callback=read)


def pairs(texts: Iterable[str]) -> dict[str, JSON]:
    """Read `name=value`. A value that is valid JSON is parsed, all others are text.

    Raises:
        click.BadParameter: There is no `=`, or a name is repeated.
    """
    values: dict[str, JSON] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE")
        if name in values:
            raise click.BadParameter(f"{name!r} is given twice")
        values[name] = _value(value)
    return values


def _value(text: str) -> JSON:
    try:
        return read_json(text)
    except ValueError as error:
        if isinstance(error.__cause__, RecursionError):
            raise click.BadParameter(str(error)) from None
        return text


def read_json(text: str) -> JSON:
    """Read JSON text. Unlike Python's parser, this rejects NaN and Infinity.

    Raises:
        ValueError: The text is not JSON, or is nested too deeply.
    """
    try:
        value: JSON = json.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def _refuse(constant: str) -> JSON:
    raise ValueError(f"{constant} is not a JSON value")
