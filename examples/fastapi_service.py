"""Serve devices, commands that run once, and live telemetry with FastAPI.

    python -m pip install enapter-async fastapi uvicorn
    export ENAPTER_HTTP_API_TOKEN=...  # from your Cloud account settings
    uvicorn fastapi_service:app

The idempotency keys of commands are kept in memory, so run one process.
"""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from types import FrameType
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from enapter_async import EnapterClient, EnapterError, TelemetryFrame
from enapter_async.integrations.web import describe_error

KEPT_KEYS = 10_000
# Seconds of silence after which an SSE comment stops proxies from disconnecting.
KEEP_ALIVE = 15.0


class RunningCommands:
    """Commands by idempotency key. A repeated key gets the first response again."""

    def __init__(self) -> None:
        self._commands: dict[str, tuple[object, asyncio.Task[dict[str, Any]]]] = {}

    async def run(
        self, client: EnapterClient, key: str, device_id: str, name: str, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        """Run a command, or wait for the one that was started with this key."""
        wanted = (device_id, name, arguments)
        if key not in self._commands:
            self._forget_oldest()
            self._commands[key] = wanted, asyncio.create_task(self._execute(client, key, *wanted))
        known, task = self._commands[key]
        if known != wanted:
            raise HTTPException(422, "this Idempotency-Key belongs to another command")
        # A browser that disconnects cancels its request, not the command.
        return await asyncio.shield(task)

    async def finish(self) -> None:
        """Wait for the commands that are running."""
        await asyncio.gather(*(task for _, task in self._commands.values()), return_exceptions=True)

    async def _execute(
        self, client: EnapterClient, key: str, device_id: str, name: str, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        try:
            execution = await client.commands.run(device_id, name, arguments, timeout=30)
        except EnapterError as error:
            if describe_error(error).outcome in ("not_sent", "rejected"):
                del self._commands[key]  # the device never got it: the same key may try again
            raise
        return {"execution_id": execution.id, "state": execution.state}

    def _forget_oldest(self) -> None:
        finished = [key for key, (_, task) in self._commands.items() if task.done()]
        for key in finished[: max(0, len(self._commands) + 1 - KEPT_KEYS)]:
            del self._commands[key]


@contextmanager
def stop_signals(stopping: asyncio.Event) -> Iterator[None]:
    """Set an event at SIGTERM and Ctrl-C, before the server acts on them."""
    if threading.current_thread() is not threading.main_thread():  # the test client
        yield
        return
    loop = asyncio.get_running_loop()
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stopping.set)
        handler = previous[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number, handler in previous.items():
        if callable(handler):
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open one client for the whole application."""
    app.state.stopping = asyncio.Event()
    app.state.commands = RunningCommands()
    async with EnapterClient.from_env(app="fastapi-service/1.0") as client:
        app.state.client = client
        with stop_signals(app.state.stopping):
            yield
        app.state.stopping.set()
        await app.state.commands.finish()


def get_client(request: Request) -> EnapterClient:
    """Return the client for endpoints. Tests may override it."""
    client: EnapterClient = request.app.state.client
    return client


Client = Annotated[EnapterClient, Depends(get_client)]
app = FastAPI(lifespan=lifespan)


@app.exception_handler(EnapterError)
async def answer_error(request: Request, error: EnapterError) -> Response:
    """Turn every error of the SDK into an HTTP response."""
    problem = describe_error(error)
    return JSONResponse(problem.body, problem.status, problem.headers)


@app.get("/devices")
async def list_devices(client: Client) -> list[dict[str, Any]]:
    """List the devices, waiting at most five seconds for each page of the list."""
    devices = await client.with_options(timeout=5).devices.list(expand={"raised_alert_names"}).collect()
    return [
        {"id": device.id, "name": device.name, "alerts": list(device.raised_alert_names or ())} for device in devices
    ]


@app.post("/devices/{device_id}/commands/{name}")
async def run_command(
    *,
    device_id: str,
    name: str,
    request: Request,
    client: Client,
    idempotency_key: Annotated[str, Header(min_length=8, max_length=200)],
    arguments: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Run a command once for each Idempotency-Key."""
    commands: RunningCommands = request.app.state.commands
    return await commands.run(client, idempotency_key, device_id, name, arguments or {})


@app.get("/devices/{device_id}/live")
async def follow_device(device_id: str, request: Request, client: Client) -> Response:
    """Send the live telemetry of a device as Server-Sent Events."""
    await client.devices.get(device_id)  # once the events begin, it is too late for a 404
    events = relay_telemetry(client, device_id, request.app.state.stopping)
    return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def relay_telemetry(client: EnapterClient, device_id: str, stopping: asyncio.Event) -> AsyncIterator[str]:
    """Yield events until the browser goes away, the stream ends or the server stops."""
    stop = asyncio.create_task(stopping.wait())
    try:
        async with client.telemetry.follow(device_id) as stream, aclosing(until(stop, stream.events())) as events:
            yield ": connected\n\n"
            async for event in events:
                yield ": still here\n\n" if event is None else format_event(event)
        yield "event: end\ndata: {}\n\n"
    except EnapterError as error:
        yield f"event: problem\ndata: {json.dumps(describe_error(error).body)}\n\n"
    finally:
        stop.cancel()


async def until(stop: asyncio.Task[Any], events: AsyncIterator[object]) -> AsyncGenerator[object, None]:
    """Yield events until a task is done, and None while nothing arrives."""
    following: asyncio.Task[object] | None = None
    try:
        while not stop.done():
            following = following or asyncio.ensure_future(anext(events))
            await asyncio.wait({stop, following}, timeout=KEEP_ALIVE, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                event, following = following.result(), None
                yield event
            elif not stop.done():
                yield None
    finally:
        if following is not None:
            following.cancel()


def format_event(event: object) -> str:
    """Format an event of a stream: a frame, or an event between two frames."""
    if not isinstance(event, TelemetryFrame):
        return f"event: gap\ndata: {json.dumps({'kind': type(event).__name__})}\n\n"
    time = event.timestamp.isoformat() if event.timestamp else None
    data = json.dumps({"timestamp": time, "values": event.telemetry})
    return f"event: telemetry\ndata: {data}\n\n"
