"""`-h` of every command and group, whichever is invoked first and through whatever."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from enapter_async.cli.application import COMMANDS, application


def walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from walk(found, (*path, name))


PATHS = list(walk(application))


def forget_help_options(*commands: click.Command) -> None:
    """Undo what click keeps of the first context that a command sees."""
    for command in commands:
        command._help_option = None


def chain(path: tuple[str, ...]) -> list[click.Command]:
    """Return the root, the groups of a command, and the command."""
    commands: list[click.Command] = [application]
    for name in path:
        parent = commands[-1]
        assert isinstance(parent, click.Group)
        found = parent.get_command(click.Context(parent), name)
        assert found is not None
        commands.append(found)
    return commands


def test_all_commands_are_walked() -> None:
    assert {path[0] for path in PATHS if path} == set(COMMANDS)
    assert len(PATHS) > len(COMMANDS) + 30


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_help_does_not_depend_on_what_was_invoked_before(path: tuple[str, ...]) -> None:
    commands = chain(path)
    ways = [(one, [*path[number:]]) for number, one in enumerate(commands)]
    for order in (ways, ways[::-1]):
        forget_help_options(*commands)
        for start, rest in order:
            result = CliRunner().invoke(start, [*rest, "-h"])
            assert result.exit_code == 0, result.output
            assert "Usage:" in result.output
