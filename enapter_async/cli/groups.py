"""Commands and groups of commands."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from difflib import get_close_matches
from typing import Any, Final

import click
import rich_click

_HELP: Final[dict[str, Any]] = {"help_option_names": ["-h", "--help"]}


class Command(rich_click.RichCommand):
    """A command with `-h`, also if another command invokes it."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.context_settings: MutableMapping[str, Any] = {**_HELP, **self.context_settings}


class Group(rich_click.RichGroup):
    """A group with `-h` that suggests the commands whose names are close to a misspelled one."""

    command_class: type[rich_click.RichCommand] | None = Command
    group_class: type[click.Group | type] | None = type

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.context_settings: MutableMapping[str, Any] = {**_HELP, **self.context_settings}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command at the beginning of the arguments."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            message = error.format_message()
            close = get_close_matches(args[0].lower(), self.list_commands(ctx))
            if not close or "Did you mean" in message:  # newer versions of click make suggestions themselves
                raise
            raise click.UsageError(f"{message} Did you mean {' or '.join(map(repr, close))}?", ctx) from None


def command() -> Callable[[Callable[..., object]], Command]:
    """Declare a command."""
    return rich_click.command(cls=Command)


def group(cls: type[Group] = Group) -> Callable[[Callable[..., object]], Group]:
    """Declare a group of commands."""
    return rich_click.group(cls=cls)
