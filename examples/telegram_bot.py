"""Run a Telegram bot for one chat: status on request, new alerts, and commands after a confirmation.

    python -m pip install enapter-async aiogram
    export TELEGRAM_BOT_TOKEN=... ENAPTER_HTTP_API_TOKEN=...
    python examples/telegram_bot.py --chat -1001234567890

The bot answers that chat only: `/status`, and `/run DEVICE_ID COMMAND`, which asks before it sends the command. A
SQLite file keeps what must survive a restart: the raised alerts, the messages that Telegram has not accepted yet, and
the commands whose result is not known. A command that may have reached the platform is never re-sent. If no response
comes, the bot looks up the execution.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from aiogram import Bot, Dispatcher, F
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import PRODUCTION, TelegramAPIServer
from aiogram.exceptions import AiogramError, TelegramRetryAfter
from aiogram.filters import Command, CommandObject
from aiogram.filters.callback_data import CallbackData
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message
from aiogram.utils.token import TokenValidationError

from enapter_async import APIError, Device, EnapterClient, EnapterError, NotFoundError, RequestError, RetryPolicy

log = logging.getLogger("telegram_bot")

CONFIRM_WITHIN: Final = timedelta(minutes=5)
"""An older question is not answered: Telegram delivers what was pressed while the bot was down."""
LOOK_FOR: Final = timedelta(minutes=1)
"""How long an execution may take to show up in the list."""
CLOCKS_DIFFER: Final = timedelta(seconds=5)
MESSAGE_LENGTH: Final = 4000

SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS raised (device_id TEXT, alert TEXT, PRIMARY KEY (device_id, alert));
    CREATE TABLE IF NOT EXISTS outbox (number INTEGER PRIMARY KEY, text TEXT);
    CREATE TABLE IF NOT EXISTS outage (began TEXT);
    CREATE TABLE IF NOT EXISTS orders (
        number INTEGER PRIMARY KEY AUTOINCREMENT, device_id TEXT, command TEXT, asked_at TEXT,
        state TEXT DEFAULT 'asked',  -- then 'sent', then 'settled'
        sent_at TEXT, execution_id TEXT
    );
"""


class Order(NamedTuple):
    """A command that was sent, and whose end is not known yet."""

    number: int
    device_id: str
    command: str
    sent_at: datetime
    execution_id: str | None


