"""A question before anything that moves equipment or deletes."""

from __future__ import annotations

import sys

import click

from enapter_async.cli import interruption
from enapter_async.cli.exits import Exit, Failure
from enapter_async.cli.parameters import option

yes_option = option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")


def ask(question: str, *, yes: bool) -> None:
    """Go on if the user wants it.

    Args:
        question: The question to confirm.
        yes: The answer was given beforehand.

    Raises:
        Failure: Nobody can be asked, or the answer is no.
    """
    if yes:
        return
    if not is_answerable():
        raise Failure(f"{question} Nobody can be asked without a terminal: add --yes", Exit.USAGE)
    try:
        with interruption.raising():  # what readline did to the terminal has to be undone
            wanted = click.confirm(question, err=True)
    except click.Abort:
        click.echo(err=True)
        wanted = False
    if not wanted:
        raise Failure("nothing was done", Exit.INTERRUPTED)


def is_answerable() -> bool:
    """Return whether somebody sits at a terminal; a stream that was closed is None."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))  # pyright: ignore[reportUnnecessaryComparison]
