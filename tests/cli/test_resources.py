"""Every command on resources, in both outputs, against a simulator; and that none is forgotten here."""

from __future__ import annotations

import csv
import io
import json
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from commands import environment
from served import Served, invoke, served

from enapter_async import DeviceExpand
from enapter_async.cli.application import COMMANDS, application
from enapter_async.simulator import Fault

LOOKING = [
    "sites list",
    "sites get",
    "sites get {site}",
    "devices list",
    "devices get {device}",
    "devices manifest {device}",
    "commands list {device}",
    "commands list --site {site} --since 30d --state SUCCESS --name enable",
    "properties get {device}",
    "configuration get {device} connection",
    "logs list {device} --limit 3",
    "telemetry latest {device}",
    "telemetry latest {device} power status",
    "blueprints get {blueprint}",
    "blueprints find inverter",
    "rules list --site {site}",
    "rules get night-charge --site {site}",
    "rule-engine get --site {site}",
    "rule-engine get",
]
CHANGING = [
    "sites create --name New --timezone Europe/Lisbon --location Pier --latitude 1 --longitude 2",
    "sites update {site} --name Renamed",
    "devices update {device} --name Renamed",
    "devices assign-blueprint {device} {blueprint} --yes",
    "commands start {device} enable --yes",
    "commands run {device} set_power_limit limit_kw=5 --log --yes",
    "configuration set {device} connection unit_id=7 --reset timeout --yes",
    "configuration reset {device} connection --yes",
    "provisioning standalone --name Mine --slug mine --site {site}",
    "provisioning vucm --name Virtual --hardware-id V0123456789ABCDEF0123456789ABCDEF --site {site}",
    "provisioning lua-device --name Lua --runtime-id {ucm} --blueprint-id {blueprint}",
    "rules create --slug fresh --script {script} --disable --site {site} --yes",
    "rules rename night-charge day-charge --site {site}",
    "rules update-script night-charge --script {script} --runtime V1 --interval 10s --site {site} --yes",
    "rule-engine suspend --site {site} --yes",
    "rule-engine resume --site {site} --yes",
]
SILENT = [
    "sites delete {empty} --yes",
    "devices delete {device} --yes",
    "rules enable peak-shaving --site {site} --yes",
    "rules enable peak-shaving night-charge --site {site} --yes",
    "rules disable night-charge --site {site} --yes",
    "rules disable peak-shaving night-charge --site {site} --yes",
    "rules delete night-charge --site {site} --yes",
]
SECRET = [
    "devices communication-config {ucm} --yes",
    "devices terminal {gateway} --yes",
    "provisioning ucm --name Hard --hardware-id 0123456789ABCDEF0123456789ABCDEF --site {site} --yes",
]
ELSEWHERE = {
    "gaps list", "gaps repair",
    "commands get", "commands wait", "blueprints validate", "blueprints upload", "blueprints download",
    "blueprints download-profiles", "blueprints upload-profiles", "rules log",
}  # fmt: skip


@pytest.fixture(scope="module")
def looked_at() -> Iterator[Served]:
    with served(devices=5, log_interval=0.5) as world:
        yield world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Served]:
    with served(devices=5, log_interval=0.5) as world:
        script = tmp_path / "rule.lua"
        script.write_text("-- nothing\n")
        world.ids["script"] = str(script)
        yield world


def all_commands() -> set[str]:
    context = click.Context(application)
    found: set[str] = set()
    for name in COMMANDS:
        command = application.get_command(context, name)
        if isinstance(command, click.Group):
            found.update(f"{name} {one}" for one in command.list_commands(context))
    return found


def test_no_command_is_forgotten() -> None:
    tested = {" ".join(line.split()[:2]) for line in LOOKING + CHANGING + SILENT + SECRET}
    assert all_commands() == tested | ELSEWHERE


@pytest.mark.parametrize("line", LOOKING)
def test_looking(looked_at: Served, line: str) -> None:
    table = looked_at.run(*line.split())
    assert table.exit_code == 0, table.output
    found = looked_at.read(*line.split())
    lines = table.stdout.splitlines()
    if isinstance(found, list):
        assert len(lines) == len(found) + bool(found)
    else:
        assert lines[0].split() == ["FIELD", "VALUE"]
        assert {one for one, value in found.items() if value is not None} <= {line.split(" ")[0] for line in lines}


