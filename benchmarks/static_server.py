"""Prepared answers after a fixed latency: `python -m benchmarks.static_server PORT LATENCY-MS [DEVICES [BYTES]]`.

A server of asyncio protocols that does next to nothing for a request, so that the client is what is measured.
`GET /v3/devices` lists so many devices with ten numeric attributes each. `GET /v3/telemetry/latest` gives every
attribute that is asked for a value of the current second, and `POST /v3/telemetry/query_timeseries` one float column
for each selector's attribute, a row for each step. Answers are made when first asked for and kept; of latest values
only the timestamp is then put in. Time series are sent at so many BYTES a second, all of them together.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import datetime
from typing import Any

ATTRIBUTES = ["power", "voltage", "current", "energy", "temp_1", "temp_2", "flow", "level", "status", "hours"]
_MOMENT = b"@moment@"
_PIECE = 64 * 1024
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n"


class Answers:
    """Makes bodies and keeps them."""

    def __init__(self, devices: int = 0) -> None:
        self.devices = devices
        self._latest: dict[bytes, bytes] = {}
        self._points: dict[str, str] = {}
        self._rows: dict[tuple[int, int, int, int], bytes] = {}
        self._series: dict[bytes, bytes] = {}

    def to(self, target: bytes, body: bytes) -> bytes:
        if target.startswith(b"/v3/devices"):
            data = self._series.get(target) or self._make_devices(target)
            return _HEAD % (b"application/json", len(data), b"") + data
        if target.startswith(b"/v3/telemetry/latest"):
            whole = self._latest.get(target) or self._make_latest(target)
            data = whole.replace(_MOMENT, b"%d" % time.time())
            return _HEAD % (b"application/json", len(data), b"") + data
        return self._series.get(body) or self._make_series(body)

    def _make_devices(self, target: bytes) -> bytes:
        path, _, text = target.decode().partition("?")
        if path != "/v3/devices":  # latest values of one device
            return b'{"telemetry":{}}'
        asked = dict(pair.split("=") for pair in text.split("&"))
        offset, limit = int(asked.get("offset", 0)), int(asked.get("limit", 50))
        telemetry = {name: {"type": "float", "display_name": name, "unit": "W"} for name in ATTRIBUTES}
        manifest = {"blueprint_spec": "device/3.0", "display_name": "Meter", "runtime": "wasm", "telemetry": telemetry}
        devices = [
            {
                "id": f"00000000-0000-4000-8000-{number:012}",
                "blueprint_id": "e5d4c3b2-a190-4f8e-b7d6-c5a493827160",
                "name": f"Meter {number}",
                "site_id": "3f0c1d52-8a4e-4b7e-9d21-0c6f5a7b9e10",
                "updated_at": "2026-03-14T09:26:53.589793Z",
                "slug": f"meter-{number}",
                "type": "LUA",
                "authorized_role": "OWNER",
                "manifest": manifest,
            }
            for number in range(offset, min(offset + limit, self.devices))
        ]
        data = self._series[target] = json.dumps({"devices": devices, "total_count": self.devices}).encode()
        return data

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
        step = 60 if asked["granularity"].endswith("m") else int(asked["granularity"].rstrip("s"))
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


class Link:
    """A line of limited speed that answers share."""

    def __init__(self, bytes_per_second: float) -> None:
        self._bytes_per_second = bytes_per_second
        self._free_at = 0.0

    def send(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write data when the line is free, piece by piece."""
        if not self._bytes_per_second:
            transport.write(data)
            return
        loop = asyncio.get_running_loop()
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            self._free_at = max(self._free_at, loop.time()) + len(piece) / self._bytes_per_second
            loop.call_at(self._free_at, transport.write, piece)


class Connection(asyncio.Protocol):
    """One kept-alive connection; requests on it come one after the other."""

    def __init__(self, answers: Answers, latency: float, link: Link) -> None:
        self._answers = answers
        self._latency = latency
        self._link = link
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
            answer = self._answers.to(target, body)
            if target.startswith(b"/v3/telemetry/query"):
                self._link.send(self._transport, answer)
            else:
                self._transport.write(answer)


async def serve(port: int, latency: float, devices: int, bytes_per_second: float) -> None:
    answers, link = Answers(devices), Link(bytes_per_second)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(answers, latency, link), "127.0.0.1", port, backlog=1024
    )
    await server.serve_forever()


def main() -> None:
    devices = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    bytes_per_second = float(sys.argv[4]) if len(sys.argv) > 4 else 0.0
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 1000, devices, bytes_per_second))


if __name__ == "__main__":
    main()
