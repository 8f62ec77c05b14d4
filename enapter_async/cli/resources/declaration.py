"""Decorators that declare the commands on resources: shared options, confirmation and output.

A command is an async function of the client and its options; a command that lists records is a plain function. The
decorator adds the connection, the output and the confirmation.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import click

from enapter_async import UNSET, OutcomeUnknownError, RequestError, Unset
from enapter_async._visible import make_visible
from enapter_async.cli import interruption
from enapter_async.cli.completers import complete_device
from enapter_async.cli.examples import help_epilog
from enapter_async.cli.exits import Exit, Failure, failure
from enapter_async.cli.groups import Group
from enapter_async.cli.output import Printer, Shape, output_option
from enapter_async.cli.parameters import option
from enapter_async.cli.profiles import chosen_profile, default_site, profile_option
from enapter_async.cli.resources.question import ask, yes_option
from enapter_async.cli.running import run

if TYPE_CHECKING:
    from enapter_async import EnapterClient

T = TypeVar("T")
Option = Callable[[Callable[..., object]], Callable[..., object]]
Lists = Callable[..., AsyncIterable[object]]
Gives = Callable[..., Awaitable[object]]
L = TypeVar("L", bound=Lists)
G = TypeVar("G", bound=Gives)

site_option: Final = option(
    "--site",
    "site_id",
    default=default_site,
    metavar="ID",
    help="Site. [default: from the profile]",
)
limit_option: Final = option("--limit", type=click.IntRange(1), metavar="N", help="Maximum number of records to print.")


def argument(name: str, **settings: Any) -> Option:
    """Declare an argument like `click.argument`."""
    return click.argument(name, **settings)


def device_argument() -> Option:
    """Declare the argument DEVICE, with completion."""
    return argument("device_id", metavar="DEVICE", shell_complete=complete_device)


def or_unset(value: T | None) -> T | Unset:
    """Return the value, or UNSET for None."""
    return UNSET if value is None else value


class Resource:
    """A group of commands on one kind of resource.

    Attributes:
        group: The click group to add to the application.
    """

    def __init__(self, name: str, help_text: str) -> None:
        self.group: Final = Group(name=name, help=help_text)

    def lists(self, name: str, *options: Option, shape: Shape) -> Callable[[L], L]:
        """Declare a command that prints many records. Its function takes `limit` and returns the records."""

        def declare(function: L) -> L:
            def run(**given: Any) -> None:
                printer = Printer(given.pop("output"), shape)

                async def work(client: EnapterClient) -> None:
                    await printer.write_all(function(client, **given))

                connect(work)

            self.add(name, run, function.__doc__, *options, limit_option, output_option)
            return function

        return declare

    def gives(self, name: str, *options: Option, shape: Shape) -> Callable[[G], G]:
        """Declare a command that prints the record, or the list of records, that its function returns."""

        def declare(function: G) -> G:
            def run(**given: Any) -> None:
                form = given.pop("output")

                async def work(client: EnapterClient) -> None:
                    _print_result(Printer(form, shape), await function(client, **given))

                connect(work)

            self.add(name, run, function.__doc__, *options, output_option)
            return function

        return declare

    def changes(
        self,
        name: str,
        *options: Option,
        look: str,
        question: str | None = None,
        done: str = "done",
        shape: Shape | None = None,
    ) -> Callable[[G], G]:
        """Declare a command that changes something on the server.

        Args:
            name: Its name.
            *options: Its own options.
            look: Command that shows the state if no response arrives. `{names}` of options are filled in.
            question: Confirmation to ask for. None if the command neither moves a machine nor loses data.
            done: Message for stderr if there is no result to print.
            shape: Shape of the result, for a command that returns one.
        """

        def declare(function: G) -> G:
            def run(**given: Any) -> None:
                names = {key: _join_values(value) for key, value in given.items()}
                form = given.pop("output", "table")
                if question is not None:
                    ask(question.format_map(names), yes=given.pop("yes"))

                async def work(client: EnapterClient) -> None:
                    with_doubt = f"check before repeating it: enapter-async {look.format_map(names)}"
                    result = await without_doubt(function(client, **given), with_doubt)
                    if result is None or shape is None:
                        click.echo(make_visible(done.format_map(names)), err=True)
                    else:
                        _print_result(Printer(form, shape), result)

                connect(work)

            more = [*([yes_option] if question is not None else []), *([output_option] if shape is not None else [])]
            self.add(name, run, function.__doc__, *options, *more)
            return function

        return declare

    def add(self, name: str, run: Callable[..., None], help_text: str | None, *options: Option) -> None:
        """Add a command with the options shared by all commands."""
        callback: Callable[..., object] = run
        for one in reversed([*options, profile_option]):
            callback = one(callback)
        self.group.command(name, help=help_text, epilog=help_epilog(f"{self.group.name} {name}"))(callback)


def connect(work: Callable[[EnapterClient], Awaitable[None]]) -> None:
    """Run `work` with a client of the chosen profile."""
    profile = chosen_profile()

    async def connected() -> None:
        async with profile.connected() as client:
            await work(client)

    run(connected)


async def without_doubt(result: Awaitable[T], look: str) -> T:
    """Wait for a change, and report clearly if its outcome stays unknown.

    Args:
        result: The change.
        look: Advice for an unknown outcome: the response is missing, or Ctrl-C was pressed first.

    Raises:
        Failure: The outcome is unknown.
    """
    try:
        with interruption.saying(
            f"it may have been done: stopped before a response came; {look}", Exit.UNKNOWN_OUTCOME
        ):
            return await result
    except RequestError as error:
        if isinstance(error, OutcomeUnknownError) or error.outcome == "unknown":
            said = failure(error).message.rstrip(".;")
            raise Failure(f"it may have been done: {said}; {look}", Exit.UNKNOWN_OUTCOME) from error
        raise


def _join_values(value: object) -> object:
    return " ".join(map(str, cast("tuple[object, ...]", value))) if isinstance(value, tuple) else value


def _print_result(printer: Printer, result: object) -> None:
    if isinstance(result, list):
        for record in cast("list[object]", result):
            printer.write(record)
        printer.end()
    else:
        printer.one(result)


def read_text(path: Path) -> str:
    """Return the text of a file that the user named.

    Raises:
        Failure: The file cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")  # editors on Windows may begin a file with a BOM
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path} cannot be read: {error}", Exit.STORAGE) from error
