"""The page with all commands, and the examples in their help.

`python -m tests.docs.test_commands_page` writes it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from enapter_async.cli.application import application
from enapter_async.cli.examples import EXAMPLES, example_lines

_WIDEST = 76
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"
HEAD = """\
# Commands

Every command of `enapter-async`, with its options and examples. The same text is in `enapter-async COMMAND --help`.
[Use the command line](../how-to/command-line.md) shows how to work with them.
"""


def commands() -> Iterator[tuple[str, click.Command, click.Context]]:
    """Yield name, command and context of each command that does something, in the order of the help."""
    # A command remembers the help option of the first context that it sees.
    root = click.Context(application, info_name="enapter-async", **application.context_settings)
    for name in application.list_commands(root):
        command = application.get_command(root, name)
        assert command is not None
        context = click.Context(command, root, name)
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                found = command.get_command(context, inner)
                assert found is not None
                yield f"{name} {inner}", found, click.Context(found, context, inner)
        else:
            yield name, command, context


def page() -> str:
    """Return the page as it has to be."""
    text = HEAD
    for name, command, context in commands():
        usage = " ".join(["enapter-async", name, *command.collect_usage_pieces(context)])
        examples = "\n".join(map(_wrap, example_lines(name)))
        text += f"\n## {name}\n\n{_one_line(command.help)}\n\n```text\n{usage}\n```\n\n"
        rows = [_row(one) for one in command.params if isinstance(one, click.Option) and not one.hidden]
        text += "| option | meaning |\n|---|---|\n" + "".join(rows) if rows else ""
        text += f"\n```shell\n{examples}\n```\n"
    return text


def _wrap(line: str) -> str:
    """Break a command line before options, so that it does not scroll."""
    lines = [""]
    for word in re.split(r" (?=-)", line):
        if lines[-1] and len(lines[-1]) + len(word) > _WIDEST:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return " \\\n    ".join(lines)


def _row(option: click.Option) -> str:
    names = ", ".join([*reversed(option.opts), *option.secondary_opts])
    if isinstance(option.type, click.Choice):
        value = "|".join(map(str, option.type.choices))
    else:
        value = "" if option.is_flag else option.metavar or option.type.name.upper()
    shown = f"{names} {value}".strip()
    code = f"<code>{shown.replace('|', '&#124;')}</code>" if "|" in shown else f"`{shown}`"  # a pipe ends a cell
    default: Any = option.default
    usual = f" Default: `{default}`." if option.show_default and not callable(default) else ""
    return f"| {code} | {_one_line(option.help)}{usual} |\n"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("[default:", "(default:").replace("]", ")")


def test_every_command_is_on_the_page() -> None:
    assert PAGE.read_text("utf-8") == page(), "python -m tests.docs.test_commands_page"


@pytest.mark.parametrize(("name", "command"), [(name, command) for name, command, _ in commands()])
def test_every_command_and_option_has_help(name: str, command: click.Command) -> None:
    assert command.help
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    assert [one.opts for one in options if not one.help] == []


def test_every_group_has_help() -> None:
    assert [name for name, one in application.commands.items() if not one.help] == []


def test_every_command_has_examples_and_every_example_a_command() -> None:
    assert set(EXAMPLES) == {name for name, _, _ in commands()}


def test_the_help_shows_them() -> None:
    for name, command, _ in commands():
        assert all(line in (command.epilog or "") for line in example_lines(name)), name
    result = CliRunner().invoke(application, ["logs", "list", "--help"], env={"COLUMNS": "120"})
    assert all(line in result.stdout for line in example_lines("logs list"))


@pytest.mark.parametrize("line", [line for name in EXAMPLES for line in example_lines(name)])
def test_an_example_is_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENAPTER_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "night-charge.lua").touch()
    for folder in ("meter", "profiles"):
        (tmp_path / folder).mkdir()
    arguments = shlex.split(line)[1:]
    context = application.make_context("enapter-async", arguments)
    command: click.Command = application
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args] if hasattr(context, "_protected_args") else context.args
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)
    assert not context.args


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
