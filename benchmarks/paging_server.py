"""A list of devices in pages and latest telemetry, all encoded beforehand: `python -m benchmarks.paging_server`."""

from __future__ import annotations

import asyncio
import json
import sys
from urllib.parse import parse_qsl

from aiohttp import web

from benchmarks.servers import device


def main() -> None:
    port, latency, count, manifests = int(sys.argv[1]), float(sys.argv[2]) / 1000, int(sys.argv[3]), sys.argv[4] == "1"
    encoded = [json.dumps(device(number + 1, manifest=manifests)) for number in range(count)]
    pages: dict[tuple[int, int], bytes] = {}

    async def listed(request: web.Request) -> web.Response:
        await asyncio.sleep(latency)
        offset, limit = int(request.query.get("offset", 0)), int(request.query.get("limit", 50))
        page = pages.get((offset, limit))
        if page is None:
            items = ",".join(encoded[offset : offset + limit])
            page = pages[offset, limit] = f'{{"devices":[{items}],"total_count":{count}}}'.encode()
        return web.Response(body=page, content_type="application/json")

    async def latest(request: web.Request) -> web.Response:
        await asyncio.sleep(latency)
        telemetry = {
            name[8:-1]: {attribute: {"value": 1.5, "timestamp": 1773482399} for attribute in value.split(",")}
            for name, value in parse_qsl(request.query_string)
            if name.startswith("devices[")
        }
        return web.json_response({"telemetry": telemetry})

    application = web.Application()
    application.router.add_get("/v3/devices", listed)
    application.router.add_get("/v3/telemetry/latest", latest)
    web.run_app(application, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    main()
