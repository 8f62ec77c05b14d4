"""What the shell completes: from the cache or the server, in bounded time, and in silence if that fails."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest
from answering import answering
from served import Served, invoke, served

from enapter_async.cli import completers
from enapter_async.simulator import Fault


@pytest.fixture(scope="module")
def world() -> Iterator[Served]:
    with served(devices=6) as world:
        yield world


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_args, **_options: tmp_path / "cache")
    return tmp_path / "cache"


def complete(line: str, shell: str = "fish", **variables: str | None) -> dict[str, str]:
    """Complete the last word of a line; what each completion means by its value."""
    words = line.split(" ")
    environment = {"COMP_WORDS": f"enapter-async {line}", "COMP_CWORD": words[-1], "COMP_INCOMPLETE": words[-1]}
    result = invoke(_ENAPTER_ASYNC_COMPLETE=f"{shell}_complete", **environment, **variables)
    assert result.stderr == ""
    lines = [text.removeprefix("plain,") for text in result.stdout.splitlines() if text]
    return {value: about for value, _, about in (text.partition("\t") for text in lines)}


@pytest.mark.parametrize("shell", ["fish", "powershell"])
def test_devices_by_id_and_slug(world: Served, shell: str) -> None:
    found = complete("devices get ", shell, **world.environment)
    assert found["battery-1"] == "Battery 1"
    assert found[world.ids["device"]] == world.ids["name"]
    assert set(complete("devices get batt", shell, **world.environment)) == {"battery-1"}


@pytest.mark.parametrize("line", ["plot ", "commands run ", "telemetry latest ", "export --device ", "logs list "])
def test_wherever_a_device_is_named(world: Served, line: str) -> None:
    assert "battery-1" in complete(line, **world.environment)


@pytest.mark.parametrize(
    "line", ["plot battery-1 ", "telemetry latest battery-1 ", "export --device battery-1 --attribute "]
)
def test_attributes_of_the_device(world: Served, line: str) -> None:
    found = complete(line, **world.environment)
    assert found["soc"] == "State of charge"


def test_profiles(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[profiles.lab]\ntoken_env = "A"\n[profiles.plant]\ntoken = "secret"\n')
    variables = {"ENAPTER_CONFIG": str(tmp_path / "config.toml")}
    assert set(complete("devices list --profile ", **variables)) == {"lab", "plant"}
    assert set(complete("--profile p", **variables)) == {"plant"}


def test_the_named_profile_is_asked(world: Served, tmp_path: Path) -> None:
    text = f'[profiles.lab]\nbase_url = "{world.simulator.url}"\ntoken_env = "LAB"\n'
    (tmp_path / "config.toml").write_text(text)
    variables = {"ENAPTER_CONFIG": str(tmp_path / "config.toml"), "LAB": world.simulator.token}
    assert complete("--profile lab devices get ", **variables)
    assert complete("devices get --profile lab ", **variables)
    assert not complete("devices get ", **variables)


def test_the_cache_is_for_its_owner_and_spares_requests(world: Served, cache: Path) -> None:
    complete("devices get ", **world.environment)
    before = len(world.requests)
    assert "battery-1" in complete("devices get ", **world.environment)
    assert len(world.requests) == before
    (file,) = (cache / "completion").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert world.simulator.token not in file.name + file.read_text()


@pytest.mark.parametrize("age", [-3_600, 3_600])
def test_a_cache_from_long_ago_or_from_the_future_is_not_fresh(world: Served, cache: Path, age: int) -> None:
    complete("devices get ", **world.environment)
    (file,) = (cache / "completion").iterdir()
    os.utime(file, (time.time() - age,) * 2)
    before = len(world.requests)
    assert "battery-1" in complete("devices get ", **world.environment)
    assert len(world.requests) == before + 1


def test_another_token_has_another_cache(world: Served) -> None:
    assert complete("devices get ", **world.environment)
    assert not complete("devices get ", **{**world.environment, "ENAPTER_HTTP_API_TOKEN": "other"})


def test_a_slow_server_is_not_waited_for(world: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completers, "_SECONDS", 0.1)
    world.simulator.faults.on("listDevices", Fault.hang(30), nth=None)
    try:
        started = time.monotonic()
        assert complete("devices get ", **world.environment) == {}
        assert time.monotonic() - started < 30
    finally:
        world.simulator.faults.clear()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"ENAPTER_HTTP_API_TOKEN": "secret", "ENAPTER_HTTP_API_BASE_URL": "http://127.0.0.1:1"},
        {"ENAPTER_PROFILE": "none"},
        {"ENAPTER_CONFIG": "/nonexistent/config.toml"},
    ],
)
@pytest.mark.parametrize("line", ["devices get ", "plot battery-1 ", "plot --profile "])
def test_it_fails_in_silence(line: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completers, "_SECONDS", 0.3)
    assert complete(line, **variables) == {}


def test_names_that_would_be_more_than_a_word_are_left_out() -> None:
    devices = [{"id": "d1", "slug": "$(reboot)", "name": "a\nb\x1b[2J"}, {"id": "d 2", "slug": "two", "name": ""}]
    with answering({"/v3/devices": {"devices": devices, "total_count": 2}}) as server:
        variables = {"ENAPTER_HTTP_API_TOKEN": "secret", "ENAPTER_HTTP_API_BASE_URL": server.url}
        assert complete("devices get ", **variables) == {"d1": r"a\nb\x1b[2J", "two": ""}


def test_the_script_for_powershell() -> None:
    script = invoke("completion", "powershell").stdout
    assert "Register-ArgumentCompleter -Native -CommandName enapter-async" in script
    assert '$env:_ENAPTER_ASYNC_COMPLETE = "powershell_complete"' in script


@pytest.mark.parametrize("command", ["collect", "export", "gaps repair telemetry.sqlite"])
def test_several_attributes_after_commas(world: Served, command: str) -> None:
    line = f"{command} --device battery-1 --attributes"
    assert {"numeric", "all", "soc"} <= complete(f"{line} ", **world.environment).keys()
    assert complete(f"{line} power,so", **world.environment).keys() == {"power,soc", "power,soh"}
    assert "numeric" not in complete(f"{line} power,n", **world.environment)


@pytest.mark.parametrize("command", ["collect", "export", "gaps repair telemetry.sqlite"])
def test_devices_and_attributes_are_completed_alike(world: Served, command: str) -> None:
    assert "battery-1" in complete(f"{command} --device ", **world.environment)
    assert "soc" in complete(f"{command} --device battery-1 --attribute ", **world.environment)
