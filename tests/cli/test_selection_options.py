"""Options that mean the same have the same names in all commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from served import Served, served

from enapter_async.cli.application import application
from enapter_async.cli.selection import choose_attributes


@pytest.fixture(scope="module")
def world() -> Iterator[Served]:
    with served(devices=6) as world:
        yield world


@pytest.mark.parametrize(
    ("names", "attributes", "expected"),
    [
        ((), None, "numeric"),
        ((), "numeric", "numeric"),
        ((), "all", "all"),
        ((), "soc, power,", ("soc", "power")),
        (("soc", "all"), None, ("soc", "all")),
    ],
)
def test_which_attributes(names: tuple[str, ...], attributes: str | None, expected: object) -> None:
    assert choose_attributes(names, attributes) == expected


@pytest.mark.parametrize(("names", "attributes"), [(("soc",), "all"), ((), ","), ((), "")])
def test_what_is_refused(names: tuple[str, ...], attributes: str) -> None:
    with pytest.raises(click.UsageError):
        choose_attributes(names, attributes)


@pytest.mark.parametrize("chosen", [["--attribute", "soc", "--attribute", "power"], ["--attributes", "soc,power"]])
def test_collect_and_export_select_alike(world: Served, tmp_path: Path, chosen: list[str]) -> None:
    collected, exported = tmp_path / "telemetry.sqlite", tmp_path / "history.csv"
    device = ["--device", "battery-1", *chosen]
    result = world.run("collect", *device, "--to", str(collected), "--for", "3s", "--interval", "100ms", "--quiet")
    assert result.exit_code == 0, result.output
    result = world.run("export", *device, "--to", str(exported), "--since", "10m", "--quiet")
    assert result.exit_code == 0, result.output
    polls = [one for one in world.requests if one.path.endswith("/telemetry/latest")]
    assert {tuple(names) for names in polls[-1].query.values()} == {("soc,power",)}
    assert {line.split(",")[1] for line in exported.read_text().splitlines()[1:]} == {"soc", "power"}


@pytest.mark.parametrize("path", ["export", "plot", "logs list", "commands list"])
def test_the_start_of_a_span_has_both_names(path: str) -> None:
    command: click.Command = application
    for name in path.split():
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    names = {name for one in command.params for name in one.opts if one.name == "since"}
    assert {"--from", "--since"} <= names
