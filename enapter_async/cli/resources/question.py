"""Confirmation before commands that move equipment or delete data."""

from __future__ import annotations

import sys

import click

from enapter_async._visible import make_visible
from enapter_async.cli import interruption
from enapter_async.cli.exits import Exit, Failure
from enapter_async.cli.parameters import F, option


def yes_option(command: F) -> F:
    """Declare `--yes`, which confirms in advance."""
    return option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")(command)


def ask(question: str, *, yes: bool) -> None:
    """Ask the user for confirmation.

    Args:
        question: The question to confirm.
        yes: Whether the user has already confirmed.

    Raises:
        Failure: There is no terminal, or the answer is no.
    """
    if yes:
        return
    if not is_answerable():
        raise Failure(f"{question} Cannot ask for confirmation without a terminal: add --yes", Exit.USAGE)
    try:
        with interruption.raising():  # undo the changes of readline to the terminal
            wanted = click.confirm(make_visible(question), err=True)
    except click.Abort:
        click.echo(err=True)
        wanted = False
    if not wanted:
        raise Failure("nothing was done", Exit.INTERRUPTED)


def is_answerable() -> bool:
    """Return whether input and output are a terminal. A closed stream is None."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))  # pyright: ignore[reportUnnecessaryComparison]
