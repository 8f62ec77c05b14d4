"""Watch the raised alerts of all devices, and post each change once to a webhook.

    python examples/alert_bot.py http://127.0.0.1:9000/hook --interval 5 --for 60

A change is posted until the webhook has taken it (any 2xx); what cannot be posted now is posted later, in order,
and a device that was away for a moment is no change.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections import deque

import aiohttp

from enapter_async import Device, EnapterClient, EnapterError

log = logging.getLogger("alert_bot")

Change = dict[str, str]


class AlertBot:
    """Remembers which alerts are raised, and what the webhook has not been told yet."""

    def __init__(self) -> None:
        self._raised: dict[str, frozenset[str]] = {}
        self._pending: deque[Change] = deque()

    def see(self, device: Device) -> None:
        """Compare a device's alerts with what is known; the first look at it tells what is raised already."""
        now = frozenset(device.raised_alert_names or ())
        before = self._raised.get(device.id, frozenset())
        for event, names in (("raised", now - before), ("cleared", before - now)):
            for name in sorted(names):
                self._pending.append({"event": event, "alert": name, "device_id": device.id, "device": device.name})
        self._raised[device.id] = now

    async def deliver(self, http: aiohttp.ClientSession, webhook: str) -> None:
        """Post what is pending, oldest first; what fails stays pending."""
        while self._pending:
            try:
                async with http.post(webhook, json=self._pending[0]) as response:
                    if not response.ok:
                        log.warning("the webhook answered with status %d; trying again later", response.status)
                        return
            except (aiohttp.ClientError, TimeoutError) as error:
                log.warning("the webhook cannot be reached (%s); trying again later", type(error).__name__)
                return
            self._pending.popleft()


async def run(webhook: str, interval: float, duration: float | None) -> None:
    """Look at all devices each interval, until the duration is over."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    bot = AlertBot()
    # The webhook gets a session of its own: nothing of Enapter's token may reach it.
    timeout = aiohttp.ClientTimeout(total=10)
    async with EnapterClient.from_env(app="alert-bot/1.0") as client, aiohttp.ClientSession(timeout=timeout) as http:
        tick = 0
        while duration is None or loop.time() - began < duration:
            try:
                async for device in client.devices.list(expand={"raised_alert_names"}):
                    bot.see(device)
            except EnapterError as error:
                log.warning("the devices cannot be listed: %s", error)
            await bot.deliver(http, webhook)
            tick += 1
            await asyncio.sleep(max(0.0, began + tick * interval - loop.time()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("webhook")
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between two looks")
    parser.add_argument("--for", dest="duration", type=float, help="seconds; without it until stopped")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    asyncio.run(run(options.webhook, options.interval, options.duration))


if __name__ == "__main__":
    main()