@pytest.mark.parametrize("form", ["table", "json"])
@pytest.mark.parametrize("line", CHANGING)
def test_changing(world: Served, line: str, form: str) -> None:
    result = world.run(*line.split(), "--output", form)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    if form == "json":
        assert json.loads(result.stdout)
    else:
        assert result.stdout.startswith("FIELD")
    assert [one.method for one in world.requests if one.method != "GET"][-1:] != []


@pytest.mark.parametrize("line", SILENT)
def test_what_has_no_result_says_that_it_is_done(world: Served, line: str) -> None:
    result = world.run(*line.split())
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


def test_an_execution_is_waited_for_and_found(world: Served) -> None:
    started = world.read("commands", "start", "{device}", "enable", "--yes")["execution_id"]
    for form in ("table", "json"):
        waited = world.run("commands", "wait", "{device}", started, "--output", form)
        assert waited.exit_code == 0, waited.output
        assert "SUCCESS" in waited.stdout
        assert world.run("commands", "get", "{device}", started, "--log", "--output", form).exit_code == 0
    listed = world.read("commands", "list", "{device}", "--since", "1h")
    assert listed[0]["id"] == started
    assert listed[0]["request"]["name"] == "enable"


def test_arguments_are_json_where_they_can_be(world: Served) -> None:
    world.run("commands", "start", "{device}", "set_power_limit", "limit_kw=2.5", "--yes")
    (execution,) = world.read("commands", "list", "{device}", "--name", "set_power_limit", "--limit", "1")
    assert execution["request"]["arguments"] == {"limit_kw": 2.5}


def test_blueprints_go_and_come(world: Served, tmp_path: Path) -> None:
    archive = tmp_path / "blueprint.zip"
    for form in ("table", "json"):
        fetched = world.run("blueprints", "download", "{blueprint}", str(archive), "--output", form)
        assert fetched.exit_code == 0, fetched.output
        assert str(archive.stat().st_size) in fetched.stdout
        assert world.run("blueprints", "validate", str(archive), "--output", form).exit_code == 0
        assert world.run("blueprints", "upload", str(archive), "--output", form).exit_code == 0
        profiles = tmp_path / f"profiles-{form}.zip"
        assert world.run("blueprints", "download-profiles", str(profiles), "--output", form).exit_code == 0
        replaced = world.run("blueprints", "upload-profiles", str(profiles), "--yes")
        assert (replaced.exit_code, replaced.stdout) == (0, "")
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "manifest.yml").write_text("nothing: right\n")
    wrong = world.run("blueprints", "validate", str(tmp_path / "wrong"))
    assert wrong.exit_code == 1
    assert "errors" in wrong.stdout
    assert len(wrong.stderr.splitlines()) == 1


@pytest.mark.parametrize("line", SECRET)
def test_secrets_have_a_place_before_anything_is_sent(world: Served, line: str, tmp_path: Path) -> None:
    refused = world.run(*line.split())
    assert refused.exit_code == 2
    assert "add --to FILE or --show-secrets" in refused.stderr
    assert not [one for one in world.requests if one.method == "POST"]

    place = tmp_path / "secrets.json"
    written = world.run(*line.split(), "--to", str(place), "--output", "json")
    assert written.exit_code == 0, written.output
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    hidden, whole = json.loads(written.stdout), json.loads(place.read_text())
    assert "(hidden)" in hidden.values()
    assert "(hidden)" not in whole.values()
    again = world.run(*line.split(), "--to", str(place))
    assert again.exit_code == 7
    assert json.loads(place.read_text()) == whole

    shown = world.run(*line.split(), "--show-secrets")
    assert shown.exit_code == 0, shown.output
    assert "(hidden)" not in shown.stdout


def test_no_empty_file_stays_of_secrets_that_did_not_come(world: Served, tmp_path: Path) -> None:
    place = tmp_path / "secrets.json"
    result = world.run("devices", "communication-config", "nobody", "--yes", "--to", str(place))
    assert result.exit_code == 5
    assert not place.exists()


