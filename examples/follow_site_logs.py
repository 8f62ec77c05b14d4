"""Follow the logs of all devices of a site, live.

    python examples/follow_site_logs.py --for 60

One stream covers the whole site. If the connection is lost, the program prints the time span in which log records may
be missing. Without `--for`, it runs until Ctrl-C. `--site ID` selects another site than the first.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from enapter_async import DeviceFrame, EnapterClient, StreamGap


async def follow(site_id: str | None) -> None:
    """Print log records as they come, until cancelled."""
    async with EnapterClient.from_env() as client:
        if site_id is None:
            site_id = (await client.sites.list(max_items=1).collect())[0].id
        names = {device.id: device.name async for device in client.devices.list(site_id=site_id)}
        async with client.streams.devices(names, site_id=site_id) as stream:
            print(f"following {len(names)} devices", flush=True)
            async for event in stream.events():
                if isinstance(event, StreamGap):
                    print(f"-- nothing is known from {event.since:%H:%M:%S} to {event.until:%H:%M:%S}", flush=True)
                elif isinstance(event, DeviceFrame) and event.log is not None:
                    name = names.get(event.device_id or "", event.device_id)
                    print(f"{event.log.severity or '':7} {name}: {event.log.message}", flush=True)


async def run(site_id: str | None, duration: float | None) -> None:
    """Follow for so many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(duration):
            await follow(site_id)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", help="ID of the site; by default the first one")
    parser.add_argument("--for", dest="duration", type=float, help="seconds; without it until stopped")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(options.site, options.duration))


if __name__ == "__main__":
    main()
