"""Which server a command talks to is chosen in the same way everywhere; a walk over all commands and options."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from served import invoke

from enapter_async.cli.application import COMMANDS, application

LOCAL = {"simulate", "completion", "gaps list"}
"""Commands that talk to no server."""
SERVER = ("--simulate", "--rate-limit", "--fault-rate", "--latency-ms", "--seed", "--mode")


def walk() -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something."""
    for name in COMMANDS:
        context = click.Context(application)
        command = application.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                found = command.get_command(context, inner)
                assert found is not None
                yield f"{name} {inner}", found
        else:
            yield name, command


ALL = dict(walk())


def options(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts if parameter.param_type_name == "option"}


@pytest.mark.parametrize("name", sorted(set(ALL) - LOCAL))
def test_every_command_takes_a_profile_before_and_after_its_name(name: str, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("")
    assert "--profile" in options(ALL[name]), name
    for arguments in (("--profile", "lab", *name.split(), "--help"), (*name.split(), "--profile", "lab", "--help")):
        result = invoke(*arguments, ENAPTER_CONFIG=str(config))
        assert result.exit_code == 0, (arguments, result.output)


@pytest.mark.parametrize("name", ["collect", "export", "plot", "gaps repair"])
def test_what_reads_much_can_read_from_a_simulator(name: str) -> None:
    assert set(SERVER) <= options(ALL[name])


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_option_is_declared_once(name: str) -> None:
    seen: set[str] = set()
    for parameter in ALL[name].params:
        if isinstance(parameter, click.Option):
            assert not seen & set(parameter.opts), (name, parameter.opts)
            seen.update(parameter.opts)


@pytest.mark.parametrize("arguments", [("--profile", "", "sites", "list"), ("sites", "list", "--profile", " ")])
def test_an_empty_profile_does_not_mean_the_default_one(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """`--profile "$LAB"` with a variable that is not set would use another server."""
    config = tmp_path / "config.toml"
    config.write_text('default = "lab"\n[profiles.lab]\nbase_url = "http://127.0.0.1:1"\ntoken_env = "LAB_TOKEN"\n')
    result = invoke(*arguments, ENAPTER_CONFIG=str(config), LAB_TOKEN="secret")
    assert result.exit_code == 2
    assert "Invalid value for '--profile': must not be empty" in result.stderr


def test_a_profile_is_used_by_collect_in_each_position(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("")
    database = str(tmp_path / "t.sqlite")
    for arguments in (("--profile", "lab", "collect"), ("collect", "--profile", "lab")):
        result = invoke(*arguments, "--no-wait", "--to", database, ENAPTER_CONFIG=str(config))
        assert result.exit_code == 3, result.output
        assert "lab" in result.stderr