@pytest.mark.parametrize("line", [line for line in [*CHANGING, *SILENT, *SECRET] if line.endswith("--yes")])
def test_nobody_to_ask_means_no(world: Served, line: str) -> None:
    result = world.run(*line.removesuffix("--yes").split())
    assert result.exit_code == 2
    assert "add --yes" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not [one for one in world.requests if one.method != "GET"]


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 130), ("", 130)])
def test_the_answer_counts(world: Served, monkeypatch: pytest.MonkeyPatch, answer: str, code: int) -> None:
    monkeypatch.setattr("enapter_async.cli.resources.question.is_answerable", lambda: True)
    result = world.run("devices", "delete", "{device}", typed=answer)
    assert result.exit_code == code
    assert ("DELETE" in {one.method for one in world.requests}) is (answer == "y")


@pytest.mark.parametrize(
    ("method", "line", "look"),
    [
        ("POST", "commands start {device} enable --yes", "commands list {device} --name enable"),
        ("POST", "commands run {device} enable --yes", "commands list {device} --name enable"),
        ("DELETE", "devices delete {device} --yes", "devices get {device}"),
    ],
)
@pytest.mark.parametrize("fault", ["status", "disconnect"])
def test_what_may_have_been_done_has_its_own_code(world: Served, method: str, line: str, look: str, fault: str) -> None:
    if fault == "status":
        world.simulator.faults.on(None, Fault.html(503), method=method, when="after")
    else:
        world.simulator.faults.on(None, Fault.reset(), method=method, when="after")
    result = world.run(*line.split())
    assert result.exit_code == 8, result.output
    assert result.stderr.startswith("enapter-async: it may have been done: ")
    assert f"check before repeating it: enapter-async {look.format(**world.ids)}" in result.stderr
    assert len([one for one in world.requests if one.method == method]) == 1
    assert len(result.stderr.splitlines()) == 1