class Memory:
    """The state that survives a restart. Each method is one transaction, short enough for the event loop."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        db.executescript(SCHEMA)

    # -- alerts and messages -----------------------------------------------------------------------------------

    def see(self, devices: Sequence[Device]) -> None:
        """Compare raised alerts with what is known, and note the messages about changes together with them."""
        lines: list[str] = []
        with self._db:
            for device in devices:
                if device.raised_alert_names is None:  # the server did not say: no change
                    continue
                known = self._db.execute("SELECT alert FROM raised WHERE device_id = ?", (device.id,))
                before, now = {alert for (alert,) in known}, set(device.raised_alert_names)
                for alert in sorted(now - before):
                    self._db.execute("INSERT INTO raised VALUES (?, ?)", (device.id, alert))
                    lines.append(f"Raised: {alert} ({device.name})")
                for alert in sorted(before - now):
                    self._db.execute("DELETE FROM raised WHERE device_id = ? AND alert = ?", (device.id, alert))
                    lines.append(f"Cleared: {alert} ({device.name})")
            for text in messages(lines):
                self._say(text)

    def begin_outage(self, now: datetime, reason: str) -> None:
        """Note that the API does not answer; only the first time is worth a message."""
        with self._db:
            if self._db.execute("SELECT 1 FROM outage").fetchone() is None:
                self._db.execute("INSERT INTO outage VALUES (?)", (now.isoformat(),))
                self._say(f"The devices cannot be read: {reason}")

    def end_outage(self, now: datetime) -> None:
        """Note that the API answers."""
        with self._db:
            if (row := self._db.execute("DELETE FROM outage RETURNING began").fetchone()) is not None:
                minutes = (now - datetime.fromisoformat(row[0])).total_seconds() / 60
                self._say(f"The devices can be read again, after {minutes:.0f} min.")

    def pending(self) -> list[tuple[int, str]]:
        """Return the messages that Telegram has not taken yet, oldest first."""
        return self._db.execute("SELECT number, text FROM outbox ORDER BY number").fetchall()

    def forget(self, message: int) -> None:
        """Note that Telegram has taken a message."""
        with self._db:
            self._db.execute("DELETE FROM outbox WHERE number = ?", (message,))

    def _say(self, text: str) -> None:
        self._db.execute("INSERT INTO outbox (text) VALUES (?)", (text[:MESSAGE_LENGTH],))

    # -- commands ----------------------------------------------------------------------------------------------

    def ask(self, device_id: str, command: str, now: datetime) -> int:
        """Note a question, and return its number."""
        with self._db:
            row = self._db.execute(
                "INSERT INTO orders (device_id, command, asked_at) VALUES (?, ?, ?) RETURNING number",
                (device_id, command, now.isoformat()),
            ).fetchone()
        return int(row[0])

    def claim(self, number: int, now: datetime) -> Order | None:
        """Note that a command is about to be sent; None if it was before, was cancelled, or the question is too old."""
        with self._db:
            row = self._db.execute(
                "UPDATE orders SET state = 'sent', sent_at = ? WHERE number = ? AND state = 'asked' AND asked_at >= ?"
                " RETURNING device_id, command",
                (now.isoformat(), number, (now - CONFIRM_WITHIN).isoformat()),
            ).fetchone()
        return None if row is None else Order(number, row[0], row[1], now, None)

    def cancel(self, number: int) -> bool:
        """Withdraw a question; False if the command was sent already."""
        with self._db:
            changed = self._db.execute(
                "UPDATE orders SET state = 'settled' WHERE number = ? AND state = 'asked'", (number,)
            )
        return changed.rowcount == 1

    def found(self, number: int, execution_id: str) -> None:
        """Note the execution of a command."""
        with self._db:
            self._db.execute("UPDATE orders SET execution_id = ? WHERE number = ?", (execution_id, number))

    def settle(self, number: int, text: str | None = None) -> None:
        """Note that nothing more will come of a command, and the message about it."""
        with self._db:
            changed = self._db.execute(
                "UPDATE orders SET state = 'settled' WHERE number = ? AND state = 'sent'", (number,)
            )
            if text is not None and changed.rowcount:
                self._say(text)

    def open_orders(self) -> list[Order]:
        """Return the commands whose end is not known."""
        rows = self._db.execute(
            "SELECT number, device_id, command, sent_at, execution_id FROM orders WHERE state = 'sent'"
        ).fetchall()
        return [
            Order(number, device_id, command, datetime.fromisoformat(sent_at), execution_id)
            for number, device_id, command, sent_at, execution_id in rows
        ]

    def knows(self, execution_id: str) -> bool:
        """Tell whether an execution belongs to one of the commands."""
        row = self._db.execute("SELECT 1 FROM orders WHERE execution_id = ?", (execution_id,)).fetchone()
        return row is not None


class Answer(CallbackData, prefix="order"):
    """A pressed button."""

    number: int
    go: bool


class Plant:
    """The part of the bot that uses the API; Telegram only gets the texts."""

    def __init__(self, client: EnapterClient, memory: Memory, now: Callable[[], datetime]) -> None:
        self._client = client
        # Somebody waits for the answer: better none than a late one.
        self._hasty = client.with_options(timeout=5, retry=RetryPolicy.none())
        self._memory = memory
        self._now = now
        self.wake = asyncio.Event()

    async def status(self) -> str:
        """Return how the devices are, in words."""
        try:
            devices = await self._hasty.devices.list(expand={"connectivity", "raised_alert_names"})
        except EnapterError as error:
            return f"The devices cannot be read: {error}"
        online = sum(device.connectivity is not None and device.connectivity.status == "ONLINE" for device in devices)
        alerts = [f"{alert} ({device.name})" for device in devices for alert in device.raised_alert_names or ()]
        return "\n".join([f"{len(devices)} devices, {online} online, {len(alerts)} alerts", *alerts])[:MESSAGE_LENGTH]

    async def ask(self, words: Sequence[str]) -> tuple[str, InlineKeyboardMarkup | None]:
        """Return the question whether a command shall be sent, and its buttons; or why there is nothing to ask."""
        if len(words) != 2:
            return "Usage: /run DEVICE_ID COMMAND", None
        device_id, name = words
        try:
            device = await self._hasty.devices.get(device_id, expand={"manifest"})
        except EnapterError as error:
            return f"The device cannot be read: {error}", None
        command = device.manifest.commands.get(name) if device.manifest is not None else None
        if command is None:
            return f"{device.name} has no command {name!r}.", None
        if any(argument.required for argument in command.arguments.values()):
            return f"{name} needs arguments, which this bot cannot ask for.", None
        number = self._memory.ask(device.id, name, self._now())
        question = f"{command.display_name or name}: {device.name}?"
        if command.confirmation is not None and command.confirmation.description:
            question += f"\n{command.confirmation.description}"
        buttons = [
            InlineKeyboardButton(text=text, callback_data=Answer(number=number, go=go).pack())
            for text, go in (("Run", True), ("Cancel", False))
        ]
        return question, InlineKeyboardMarkup(inline_keyboard=[buttons])

    async def confirm(self, number: int) -> str:
        """Send a command, once however often the button is pressed, and return what to show."""
        order = self._memory.claim(number, self._now())
        if order is None:
            return "Answered before, or too old. Nothing was sent now."
        try:
            execution_id = await self._client.commands.start(order.device_id, order.command, timeout=10)
        except EnapterError as error:
            if was_refused(error):
                self._memory.settle(number)
                return f"{order.command} was not started: {error}"
            return f"{order.command}: no clear response. It is looked up, and not sent again."
        else:
            self._memory.found(number, execution_id)
            return f"{order.command} was started."
        finally:
            self.wake.set()

    def cancel(self, number: int) -> str:
        """Withdraw a question, and return what to show."""
        return "Cancelled." if self._memory.cancel(number) else "Answered before."

    async def look(self) -> None:
        """Look at the alerts, and at the commands whose end is not known."""
        try:
            self._memory.see(await self._client.devices.list(expand={"raised_alert_names"}))
        except EnapterError as error:
            self._memory.begin_outage(self._now(), str(error))
            return
        self._memory.end_outage(self._now())
        for order in self._memory.open_orders():
            try:
                await self._follow(order)
            except EnapterError as error:
                log.warning("%s cannot be looked up now: %s", order.command, error)
                if isinstance(error, NotFoundError) and self._is_overdue(order):  # the device was removed
                    self._memory.settle(order.number, f"{order.command} cannot be looked up any more: {error}")

    async def _follow(self, order: Order) -> None:
        execution_id = order.execution_id or await self._find(order)
        if execution_id is None:
            if self._is_overdue(order):
                text = f"{order.command}: there is no trace of it, so it was probably not started."
                self._memory.settle(order.number, text)
            return
        execution = await self._client.commands.get_execution(order.device_id, execution_id)
        if execution.is_final:
            self._memory.settle(order.number, f"{order.command} has ended: {execution.state}")

    def _is_overdue(self, order: Order) -> bool:
        return self._now() - order.sent_at > LOOK_FOR

    async def _find(self, order: Order) -> str | None:
        executions = self._client.commands.list_executions(
            order.device_id,
            name_in=[order.command],
            created_at_gte=order.sent_at - CLOCKS_DIFFER,
            order="CREATED_AT_ASC",
            expand={"ephemeral"},
        )
        async for execution in executions:
            if not self._memory.knows(execution.id):
                self._memory.found(order.number, execution.id)
                return execution.id
        return None


def was_refused(error: EnapterError) -> bool:
    """Tell whether a command was certainly not started: it was not sent, or the server said no."""
    if not isinstance(error, RequestError):
        return True
    return error.outcome in ("not_sent", "rejected") or (isinstance(error, APIError) and error.outcome == "final")


def messages(lines: Sequence[str]) -> list[str]:
    """Put lines into as few messages as Telegram allows."""
    texts: list[str] = []
    for line in lines:
        if texts and len(texts[-1]) + len(line) < MESSAGE_LENGTH:
            texts[-1] += f"\n{line}"
        else:
            texts.append(line)
    return texts


def dispatcher(plant: Plant, chat: int) -> Dispatcher:
    """Return what takes the messages and buttons of one chat; those of others are ignored."""
    updates = Dispatcher()
    updates.message.filter(F.chat.id == chat)
    updates.callback_query.filter(F.message.chat.id == chat)

    @updates.message(Command("status"))
    async def status(message: Message) -> None:
        await message.answer(await plant.status())

    @updates.message(Command("run"))
    async def run_command(message: Message, command: CommandObject) -> None:
        text, buttons = await plant.ask((command.args or "").split())
        await message.answer(text, reply_markup=buttons)

    @updates.callback_query(Answer.filter())
    async def answered(query: CallbackQuery, callback_data: Answer) -> None:
        number = callback_data.number
        text = await plant.confirm(number) if callback_data.go else plant.cancel(number)
        if isinstance(query.message, Message):
            await query.message.edit_text(text)  # without the buttons
        await query.answer()

    return updates


async def watch(plant: Plant, memory: Memory, bot: Bot, chat: int, interval: float) -> None:
    """Look at the plant each interval and after each command, and post what there is to tell."""
    while True:
        plant.wake.clear()
        await plant.look()
        pause = max(interval, await post(memory, bot, chat))
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await plant.wake.wait()


async def post(memory: Memory, bot: Bot, chat: int) -> float:
    """Post pending messages, oldest first; return the seconds that Telegram wants us to wait."""
    for number, text in memory.pending():
        try:
            await bot.send_message(chat, text)
        except TelegramRetryAfter as error:
            return error.retry_after
        except AiogramError as error:
            log.warning("Telegram does not take the message now: %s", error)
            break
        memory.forget(number)
    return 0


async def run(
    client: EnapterClient,
    bot: Bot,
    db: sqlite3.Connection,
    *,
    chat: int,
    interval: float = 5.0,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Run the bot until SIGTERM or Ctrl-C."""
    memory = Memory(db)
    plant = Plant(client, memory, now)
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch(plant, memory, bot, chat, interval))
        try:
            # It ends at these signals. One update after the other, so that none is at work when the client closes.
            await dispatcher(plant, chat).start_polling(bot, handle_as_tasks=False, close_bot_session=False)
        finally:
            watching.cancel()


async def open_and_run(options: argparse.Namespace, token: str) -> None:
    """Open everything, and run the bot."""
    server = TelegramAPIServer.from_base(options.server) if options.server else PRODUCTION
    with closing(sqlite3.connect(options.state)) as db:
        async with (
            EnapterClient.from_env(app="telegram-bot/1.0") as client,
            Bot(token, session=AiohttpSession(api=server)) as bot,
        ):
            await run(client, bot, db, chat=options.chat, interval=options.interval)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chat", type=int, required=True, help="ID of the chat")
    parser.add_argument("--state", type=Path, default=Path("telegram_bot.sqlite"), help="file to remember things in")
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between two looks")
    parser.add_argument("--server", help="address of your own Telegram Bot API server")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    token = os.environ.get("TELEGRAM_BOT_TOKEN")
    if not token:
        sys.exit("TELEGRAM_BOT_TOKEN is not set")
    try:
        asyncio.run(open_and_run(options, token))
    except* KeyboardInterrupt:  # before the bot handles signals itself
        sys.exit(130)
    except* (AiogramError, TokenValidationError, EnapterError, sqlite3.Error) as errors:
        sys.exit("\n".join(str(error) for error in errors.exceptions))


if __name__ == "__main__":
    main()
