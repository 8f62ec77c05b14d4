"""One measurement in a process of its own: `python -m benchmarks.worker QUESTION RIVAL JSON-OPTIONS`.

Prints one JSON object; where rivals take turns, one for each line of standard input. Rivals: `ours`, `bare` (aiohttp
behind the same semaphore), `httpx`, `peer` (the vendor's SDK); `ours on uvloop` and `bare on uvloop` run on that loop.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.servers import DEVICE_ID

Get = Callable[[], Awaitable[object]]
TOKEN = "token"


async def get_ours(stack: AsyncExitStack, url: str) -> Get:
    from enapter_async import EnapterClient

    client = await stack.enter_async_context(EnapterClient(base_url=url, token=TOKEN))
    return lambda: client.devices.get(DEVICE_ID)


async def get_bare(stack: AsyncExitStack, url: str) -> Get:
    """What somebody writes by hand who knows that aiohttp's own queue is unfair."""
    import aiohttp

    session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
    gate = asyncio.Semaphore(100)
    address = f"{url}/v3/devices/{DEVICE_ID}"
    headers = {"X-Enapter-Auth-Token": TOKEN}

    async def get() -> object:
        async with gate, session.get(address, headers=headers) as response:
            return json.loads(await response.read())["device"]

    return get


async def get_httpx(stack: AsyncExitStack, url: str) -> Get:
    import httpx

    client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, headers={"X-Enapter-Auth-Token": TOKEN}))

    async def get() -> object:
        return (await client.get(f"v3/devices/{DEVICE_ID}")).json()["device"]

    return get


async def get_peer(stack: AsyncExitStack, url: str) -> Get:
    from enapter.http import api

    client = await stack.enter_async_context(api.Client(config=api.Config(base_url=url, token=TOKEN)))
    return lambda: client.devices.get(DEVICE_ID)


GETS = {"ours": get_ours, "bare": get_bare, "httpx": get_httpx, "peer": get_peer}


async def question_get(rival: str, url: str, callers: int, calls: int) -> AsyncIterator[dict[str, Any]]:
    """Call after call by so many callers, as often as it is asked for."""
    async with AsyncExitStack() as stack:
        get = await GETS[rival](stack, url)
        await calling(get, callers, calls)  # opens connections, and warms up
        while True:
            yield await calling(get, callers, calls)


async def calling(get: Get, callers: int, calls: int) -> dict[str, Any]:
    latencies: list[float] = []
    failures = 0
    left = calls

    async def caller() -> None:
        nonlocal left, failures
        while left > 0:
            left -= 1
            began = time.perf_counter()
            try:
                await get()
            except Exception:
                failures += 1
            else:
                latencies.append(time.perf_counter() - began)

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(callers)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    latencies.sort()
    done = len(latencies) or 1
    return {
        "per_second": len(latencies) / wall,
        "cpu_us": cpu / done * 1e6,
        "p50_ms": latencies[len(latencies) // 2] * 1000 if latencies else None,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000 if latencies else None,
        "failed": failures / calls,
    }


async def question_gathered(rival: str, url: str, calls: int) -> dict[str, Any]:
    """So many calls at once, in one gather."""
    async with AsyncExitStack() as stack:
        get = await GETS[rival](stack, url)
        await get()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        wall, cpu = time.perf_counter(), time.process_time()
        results = await asyncio.gather(*(get() for _ in range(calls)), return_exceptions=True)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    failed = sum(isinstance(result, BaseException) for result in results)
    return {"seconds": wall, "cpu_s": cpu, "grown_mib": grown / 1024, "failed": failed / calls}


async def question_list(rival: str, url: str, manifests: bool) -> dict[str, Any]:
    """The whole list of devices, with a client that is open already."""
    count, first = 0, 0.0
    async with AsyncExitStack() as stack:
        if rival == "ours":
            from enapter_async import EnapterClient

            client = await stack.enter_async_context(EnapterClient(base_url=url, token=TOKEN))
            await client.devices.list().first()  # imports and hooks are measured by `open` and `decode`
            began, cpu = time.perf_counter(), time.process_time()
            devices = client.devices.list(expand={"manifest"} if manifests else ())
        else:
            from enapter.http import api

            theirs = await stack.enter_async_context(api.Client(config=api.Config(base_url=url, token=TOKEN)))
            async with theirs.devices.list(limit=1) as one:
                async for _ in one:
                    pass
            began, cpu = time.perf_counter(), time.process_time()
            devices = await stack.enter_async_context(theirs.devices.list(expand_manifest=manifests))
        async for _ in devices:
            count += 1
            first = first or time.perf_counter() - began
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"seconds": wall, "cpu_s": cpu, "first_ms": first * 1000, "items": count}


async def question_latest(rival: str, url: str, devices: int) -> dict[str, Any]:
    """Latest telemetry of 5 attributes of so many devices; the rival is given parts that fit a URL."""
    wanted = {f"00000000-0000-4000-8000-{number:012}": ["a", "b", "c", "d", "e"] for number in range(devices)}
    points = 0
    async with AsyncExitStack() as stack:
        if rival == "ours":
            from enapter_async import EnapterClient

            client = await stack.enter_async_context(EnapterClient(base_url=url, token=TOKEN))
            await client.telemetry.latest({"warm": ["a"]})
            began = time.perf_counter()
            points = len(await client.telemetry.latest(wanted))
        else:
            from enapter.http import api

            theirs = await stack.enter_async_context(api.Client(config=api.Config(base_url=url, token=TOKEN)))
            await theirs.telemetry.latest({"warm": ["a"]})
            began = time.perf_counter()
            names = list(wanted)
            for start in range(0, devices, 100):
                part = {name: wanted[name] for name in names[start : start + 100]}
                points += len(await theirs.telemetry.latest(part))
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "items": points}


def question_open(rival: str) -> dict[str, Any]:
    """Import the package and open a client."""
    began = time.perf_counter()

    async def opened() -> None:
        if rival == "ours":
            from enapter_async import EnapterClient

            async with EnapterClient(base_url="http://127.0.0.1:1", token=TOKEN):
                pass
        else:
            from enapter.http import api

            async with api.Client(config=api.Config(base_url="http://127.0.0.1:1", token=TOKEN)):
                pass

    asyncio.run(opened())
    return {"ms": (time.perf_counter() - began) * 1000}


QUESTIONS: dict[str, Callable[..., Awaitable[dict[str, Any]] | AsyncIterator[dict[str, Any]] | dict[str, Any]]] = {
    "get": question_get,
    "gathered": question_gathered,
    "list": question_list,
    "latest": question_latest,
    "open": question_open,
}


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rival, _, loop = sys.argv[2].partition(" on ")
    asked = QUESTIONS[sys.argv[1]](rival, **json.loads(sys.argv[3]))
    if isinstance(asked, dict):
        print(json.dumps(asked))
        return
    if loop == "uvloop":
        import uvloop

        uvloop.run(answered(asked))
    else:
        asyncio.run(answered(asked))


async def answered(asked: Awaitable[dict[str, Any]] | AsyncIterator[dict[str, Any]]) -> None:
    """Print one result, or one for each line of standard input."""
    if isinstance(asked, AsyncIterator):
        while sys.stdin.readline():  # nothing else is to run meanwhile
            print(json.dumps(await anext(asked)), flush=True)
    else:
        print(json.dumps(await asked))


if __name__ == "__main__":
    main()