def test_csv_and_lines_have_every_field(looked_at: Served) -> None:
    devices = looked_at.read("devices", "list")
    lines = looked_at.run("devices", "list", "--output", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == devices
    table = list(csv.DictReader(io.StringIO(looked_at.run("devices", "list", "-o", "csv").stdout)))
    assert [row["id"] for row in table] == [one["id"] for one in devices]
    assert set(table[0]) == set(devices[0])
    properties = looked_at.run("properties", "get", "{device}", "-o", "csv").stdout.splitlines()
    assert properties[0].startswith("serial_number,")
    assert len(properties) == 2


def test_nothing_found_is_an_empty_list(looked_at: Served) -> None:
    none = ["commands", "list", "{device}", "--name", "nothing"]
    assert looked_at.read(*none) == []
    table = looked_at.run(*none)
    assert (table.exit_code, table.stdout, table.stderr) == (0, "", "nothing found\n")
    assert looked_at.run(*none, "-o", "csv").stdout.startswith("id,")


def test_expand_is_the_sdks(looked_at: Served) -> None:
    every = [argument for one in DeviceExpand.__args__ for argument in ("--expand", one)]
    device = looked_at.read("devices", "get", "{device}", *every)
    assert all(device[one] is not None for one in DeviceExpand.__args__)


@pytest.mark.parametrize(
    ("line", "code", "text"),
    [
        ("devices get nobody", 5, "devices.get"),
        ("devices list --expand everything", 2, "everything"),
        ("devices list --limit 0", 2, "--limit"),
        ("commands list", 2, "name a DEVICE, or a --site"),
        ("commands start {device} enable power", 2, "'power' is not NAME=VALUE"),
        ("commands start {device} enable a=1 a=2", 2, "'a' is given twice"),
        ("commands start {device} nonsense --yes", 1, "nonsense"),
        ("configuration set {device} connection --yes", 2, "give NAME=VALUE or --reset NAME"),
        ("logs list {device} --follow --since 1h", 2, "--follow begins now"),
        ("logs list {device} --follow --output json", 2, "use --output jsonl"),
        ("sites create --name x --timezone y --latitude 1", 2, "must be used together"),
        ("sites list --name x --mine", 2, "cannot be used together"),
    ],
)
def test_errors_are_one_line(looked_at: Served, line: str, code: int, text: str) -> None:
    result = looked_at.run(*line.split())
    assert result.exit_code == code
    assert text in result.stderr
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


def test_following_telemetry_and_logs(looked_at: Served) -> None:
    latest = looked_at.run("telemetry", "latest", "{device}", "power", "--follow", "--limit", "2", "-o", "jsonl")
    assert latest.exit_code == 0, latest.output
    points = [json.loads(line) for line in latest.stdout.splitlines()]
    assert [one["attribute"] for one in points] == ["power", "power"]
    assert points[0]["timestamp"] < points[1]["timestamp"]
    # On a loaded machine, a tick may be late.
    assert [line for line in latest.stderr.splitlines() if "missed" not in line] == []


@pytest.mark.parametrize("line", ["logs list {device} --follow", "telemetry latest {device} -f"])
def test_ctrl_c_ends_following_properly(looked_at: Served, line: str) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-W",
            "error",
            "-m",
            "enapter_async.cli",
            *(part.format(**looked_at.ids) for part in line.split()),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=environment(**{name: value or "" for name, value in looked_at.environment.items()}),
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (0, "")


def test_control_characters_from_elsewhere_do_not_reach_the_terminal(world: Served) -> None:
    assert world.run("devices", "update", "{device}", "--name", "a\x1b[2Jb\nc").exit_code == 0
    listed = world.run("devices", "list").stdout
    assert "\x1b" not in listed
    assert r"a\x1b[2Jb\nc" in listed


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    result = invoke("completion", shell)
    assert result.exit_code == 0
    assert "_ENAPTER_ASYNC_COMPLETE" in result.stdout


def test_the_shell_is_told_commands_and_options() -> None:
    def complete(words: str) -> str:
        position = str(words.count(" "))
        ended = subprocess.run(
            [sys.executable, "-c", "from enapter_async.cli import main; main()"],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
            env=environment(_ENAPTER_ASYNC_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=position),
        )
        return ended.stdout

    assert "plain,rule-engine" in complete("enapter-async rule")
    assert "plain,assign-blueprint" in complete("enapter-async devices as")
    assert "plain,jsonl" in complete("enapter-async devices list --output j")


def test_help_imports_no_command() -> None:
    script = (
        "import sys; sys.argv[1:] = ['--help']\n"
        "from enapter_async.cli import main\n"
        "try: main()\n"
        "finally: print([name for name in ('aiohttp', 'anyio', 'cattrs') if name in sys.modules], file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=20)
    assert ended.returncode == 0
    assert ended.stderr == "[]\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_list_says(name: str) -> None:
    command = application.get_command(click.Context(application), name)
    assert command is not None
    assert command.name == name
    assert invoke(name, "--help").exit_code == 0


def test_colours_are_for_terminals(looked_at: Served) -> None:
    assert "\x1b" not in looked_at.run("devices", "list").output
    assert "\x1b" not in looked_at.run("doctor").output


@pytest.mark.parametrize("width", [20, 80, 110, 200])
def test_ids_can_be_copied_from_a_terminal_of_any_width(looked_at: Served, width: int) -> None:
    listed = looked_at.run("devices", "list", COLUMNS=str(width), FORCE_COLOR="1").stdout
    assert all(one["id"] in listed for one in looked_at.read("devices", "list"))


def test_output_that_has_not_all_letters_gets_escapes(looked_at: Served) -> None:
    """A pipe on Windows, say, or one in the C locale of an old system."""
    for line in ("devices get {device}", "plot {device} power --from 1h"):
        ended = subprocess.run(
            [sys.executable, "-m", "enapter_async.cli", *line.format(**looked_at.ids).split()],
            capture_output=True,
            check=False,
            timeout=30,
            env=environment(
                PYTHONIOENCODING="ascii", **{name: value or "" for name, value in looked_at.environment.items()}
            ),
        )
        assert (ended.returncode, ended.stderr) == (0, b"")
        assert ended.stdout.isascii()
