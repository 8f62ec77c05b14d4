"""Answers made beforehand, after a fixed latency: `python -m benchmarks.static_server PORT LATENCY-MS`.

A server of asyncio protocols that does next to nothing for a request, so that the client is what is measured.
`GET /v3/telemetry/latest` gives every attribute that is asked for a value of the current second, and
`POST /v3/telemetry/query_timeseries` one float column for each selector's attribute, a row for each step.
Answers are made when first asked for and kept; of latest values only the timestamp is then put in.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import datetime
from typing import Any

_MOMENT = b"@moment@"
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n"


class Answers:
    """Makes bodies and keeps them."""

    def __init__(self) -> None:
        self._latest: dict[bytes, bytes] = {}
        self._points: dict[str, str] = {}
        self._rows: dict[tuple[int, int, int, int], bytes] = {}
        self._series: dict[bytes, bytes] = {}

    def to(self, target: bytes, body: bytes) -> bytes:
        if target.startswith(b"/v3/telemetry/latest"):
            whole = self._latest.get(target) or self._make_latest(target)
            data = whole.replace(_MOMENT, b"%d" % time.time())
            return _HEAD % (b"application/json", len(data), b"") + data
        return self._series.get(body) or self._make_series(body)

    def _make_latest(self, target: bytes) -> bytes:
        devices: list[str] = []
        for pair in target.decode().partition("?")[2].split("&"):
            name, _, names = pair.partition("=")
            if name.startswith("devices%5B"):
                points = self._points.get(names)
                if points is None:
                    moments = (f'"{one}":{{"value":1.5,"timestamp":@moment@}}' for one in names.split(","))
                    points = self._points[names] = ",".join(moments)
                devices.append(f'"{name[10:-3]}":{{{points}}}')
        data = self._latest[target] = f'{{"telemetry":{{{",".join(devices)}}}}}'.encode()
        return data

    def _make_series(self, body: bytes) -> bytes:
        asked: dict[str, Any] = json.loads(body)
        start, end = (int(datetime.fromisoformat(asked[name]).timestamp()) for name in ("from", "to"))
        columns = [(one["device"], name) for one in asked["telemetry"] for name in one["attribute"]]
        step = 60
        rows = self._rows.get((start, end, step, len(columns)))
        if rows is None:
            cells = ",".join(f"{5000 / (column + 7):.6g}" for column in range(len(columns)))
            lines = [f"{moment},{cells}\n" for moment in range(start, end, step)]
            rows = self._rows[start, end, step, len(columns)] = "".join(lines).encode()
        labels = ",".join(f"telemetry={name} device={device} aggregation=avg" for device, name in columns)
        data = f"ts,{labels}\n".encode() + rows
        types = f"X-Enapter-Timeseries-Data-Types: {','.join(['float'] * len(columns))}\r\n".encode()
        answer = self._series[body] = _HEAD % (b"text/csv", len(data), types) + data
        return answer


class Connection(asyncio.Protocol):
    """One kept-alive connection; requests on it come one after the other."""

    def __init__(self, answers: Answers, latency: float) -> None:
        self._answers = answers
        self._latency = latency
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = 0
        place = head.lower().find(b"content-length:")
        if place >= 0:
            length = int(head[place + 15 :].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        target = head.split(b" ", 2)[1]
        asyncio.get_running_loop().call_later(self._latency, self._answer, target, rest[:length])

    def _answer(self, target: bytes, body: bytes) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(self._answers.to(target, body))


async def serve(port: int, latency: float) -> None:
    answers = Answers()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(answers, latency), "127.0.0.1", port, backlog=1024
    )
    await server.serve_forever()


def main() -> None:
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))


if __name__ == "__main__":
    main()
