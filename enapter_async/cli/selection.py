"""Options for devices, attributes and tables, the same in `collect`, `gaps repair` and `export`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias, TypeVar

import click

from enapter_async.cli.completers import complete_attribute, complete_attributes, complete_device
from enapter_async.cli.parameters import option

F = TypeVar("F", bound=Callable[..., object])

Attributes: TypeAlias = Literal["numeric", "all"] | tuple[str, ...]

_OPTIONS: Final = (
    option(
        "--device",
        "devices",
        multiple=True,
        metavar="DEVICE",
        help="ID, slug or name; repeatable. [default: all]",
        shell_complete=complete_device,
    ),
    option(
        "--attribute",
        "names",
        multiple=True,
        metavar="NAME",
        help="Name of an attribute; repeatable.",
        shell_complete=complete_attribute,
    ),
    option(
        "--attributes",
        metavar="numeric|all|NAME,...",
        help="All numeric attributes, all attributes (with text, booleans and alerts), or names separated by commas."
        " [default: numeric]",
        shell_complete=complete_attributes,
    ),
)


schema_option: Final = option(
    "--schema", metavar="NAME", help="Schema of the tables in PostgreSQL. Created if it does not exist."
)
"""The option for the schema that a command writes to; the command takes `schema`."""


def selection_options(command: F) -> F:
    """Add `--device`, `--attribute` and `--attributes`; the command takes `devices`, `names` and `attributes`."""
    for add in reversed(_OPTIONS):
        command = add(command)
    return command


def choose_attributes(names: tuple[str, ...], attributes: str | None) -> Attributes:
    """Return the attributes that the options select.

    Args:
        names: Values of `--attribute`.
        attributes: Value of `--attributes`.

    Raises:
        click.UsageError: Both are given, or a list without names.
    """
    if names and attributes is not None:
        raise click.UsageError("--attribute and --attributes cannot be used together")
    if names:
        return names
    if attributes is None or attributes == "numeric":
        return "numeric"
    if attributes == "all":
        return "all"
    listed = tuple(name.strip() for name in attributes.split(",") if name.strip())
    if not listed:
        raise click.BadParameter("name at least one attribute, or use numeric or all", param_hint="--attributes")
    return listed
