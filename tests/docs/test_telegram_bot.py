"""The Telegram bot of the examples, against the simulator and a Telegram that is a class or a server of ours."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import signal
import sqlite3
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest
from aiohttp import web
from pages import ROOT, environment

from enapter_async import EnapterClient
from enapter_async.integrations.virtual_time import VirtualTimeLoop
from enapter_async.simulator import Device, Fault, Simulator

pytest.importorskip("aiogram", reason="aiogram is not installed")

from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.exceptions import TelegramNetworkError
from aiogram.methods import AnswerCallbackQuery, EditMessageText, GetMe, GetUpdates, SendMessage
from aiogram.types import CallbackQuery, Chat, InlineKeyboardMarkup, Message, Update, User

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.loop(factory=VirtualTimeLoop),
    pytest.mark.skipif(sys.platform == "win32", reason="aiogram handles no signals on Windows"),
]

EXAMPLE = ROOT / "examples" / "telegram_bot.py"
CHAT = 77
BEGIN = 1_750_000_000.0
USER = User(id=5, is_bot=False, first_name="Anna")
START = "createExecution"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    specification = importlib.util.spec_from_file_location("telegram_bot", EXAMPLE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["telegram_bot"] = module
    specification.loader.exec_module(module)
    return module


class Telegram(BaseSession):
    """Telegram as a bot sees it: `sent` is what the chat shows, `say` and `press` are what people do."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[SendMessage] = []
        self.edited: list[str] = []
        self.down = False
        self.polled = False
        self._updates: list[Update] = []
        self._numbers = itertools.count(1)
        self._news = asyncio.Event()

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.sent]

    def say(self, text: str, *, chat: int = CHAT) -> None:
        message = Message(message_id=1, date=now(), chat=Chat(id=chat, type="group"), from_user=USER, text=text)
        self._put(message=message)

    def press(self, question: SendMessage, label: str) -> None:
        assert isinstance(question.reply_markup, InlineKeyboardMarkup)
        (data,) = [one.callback_data for one in question.reply_markup.inline_keyboard[0] if one.text == label]
        message = Message(message_id=9, date=now(), chat=Chat(id=CHAT, type="group"), text=question.text)
        self._put(callback_query=CallbackQuery(id="1", from_user=USER, chat_instance="1", data=data, message=message))

    def _put(self, **what: Any) -> None:
        self._updates.append(Update(update_id=next(self._numbers), **what))
        self._news.set()

    async def make_request(self, bot: Bot, method: Any, timeout: int | None = None) -> Any:
        match method:
            case GetMe():
                return User(id=1, is_bot=True, first_name="Bot", username="bot")
            case GetUpdates():
                return await self._poll(bot, method)
            case SendMessage():
                if self.down:
                    raise TelegramNetworkError(method, "away")
                self.sent.append(method)
                return Message(message_id=9, date=now(), chat=Chat(id=CHAT, type="group"))
            case EditMessageText():
                self.edited.append(method.text)
                return True
            case AnswerCallbackQuery():
                return True
        raise AssertionError(f"not expected: {method!r}")

    async def _poll(self, bot: Bot, method: GetUpdates) -> list[Update]:
        self.polled = True
        self._news.clear()
        # What comes before the offset has been handled.
        self._updates = [update for update in self._updates if update.update_id >= (method.offset or 0)]
        new = list(self._updates)
        if not new:
            with suppress(TimeoutError):
                async with asyncio.timeout(method.timeout):
                    await self._news.wait()
        return [Update.model_validate(update.model_dump(), context={"bot": bot}) for update in new]

    async def close(self) -> None:
        pass

    async def stream_content(self, *_: Any, **__: Any) -> AsyncGenerator[bytes, None]:
        yield b""


def now() -> datetime:
    return datetime.fromtimestamp(seconds(), UTC)


def seconds() -> float:
    try:
        return BEGIN + asyncio.get_running_loop().time() % 1e6
    except RuntimeError:
        return BEGIN


