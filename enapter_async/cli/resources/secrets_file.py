"""Output of secrets that the API returns only once, to a file for the owner or, on request, to the terminal."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from enapter_async._visible import make_visible
from enapter_async.cli.exits import Exit, Failure
from enapter_async.cli.output import Format, Printer, Shape, json_text, output_option, plain, secrets_option
from enapter_async.cli.parameters import option

to_option: Final = option(
    "--to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write everything to a new JSON file, including secrets. Only you can read it.",
)
secret_options: Final = (to_option, secrets_option, output_option)


@contextmanager
def place_for_secrets(to: Path | None, *, show_secrets: bool) -> Generator[None, None, None]:
    """Create the file before anything is sent, so that no secrets are lost. It is removed if the request fails.

    Args:
        to: The file, if any.
        show_secrets: Whether to print the secrets.

    Raises:
        click.UsageError: Neither a file nor printing was chosen.
        Failure: The file cannot be created, or already exists.
    """
    if to is None:
        if not show_secrets:
            raise click.UsageError("the response contains secrets, returned only once: add --to FILE or --show-secrets")
        yield
        return
    try:
        os.close(os.open(to, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise Failure(f"cannot create {to}: {error.strerror}", Exit.STORAGE) from error
    try:
        yield
    except BaseException:
        if to.stat().st_size == 0:
            to.unlink()
        raise


def give_out(record: object, to: Path | None, form: Format, shape: Shape, *, show_secrets: bool) -> None:
    """Write a record with its secrets to the reserved file, and print it with or without them."""
    if to is not None:
        to.write_text(json_text(plain(record, show_secrets=True), indent=2) + "\n", encoding="utf-8")
        click.echo(make_visible(f"wrote the secrets to {to}"), err=True)
    Printer(form, shape, show_secrets=show_secrets).one(record)
