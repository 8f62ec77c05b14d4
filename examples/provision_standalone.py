r"""Provision a standalone device, from its blueprint to its MQTT configuration.

    python examples/provision_standalone.py ./my-blueprint \
        --name "Test stand meter" --to meter.json

The configuration contains secrets, so it is written to a file that only you can read, and is never printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

from enapter_async import CommunicationConfig, EnapterClient, OutcomeUnknownError


async def provision(blueprint: Path, name: str, site_id: str | None, target: Path) -> str:
    """Return the ID of the new device; its configuration is in the target file."""
    async with EnapterClient.from_env() as client:
        validation = await client.blueprints.validate(blueprint)
        if not validation.is_valid:
            sys.exit("the blueprint is not valid:\n" + "\n".join(validation.errors))
        uploaded = await client.blueprints.upload(blueprint)
        site_id = site_id or (await client.sites.list(max_items=1).collect())[0].id
        try:
            provisioned = await client.provisioning.standalone(name=name, site_id=site_id)
        except OutcomeUnknownError:
            # It is unknown whether the device exists now; a second one would be wrong. So look.
            devices = [device async for device in client.devices.list(site_id=site_id) if device.name == name]
            sys.exit(f"no response arrived; devices of that name: {[device.id for device in devices] or 'none'}")
        await client.devices.assign_blueprint(provisioned.device_id, uploaded.id)
        config = await client.devices.generate_communication_config(provisioned.device_id, protocol="MQTTS")
        write_secret(target, config)
        return provisioned.device_id


def write_secret(target: Path, config: CommunicationConfig) -> None:
    """Write the configuration to a new file with mode 600."""
    credentials = config.mqtt_credentials
    document = {
        "mqtt_host": config.mqtt_host,
        "mqtt_port": config.mqtt_port,
        "private_key": credentials.private_key if credentials else None,
        "certificate": credentials.certificate if credentials else None,
        "ca_chain": credentials.ca_chain if credentials else None,
    }
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("blueprint", type=Path, help="folder or zip file")
    parser.add_argument("--name", required=True)
    parser.add_argument("--site", help="ID of the site; by default the first one")
    parser.add_argument("--to", type=Path, required=True, help="file for the configuration; must not exist")
    options = parser.parse_args()
    device_id = asyncio.run(provision(options.blueprint, options.name, options.site, options.to))
    print(f"device {device_id} is provisioned; its configuration is in {options.to}")


if __name__ == "__main__":
    main()