@attrs.define
class Stage:
    """A plant, a chat, and the file in which the bot remembers."""

    example: ModuleType
    simulator: Simulator
    telegram: Telegram
    file: Path

    @property
    def device(self) -> Device:
        return next(device for device in self.simulator.world.devices.values() if device.name == "Electrolyser 1")

    @asynccontextmanager
    async def bot(self) -> AsyncIterator[None]:
        """Run the bot for the length of a block, and end it with the signal that a service manager sends."""
        with closing(sqlite3.connect(self.file)) as db:
            async with EnapterClient(base_url=self.simulator.url, token=self.simulator.token) as client:
                bot = Bot("1:token", session=self.telegram)
                running = asyncio.create_task(self.example.run(client, bot, db, chat=CHAT, interval=5, now=now))
                await self.until(lambda: self.telegram.polled or running.done())
                try:
                    yield
                finally:
                    self.telegram.polled = False
                    if not running.done():  # else nobody would handle the signal
                        signal.raise_signal(signal.SIGTERM)
                    await running

    async def until(self, happened: Callable[[], object], within: float = 300) -> None:
        """Let virtual time pass until something has happened."""
        async with asyncio.timeout(within):
            while not happened():
                await asyncio.sleep(0.5)

    async def asked(self) -> SendMessage:
        """Ask for a command, and return the bot's question."""
        before = len(self.telegram.sent)
        self.telegram.say(f"/run {self.device.id} start")
        await self.until(lambda: len(self.telegram.sent) > before)
        question = self.telegram.sent[-1]
        assert question.text == "Start: Electrolyser 1?\nIt begins to make hydrogen."
        return question


