"""`enapter-async devices`."""

from __future__ import annotations

from collections.abc import AsyncIterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click

from enapter_async import CommunicationConfig, Device, DeviceExpand, TerminalSession
from enapter_async.cli.output import Format, Shape
from enapter_async.cli.parameters import option
from enapter_async.cli.resources.declaration import (
    Resource,
    argument,
    connect,
    device_argument,
    or_unset,
    site_option,
    without_doubt,
)
from enapter_async.cli.resources.question import ask, yes_option
from enapter_async.cli.resources.secrets_file import give_out, place_for_secrets, secret_options

if TYPE_CHECKING:
    from enapter_async import EnapterClient

DEVICE = Shape.of(
    Device,
    "id",
    "name",
    "slug",
    "type",
    role="authorized_role",
    status="connectivity.status",
    alerts="raised_alert_names",
)
_CONFIG = Shape.of(CommunicationConfig)
_TERMINAL = Shape.of(TerminalSession)
_DECLARATIONS = Shape.flat("section", "name", "type", "unit", "display_name")
_LOOK = "devices get {device_id}"

_devices = Resource("devices", "List and manage devices.")
devices: click.Group = _devices.group

_expand = option(
    "--expand",
    multiple=True,
    type=click.Choice(get_args(DeviceExpand)),
    default=("connectivity", "raised_alert_names"),
    help="Optional field to include; repeatable. [default: the fields of the table]",
)


@_devices.lists("list", site_option, _expand, shape=DEVICE)
def _list(
    client: EnapterClient, *, site_id: str | None, expand: tuple[DeviceExpand, ...], limit: int | None
) -> AsyncIterable[Device]:
    """List devices."""
    return client.devices.list(site_id=site_id, expand=expand, max_items=limit)


@_devices.gives("get", device_argument(), site_option, _expand, shape=DEVICE)
async def _get(
    client: EnapterClient, *, device_id: str, site_id: str | None, expand: tuple[DeviceExpand, ...]
) -> Device:
    """Show a device."""
    return await client.devices.get(device_id, site_id=site_id, expand=expand)


@_devices.gives(
    "manifest",
    device_argument(),
    site_option,
    shape=_DECLARATIONS,
)
async def _manifest(client: EnapterClient, *, device_id: str, site_id: str | None) -> list[dict[str, object]]:
    """List the telemetry, properties, commands, alerts and configuration that a device declares.

    For the whole manifest, use `devices get DEVICE --expand manifest --output json`.
    """
    manifest = await client.devices.get_manifest(device_id, site_id=site_id)
    rows: list[dict[str, object]] = []
    for section in ("telemetry", "properties", "commands", "alerts", "configuration"):
        for name, one in getattr(manifest, section).items():
            shown = {field: getattr(one, field, None) for field in ("type", "unit", "display_name")}
            rows.append({"section": section, "name": name, **shown})
    return rows


@_devices.changes(
    "update",
    device_argument(),
    option("--name", metavar="TEXT", help="Display name."),
    option("--slug", metavar="TEXT", help="Short name, unique within the site."),
    site_option,
    shape=DEVICE,
    look=_LOOK,
)
async def _update(
    client: EnapterClient, *, device_id: str, name: str | None, slug: str | None, site_id: str | None
) -> Device:
    """Change a device's name or slug."""
    return await client.devices.update(device_id, name=or_unset(name), slug=or_unset(slug), site_id=site_id)


@_devices.changes(
    "delete",
    device_argument(),
    site_option,
    question="Delete device {device_id}?",
    done="deleted device {device_id}",
    look=_LOOK,
)
async def _delete(client: EnapterClient, *, device_id: str, site_id: str | None) -> None:
    """Delete a device."""
    await client.devices.delete(device_id, site_id=site_id)


@_devices.changes(
    "assign-blueprint",
    device_argument(),
    argument("blueprint_id", metavar="BLUEPRINT"),
    site_option,
    question="Assign the blueprint {blueprint_id} to device {device_id}?",
    shape=DEVICE,
    look=_LOOK,
)
async def _assign_blueprint(client: EnapterClient, *, device_id: str, blueprint_id: str, site_id: str | None) -> Device:
    """Assign another blueprint to a device."""
    return await client.devices.assign_blueprint(device_id, blueprint_id, site_id=site_id)


def _communication_config(
    *,
    device_id: str,
    site_id: str | None,
    protocol: Literal["MQTT", "MQTTS"],
    yes: bool,
    to: Path | None,
    show_secrets: bool,
    output: Format,
) -> None:
    ask(f"Create new credentials for device {device_id}? Its old ones may stop working.", yes=yes)

    async def work(client: EnapterClient) -> None:
        making = client.devices.generate_communication_config(device_id, protocol=protocol, site_id=site_id)
        config = await without_doubt(making, "the device may have credentials that were not shown: create new ones")
        give_out(config, to, output, _CONFIG, show_secrets=show_secrets)

    with place_for_secrets(to, show_secrets=show_secrets):
        connect(work)


_devices.add(
    "communication-config",
    _communication_config,
    "Generate new credentials for a standalone device and show its connection configuration.",
    device_argument(),
    site_option,
    option(
        "--protocol",
        type=click.Choice(("MQTT", "MQTTS"), case_sensitive=False),
        default="MQTTS",
        show_default=True,
        help="MQTT is unencrypted, with a password. MQTTS uses TLS and a certificate.",
    ),
    yes_option,
    *secret_options,
)


def _terminal(
    *, device_id: str, site_id: str | None, yes: bool, to: Path | None, show_secrets: bool, output: Format
) -> None:
    ask(f"Open a terminal on device {device_id}?", yes=yes)

    async def work(client: EnapterClient) -> None:
        opening = client.devices.run_terminal(device_id, site_id=site_id)
        session = await without_doubt(opening, "an unused session ends automatically")
        give_out(session, to, output, _TERMINAL, show_secrets=show_secrets)

    with place_for_secrets(to, show_secrets=show_secrets):
        connect(work)


_devices.add(
    "terminal",
    _terminal,
    "Open a terminal session on a device and show how to connect to it.",
    device_argument(),
    site_option,
    yes_option,
    *secret_options,
)
