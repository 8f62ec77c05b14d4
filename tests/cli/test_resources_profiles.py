"""Profiles: which server a command talks to, and where its token comes from."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest
from click.testing import Result
from served import Served, invoke, served

from enapter_async.cli.profiles import config_path


@pytest.fixture(scope="module")
def world() -> Iterator[Served]:
    with served(devices=5) as world:
        yield world


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def write(config: Path, text: str, mode: int = 0o600) -> None:
    config.write_text(text)
    config.chmod(mode)


def run(config: Path, *arguments: str, **variables: str | None) -> Result:
    return invoke(*arguments, ENAPTER_CONFIG=str(config), **variables)


@pytest.mark.skipif(sys.platform != "linux", reason="the places of Linux")
def test_where_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ENAPTER_CONFIG", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert config_path() == tmp_path / ".config" / "enapter-async" / "config.toml"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert config_path() == tmp_path / ".config" / "enapter-async" / "config.toml"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/xdg")
    assert config_path() == Path("/xdg/enapter-async/config.toml")
    monkeypatch.setenv("ENAPTER_CONFIG", "/mine.toml")
    assert config_path() == Path("/mine.toml")


def test_the_place_of_earlier_versions_is_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS and Windows, whose folders for settings are others than `~/.config`."""
    new, earlier = (tmp_path / folder / "enapter-async" / "config.toml" for folder in ("Library", ".config"))
    monkeypatch.setattr(platformdirs, "user_config_path", lambda *_args, **_options: new.parent)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.delenv("ENAPTER_CONFIG", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert config_path() == new
    earlier.parent.mkdir(parents=True)
    earlier.touch()
    assert config_path() == earlier
    new.parent.mkdir(parents=True)
    new.touch()
    assert config_path() == new


@pytest.mark.parametrize("place", ["before", "after", "variable", "default"])
def test_a_profile_is_chosen(world: Served, config: Path, place: str) -> None:
    default = 'default = "lab"\n' if place == "default" else ""
    write(config, f'{default}[profiles.lab]\nbase_url = "{world.simulator.url}"\ntoken_env = "LAB_TOKEN"\n')
    variables = {"LAB_TOKEN": world.simulator.token}
    arguments = ["sites", "list"]
    if place == "before":
        arguments = ["--profile", "lab", *arguments]
    elif place == "after":
        arguments += ["--profile", "lab"]
    elif place == "variable":
        variables["ENAPTER_PROFILE"] = "lab"
    result = run(config, *arguments, **variables)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("ID")


def test_a_named_profile_takes_nothing_from_the_environment(world: Served, config: Path) -> None:
    write(config, f'[profiles.lab]\nbase_url = "{world.simulator.url}"\ntoken_env = "LAB_TOKEN"\n')
    result = run(config, "sites", "list", "--profile", "lab", **world.environment)
    assert result.exit_code == 3
    assert "LAB_TOKEN, which is not set" in result.stderr


def test_the_environment_wins_over_the_default(world: Served, config: Path) -> None:
    write(config, 'default = "lab"\n[profiles.lab]\nbase_url = "http://127.0.0.1:1"\ntoken_env = "LAB_TOKEN"\n')
    assert run(config, "sites", "list", **world.environment).exit_code == 0


@pytest.mark.parametrize("form", ["list", "text"])
def test_a_token_from_a_command(world: Served, config: Path, tmp_path: Path, form: str) -> None:
    script = tmp_path / "token.py"
    script.write_text(f"print({world.simulator.token!r})\n")
    command = f'["{sys.executable}", "{script}"]' if form == "list" else f'"{sys.executable} {script}"'
    write(config, f'[profiles.lab]\nbase_url = "{world.simulator.url}"\ntoken_command = {command}\n')
    result = run(config, "sites", "list", "--profile", "lab")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ('["/nonexistent/pass"]', "token_command /nonexistent/pass cannot be run"),
        (f'["{sys.executable}", "-c", "raise SystemExit(3)"]', "failed with exit code 3"),
        (f'["{sys.executable}", "-c", ""]', "token must not be empty"),
    ],
)
def test_a_command_that_gives_no_token(config: Path, command: str, text: str) -> None:
    write(config, f'[profiles.lab]\nbase_url = "http://127.0.0.1:1"\ntoken_command = {command}\n')
    result = run(config, "sites", "list", "--profile", "lab")
    assert result.exit_code == 3, result.output
    assert text in result.stderr


def test_a_token_in_the_file_is_for_its_owner_only(world: Served, config: Path) -> None:
    text = f'[profiles.lab]\nbase_url = "{world.simulator.url}"\ntoken = "{world.simulator.token}"\n'
    write(config, text)
    assert run(config, "sites", "list", "--profile", "lab").exit_code == 0
    write(config, text, mode=0o644)
    result = run(config, "sites", "list", "--profile", "lab")
    assert result.exit_code == 3
    assert f"chmod 600 {config}" in result.stderr
    assert world.simulator.token not in result.output