@pytest.fixture
async def stage(example: ModuleType, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Simulator(devices=12, clock=seconds, command_seconds=1) as simulator:
        for device in simulator.world.devices.values():
            device.raised_alert_names.clear()
        yield Stage(example, simulator, Telegram(), tmp_path / "bot.sqlite")


async def test_status_is_told_to_its_own_chat_only(stage: Stage) -> None:
    stage.simulator.world.raise_alert(stage.device, "stack_overheated")
    async with stage.bot():
        stage.telegram.say("/status", chat=CHAT + 1)
        stage.telegram.say("/status")
        await stage.until(lambda: len(stage.telegram.sent) == 2)
        await asyncio.sleep(20)
    told = sorted(stage.telegram.texts)
    assert told[0].splitlines()[0].startswith("12 devices, ")
    assert told[0].splitlines()[1:] == ["stack_overheated (Electrolyser 1)"]
    assert told[1:] == ["Raised: stack_overheated (Electrolyser 1)"]


async def test_each_change_of_an_alert_is_posted_once_also_after_a_restart(stage: Stage) -> None:
    world, device = stage.simulator.world, stage.device
    async with stage.bot():
        world.raise_alert(device, "stack_overheated")
        await stage.until(lambda: stage.telegram.sent)
        await asyncio.sleep(30)
    assert stage.telegram.texts == ["Raised: stack_overheated (Electrolyser 1)"]
    world.raise_alert(device, "maintenance-due")
    async with stage.bot():
        await asyncio.sleep(30)
    assert stage.telegram.texts[1:] == ["Raised: maintenance-due (Electrolyser 1)"]
    world.clear_alert(device, "stack_overheated")
    async with stage.bot():
        await asyncio.sleep(30)
    assert stage.telegram.texts[2:] == ["Cleared: stack_overheated (Electrolyser 1)"]


async def test_what_telegram_does_not_take_is_posted_later_and_in_order(stage: Stage) -> None:
    world, device = stage.simulator.world, stage.device
    stage.telegram.down = True
    async with stage.bot():
        world.raise_alert(device, "stack_overheated")
        await asyncio.sleep(12)
        world.clear_alert(device, "stack_overheated")
        await asyncio.sleep(12)
    assert stage.telegram.texts == []
    stage.telegram.down = False
    async with stage.bot():
        await asyncio.sleep(12)
    assert stage.telegram.texts == [
        "Raised: stack_overheated (Electrolyser 1)",
        "Cleared: stack_overheated (Electrolyser 1)",
    ]


async def test_an_outage_is_told_once_when_it_begins_and_once_when_it_ends(stage: Stage) -> None:
    async with stage.bot():
        await asyncio.sleep(12)
        stage.simulator.faults.on(None, Fault.reset(), nth=None)
        await asyncio.sleep(600)
    async with stage.bot():  # a restart is no second outage
        await asyncio.sleep(600)
        (begin,) = stage.telegram.texts
        assert begin.startswith("The devices cannot be read: devices.list ")
        stage.simulator.faults.planned.clear()
        await stage.until(lambda: len(stage.telegram.sent) == 2)
        await asyncio.sleep(60)
    assert stage.telegram.texts[1].startswith("The devices can be read again, after ")
    assert len(stage.telegram.sent) == 2


async def test_a_command_is_sent_after_a_confirmation_and_its_end_is_told(stage: Stage) -> None:
    async with stage.bot():
        question = await stage.asked()
        assert stage.simulator.requests_of(START) == []
        stage.telegram.press(question, "Run")
        stage.telegram.press(question, "Run")
        await stage.until(lambda: len(stage.telegram.sent) == 2)
        await stage.until(lambda: len(stage.telegram.edited) == 2)
    assert stage.telegram.edited == ["start was started.", "Answered before, or too old. Nothing was sent now."]
    assert stage.telegram.texts[1] == "start has ended: SUCCESS"
    assert len(stage.simulator.requests_of(START)) == 1


@pytest.mark.parametrize("text", ["/run", "/run no-such-device start", "/run {device} no-such-command"])
async def test_what_cannot_be_run_is_said_and_not_asked(stage: Stage, text: str) -> None:
    async with stage.bot():
        stage.telegram.say(text.format(device=stage.device.id))
        await stage.until(lambda: stage.telegram.sent)
    (answer,) = stage.telegram.sent
    assert answer.reply_markup is None
    assert answer.text.startswith(("Usage:", "The device cannot be read:", "Electrolyser 1 has no command"))


async def test_cancelled_and_late_confirmations_send_nothing(stage: Stage) -> None:
    async with stage.bot():
        cancelled = await stage.asked()
        stage.telegram.press(cancelled, "Cancel")
        stage.telegram.press(cancelled, "Run")
        late = await stage.asked()
        await asyncio.sleep(360)
        stage.telegram.press(late, "Run")
        await stage.until(lambda: len(stage.telegram.edited) == 3)
    too_late = "Answered before, or too old. Nothing was sent now."
    assert stage.telegram.edited == ["Cancelled.", too_late, too_late]
    assert stage.simulator.requests_of(START) == []


async def test_after_a_lost_answer_the_execution_is_looked_up(stage: Stage) -> None:
    stage.simulator.faults.on(START, Fault.reset(), when="after")
    async with stage.bot():
        stage.telegram.press(await stage.asked(), "Run")
        await stage.until(lambda: len(stage.telegram.sent) == 2)
    assert stage.telegram.edited == ["start: no clear response. It is looked up, and not sent again."]
    assert stage.telegram.texts[1] == "start has ended: SUCCESS"
    assert len(stage.simulator.requests_of(START)) == 1


async def test_a_command_without_a_trace_is_told_and_not_sent_again(stage: Stage) -> None:
    stage.simulator.faults.on(START, Fault.html(502))
    async with stage.bot():
        stage.telegram.press(await stage.asked(), "Run")
        await stage.until(lambda: len(stage.telegram.sent) == 2)
    assert stage.telegram.texts[1] == "start: there is no trace of it, so it was probably not started."
    assert len(stage.simulator.requests_of(START)) == 1


@pytest.mark.parametrize("fault", [None, Fault.reset()])
async def test_a_command_of_a_device_that_is_gone_is_told_once(stage: Stage, fault: Fault | None) -> None:
    if fault is not None:
        stage.simulator.faults.on(START, fault, when="after")
    async with stage.bot():
        stage.simulator.faults.on("getExecution", Fault.answer(503), nth=None)  # its end is not seen before
        stage.simulator.faults.on("listExecutions", Fault.answer(503), nth=None)
        stage.telegram.press(await stage.asked(), "Run")
        await stage.until(lambda: stage.telegram.edited)
        stage.simulator.world.devices.remove(stage.device.id)
        stage.simulator.faults.planned.clear()
        await stage.until(lambda: len(stage.telegram.sent) == 2)
        await asyncio.sleep(120)
    assert stage.telegram.texts[1].startswith("start cannot be looked up any more: commands.")
    assert len(stage.telegram.sent) == 2


async def test_a_refused_command_is_not_looked_up(stage: Stage) -> None:
    stage.simulator.faults.on(START, Fault.answer(403))
    async with stage.bot():
        stage.telegram.press(await stage.asked(), "Run")
        await stage.until(lambda: stage.telegram.edited)
        await asyncio.sleep(120)
    assert stage.telegram.edited[0].startswith("start was not started: ")
    assert stage.simulator.requests_of("listExecutions") == []
    assert len(stage.telegram.sent) == 1


async def test_a_restart_while_a_command_is_sent_loses_nothing(stage: Stage) -> None:
    stage.simulator.faults.on(START, Fault.hang(9), when="after")
    async with stage.bot():
        stage.telegram.press(await stage.asked(), "Run")
        await asyncio.sleep(2)  # the answer takes 9
    assert stage.telegram.edited == []
    async with stage.bot():  # Telegram tells it of the button again
        await stage.until(lambda: len(stage.telegram.sent) == 2)
    assert stage.telegram.texts[1] == "start has ended: SUCCESS"
    assert stage.telegram.edited == ["Answered before, or too old. Nothing was sent now."]
    assert len(stage.simulator.requests_of(START)) == 1


@asynccontextmanager
async def bot_api() -> AsyncIterator[tuple[str, list[str]]]:
    """A Bot API server, and the texts that were sent to it."""
    texts: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        method = request.path.rpartition("/")[2]
        result: Any = []
        if method == "getMe":
            result = {"id": 1, "is_bot": True, "first_name": "Bot", "username": "bot"}
        elif method == "getUpdates":
            await asyncio.sleep(30)
        elif method == "sendMessage":
            texts.append(str((await request.post())["text"]))
            result = {"message_id": 9, "date": 0, "chat": {"id": CHAT, "type": "group"}}
        return web.json_response({"ok": True, "result": result})

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)  # type: ignore[arg-type]
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", texts
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_program_ends_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    async with Simulator(devices=3) as simulator, bot_api() as (address, texts):
        simulator.world.raise_alert(next(iter(simulator.world.devices.values())), "test_alert")
        arguments = ["--chat", str(CHAT), "--server", address, "--state", str(tmp_path / "bot.sqlite")]
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, str(EXAMPLE), *arguments),
            env=environment(simulator) | {"TELEGRAM_BOT_TOKEN": "1:token"},
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(30):
                while not texts:
                    await asyncio.sleep(0.05)
                program.send_signal(number)
                _, errors = await program.communicate()
        finally:
            with suppress(ProcessLookupError):
                program.kill()
    assert program.returncode == 0, errors.decode()
    assert b"Traceback" not in errors
    assert b"token" not in errors
    assert any("test_alert" in text for text in texts)


@pytest.mark.parametrize("token", ["1:token", "nonsense"])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_bot_that_cannot_start_says_why_in_one_line(token: str, tmp_path: Path) -> None:
    async with Simulator(devices=3) as simulator:
        nobody = "http://127.0.0.1:1"
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, str(EXAMPLE), "--chat", str(CHAT), "--server", nobody, "--state", str(tmp_path / "s")),
            env=environment(simulator) | {"TELEGRAM_BOT_TOKEN": token},
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            _, errors = await program.communicate()
    assert program.returncode == 1, errors.decode()
    assert b"Traceback" not in errors
    reason = errors.decode().strip().splitlines()[-1]
    assert reason.startswith(("HTTP Client says", "Token is invalid"))
