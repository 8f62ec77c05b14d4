"""Ctrl-C at any moment: one line and exit code 130, never a traceback, and nothing left behind.

The moments are not tried at random: the command interrupts itself at each of those at which Python's own answer to
Ctrl-C is another one.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from pathlib import Path
from textwrap import dedent

import anyio
import anyio.to_thread
import pytest
from commands import COMMAND, DEVELOPMENT, Ended, begin, end, environment

from enapter_async.simulator import Fault, Simulator
from tests.waiting import block_until, wait_until

pytestmark = pytest.mark.anyio

_HEAD = """
import asyncio, atexit, functools, importlib.abc, os, signal, sys
import enapter_async.cli

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

class Before(importlib.abc.MetaPathFinder):
    # Interrupts before a module is imported.
    def __init__(self, name):
        self.name = name
    def find_spec(self, name, path=None, target=None):
        if name == self.name:
            interrupt()

def before(owner, name):
    # Interrupts before a function is called.
    function = getattr(owner, name)
    @functools.wraps(function)
    def interrupted(*arguments, **options):
        interrupt()
        return function(*arguments, **options)
    setattr(owner, name, interrupted)
"""


def run_with(script: str, *arguments: str) -> Ended:
    """Run the command after a script; nobody listens at its server."""
    process = subprocess.Popen(
        [*DEVELOPMENT, "-c", f"{_HEAD}{dedent(script)}\nenapter_async.cli.main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(ENAPTER_HTTP_API_TOKEN="secret", ENAPTER_HTTP_API_BASE_URL="http://127.0.0.1:1"),
    )
    return end(process)


def wait_until_asleep(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process waits for something: a signal just before would not be seen until there is an answer."""
    block_until(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S")


def check_stopped(ended: Ended, message: str = "stopped", code: int = 130) -> None:
    assert (ended.code, ended.stdout, ended.stderr) == (code, "", f"enapter-async: {message}\n")


@pytest.mark.parametrize(
    "module",
    [
        "enapter_async.cli.application",
        "rich_click.rich_command",
        "enapter_async.cli.doctor.command",
        "anyio",
        "aiohttp",
    ],
)
def test_while_modules_are_imported(module: str) -> None:
    check_stopped(run_with(f"sys.meta_path.insert(0, Before({module!r}))", "doctor", "--output", "jsonl"))


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        ("asyncio.Runner", "run"),
        ("asyncio.BaseEventLoop", "run_until_complete"),
        ("asyncio.runners", "_cancel_all_tasks"),
        ("asyncio.BaseEventLoop", "shutdown_asyncgens"),
        ("asyncio.BaseEventLoop", "shutdown_default_executor"),
    ],
)
def test_while_the_event_loop_begins_or_ends(owner: str, name: str) -> None:
    check_stopped(run_with(f"before({owner}, {name!r})", "devices", "list"))


def test_while_the_interpreter_ends_it_changes_nothing() -> None:
    ended = run_with("atexit.register(interrupt)", "--version")
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout.startswith("enapter-async ")


def test_one_that_comes_out_as_another_exception() -> None:
    script = """
    from enapter_async.cli import interruption
    def draw(*_):
        try:
            with interruption.raising():
                interrupt()
        except KeyboardInterrupt as error:
            raise RuntimeError("Error calling __set_name__ on a descriptor") from error
    import enapter_async.cli.running as running
    running.anyio.run = draw
    """
    check_stopped(run_with(script, "devices", "list"))


def test_a_second_one_does_not_wait_for_what_the_first_one_waits_for() -> None:
    script = """
    import anyio
    from enapter_async import EnapterClient

    async def aclose(self):
        interrupt()
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.05)
            interrupt()
            await anyio.sleep(100)

    EnapterClient.aclose = aclose
    """
    check_stopped(run_with(script, "devices", "list"))


def test_a_copy_of_the_first_one_is_no_second_one() -> None:
    script = """
    import anyio
    from enapter_async import EnapterClient

    async def open(self):
        interrupt()
        interrupt()  # `timeout` signals the process, and then its group
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.01)
            os.write(2, b"finished\\n")
        return self

    EnapterClient.__aenter__ = open
    """
    ended = run_with(script, "devices", "list")
    assert (ended.code, ended.stderr) == (130, "finished\nenapter-async: stopped\n")


async def test_a_command_that_may_have_been_sent_is_not_said_to_be_stopped() -> None:
    async with Simulator(devices=8) as sim:
        sim.faults.on("createExecution", Fault.hang(100))
        process = begin(
            *("commands", "run", "battery-1", "set_power_limit", "limit_kw=5", "--yes"),
            ENAPTER_HTTP_API_TOKEN=sim.token,
            ENAPTER_HTTP_API_BASE_URL=sim.url,
        )
        await wait_until(lambda: sim.requests_of("createExecution"))
        process.send_signal(signal.SIGINT)
        ended = await anyio.to_thread.run_sync(end, process)
    look = "enapter-async commands list battery-1 --name set_power_limit --ephemeral --since 15m"
    check_stopped(
        ended,
        f"it may have been done: stopped before a response came; check before repeating it: {look}",
        code=8,
    )


def test_at_a_question_the_terminal_is_put_in_order(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "devices", "delete", "battery-1"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(TERM="xterm", HOME=str(tmp_path), ENAPTER_HTTP_API_TOKEN="secret"),
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
            if shown.endswith(b"[y/N]: "):
                wait_until_asleep(process)
                process.send_signal(signal.SIGINT)
    except OSError:
        pass  # the other end was closed
    finally:
        os.close(ours)
    assert process.wait(10) == 130
    assert shown.decode().splitlines()[-1] == "enapter-async: nothing was done"


@pytest.mark.parametrize("module", ["enapter_async.cli.application", "aiohttp"])
def test_sigterm_while_modules_are_imported(module: str) -> None:
    script = f"""
    def interrupt():
        os.kill(os.getpid(), signal.SIGTERM)
    sys.meta_path.insert(0, Before({module!r}))
    """
    check_stopped(run_with(script, "doctor", "--output", "jsonl"), code=143)


def namespaces_allowed() -> bool:
    try:
        return subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not namespaces_allowed(), reason="needs unshare and the right to make a PID namespace")
@pytest.mark.parametrize(
    ("arguments", "operation", "message"),
    [
        (["export", "--to"], "listDevices", "stopped; repeat the command to resume"),
        (["export", "--to"], "queryTimeseries", "stopped; repeat the command to resume"),
        (["devices", "list"], "listDevices", "stopped"),
    ],
)
async def test_process_1_of_a_container_ends_on_sigterm(
    tmp_path: Path, arguments: list[str], operation: str, message: str
) -> None:
    # The system does not deliver a signal to process 1 that it has no handler for.
    more = [str(tmp_path / "history.csv")] if arguments[-1] == "--to" else []
    async with Simulator(devices=2) as sim:
        sim.faults.on(operation, Fault.hang(100))
        process = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", *COMMAND, *arguments, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(ENAPTER_HTTP_API_TOKEN=sim.token, ENAPTER_HTTP_API_BASE_URL=sim.url),
        )
        await wait_until(lambda: sim.requests_of(operation))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
        ended = await anyio.to_thread.run_sync(end, process)
    check_stopped(ended, message, code=143)
