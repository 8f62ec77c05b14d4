"""Groups of commands."""

from __future__ import annotations

from difflib import get_close_matches

import click
import rich_click


class Group(rich_click.RichGroup):
    """A group that suggests the commands whose names are close to a misspelled one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that arguments begin with."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            message = error.format_message()
            close = get_close_matches(args[0].lower(), self.list_commands(ctx))
            if not close or "Did you mean" in message:  # newer versions of click suggest by themselves
                raise
            raise click.UsageError(f"{message} Did you mean {' or '.join(map(repr, close))}?", ctx) from None