@pytest.mark.parametrize(
    "other",
    ['token = "secret"', "", "colour = 1", "token_env = 1", 'token_command = "unclosed \'"'],
    ids=["permissions", "no token", "unknown setting", "wrong type", "unclosed quote"],
)
def test_a_faulty_profile_does_not_block_the_others(world: Served, config: Path, other: str) -> None:
    text = f'[profiles.lab]\nbase_url = "{world.simulator.url}"\ntoken_env = "LAB_TOKEN"\n[profiles.other]\n{other}\n'
    write(config, text, mode=0o644)
    variables = {"LAB_TOKEN": world.simulator.token}
    assert run(config, "sites", "list", "--profile", "lab", **variables).exit_code == 0
    result = run(config, "sites", "list", "--profile", "other", **variables)
    assert result.exit_code == 3, result.output
    assert str(config) in result.stderr


@pytest.mark.parametrize("arguments", [["--profile", "lab"], []])
def test_a_missing_file_is_called_missing(config: Path, arguments: list[str]) -> None:
    result = run(config, "sites", "list", *arguments)
    assert result.exit_code == 3
    assert f"{config} does not exist" in result.stderr


def test_a_file_may_begin_with_a_byte_order_mark(world: Served, config: Path) -> None:
    text = f'[profiles.lab]\nbase_url = "{world.simulator.url}"\ntoken_env = "LAB_TOKEN"\n'
    config.write_text(text, encoding="utf-8-sig")
    assert run(config, "sites", "list", "--profile", "lab", LAB_TOKEN=world.simulator.token).exit_code == 0


def test_a_token_may_begin_with_a_byte_order_mark(world: Served, config: Path) -> None:
    script = f"import sys; sys.stdout.buffer.write({world.simulator.token!r}.encode('utf-8-sig'))"
    command = json.dumps([sys.executable, "-c", script])
    write(config, f'[profiles.lab]\nbase_url = "{world.simulator.url}"\ntoken_command = {command}\n')
    result = run(config, "sites", "list", "--profile", "lab")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_file_in_another_encoding(config: Path, encoding: str) -> None:
    config.write_text('default = "Zürich"\n', encoding=encoding)
    result = run(config, "sites", "list", "--profile", "lab")
    assert result.exit_code == 3
    assert f"{config} is not UTF-8" in result.stderr


def test_a_profiles_site_is_the_default(world: Served, config: Path) -> None:
    site = world.ids["site"]
    where = f'base_url = "{world.simulator.url}"\nsite_id = "{site}"'
    write(config, f'[profiles.lab]\n{where}\ntoken_env = "LAB_TOKEN"\n')
    for arguments in (["rules", "list", "--profile", "lab"], ["--profile", "lab", "rules", "list"]):
        assert run(config, *arguments, LAB_TOKEN=world.simulator.token).exit_code == 0
        assert site in world.requests[-1].path


def test_other_programs_use_profiles_too(world: Served, config: Path, tmp_path: Path) -> None:
    write(config, f'[profiles.lab]\nbase_url = "{world.simulator.url}"\ntoken_env = "LAB_TOKEN"\n')
    database = tmp_path / "telemetry.sqlite"
    arguments = ["collect", "--for", "2s", "--quiet", "--to", str(database)]
    result = run(config, "--profile", "lab", *arguments, LAB_TOKEN=world.simulator.token)
    assert result.exit_code == 0, result.output
    assert database.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[profiles", "is not valid TOML"),
        ("colour = 1", "'colour' is not a setting"),
        ("profiles = 1", "profiles must be a table"),
        ("profiles.lab = 1", "profile 'lab'"),
        ("[profiles.lab]\ntoken_env = 1", "token_env must be text"),
        ("[profiles.lab]\ntoken_command = []", "token_command must be"),
        (
            '[profiles.lab]\ntoken_command = "pass \'lab"',
            "token_command is not a valid command line: No closing quotation",
        ),
        ("profiles = " + "[" * 2_000 + "]" * 2_000, "nested too deeply"),
        ("[profiles.lab]\ntoken_command = [1]", "token_command must be"),
        ("[profiles.lab]\n", "needs exactly one of token, token_env, token_command"),
        ('[profiles.lab]\ntoken_env = "A"\ntoken = "B"', "needs exactly one of"),
        ('[profiles.lab]\ntoken_env = "A"\nurl = "B"', "'url' is not a setting"),
        ('default = "field"\n[profiles.lab]\ntoken_env = "A"', "default 'field' is not a profile; there are lab"),
        ('[profiles.field]\ntoken_env = "A"', "there is no profile 'lab'"),
        ('[profiles.lab]\ntoken_env = "LAB_TOKEN"\nca_file = "none.pem"', "none.pem cannot be used"),
        ('[profiles.lab]\ntoken_env = "LAB_TOKEN"\nbase_url = "plant"', "base_url must start with http"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(config: Path, text: str, said: str) -> None:
    write(config, text)
    result = run(config, "sites", "list", "--profile", "lab", LAB_TOKEN="secret-token")
    assert result.exit_code == 3
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "secret-token" not in result.output
