"""`enapter-async provisioning`, which adds new devices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from enapter_async import ProvisionedDevice
from enapter_async.cli.output import Format, Shape
from enapter_async.cli.parameters import option
from enapter_async.cli.resources.declaration import Resource, connect, or_unset, site_option, without_doubt
from enapter_async.cli.resources.question import ask, yes_option
from enapter_async.cli.resources.secrets_file import give_out, place_for_secrets, secret_options

if TYPE_CHECKING:
    from enapter_async import EnapterClient

PROVISIONED = Shape.of(ProvisionedDevice)
_LOOK = "devices list"

_provisioning = Resource("provisioning", "Provision new devices.")
provisioning: click.Group = _provisioning.group

_name = option("--name", required=True, metavar="TEXT", help="Display name.")
_slug = option("--slug", metavar="TEXT", help="Short name, unique within the site.")
_hardware = option("--hardware-id", required=True, metavar="TEXT", help="32 upper-case hexadecimal digits.")


@_provisioning.changes("standalone", _name, _slug, site_option, shape=PROVISIONED, look=_LOOK)
async def _standalone(client: EnapterClient, *, name: str, slug: str | None, site_id: str | None) -> ProvisionedDevice:
    """Provision a standalone MQTT device. Run `devices communication-config` next."""
    return await client.provisioning.standalone(name=name, site_id=site_id, slug=or_unset(slug))


@_provisioning.changes(
    "vucm",
    _name,
    option("--hardware-id", required=True, metavar="TEXT", help="Your choice: V and 32 upper-case hexadecimal digits."),
    site_option,
    shape=PROVISIONED,
    look=_LOOK,
)
async def _vucm(client: EnapterClient, *, name: str, hardware_id: str, site_id: str | None) -> ProvisionedDevice:
    """Provision a virtual UCM to run Lua devices. Gateway only."""
    return await client.provisioning.vucm(name=name, hardware_id=hardware_id, site_id=site_id)


@_provisioning.changes(
    "lua-device",
    _name,
    _slug,
    option("--runtime-id", required=True, metavar="ID", help="ID of the UCM that runs the program."),
    option("--blueprint-id", required=True, metavar="ID", help="ID of the blueprint."),
    shape=PROVISIONED,
    look=_LOOK,
)
async def _lua_device(
    client: EnapterClient, *, name: str, slug: str | None, runtime_id: str, blueprint_id: str
) -> ProvisionedDevice:
    """Provision a Lua device, whose program runs on a UCM."""
    return await client.provisioning.lua_device(
        runtime_id=runtime_id, blueprint_id=blueprint_id, name=name, slug=or_unset(slug)
    )


def _ucm(
    *,
    name: str,
    hardware_id: str,
    site_id: str | None,
    protocol: Literal["MQTT", "MQTTS"] | None,
    yes: bool,
    to: Path | None,
    show_secrets: bool,
    output: Format,
) -> None:
    ask(f"Provision the UCM {hardware_id}? If it already exists, it gets new credentials.", yes=yes)

    async def work(client: EnapterClient) -> None:
        making = client.provisioning.ucm(
            name=name, hardware_id=hardware_id, site_id=site_id, protocol=or_unset(protocol)
        )
        made = await without_doubt(making, f"check before repeating it: enapter-async {_LOOK}")
        give_out(made, to, output, PROVISIONED, show_secrets=show_secrets)

    with place_for_secrets(to, show_secrets=show_secrets):
        connect(work)


_provisioning.add(
    "ucm",
    _ucm,
    "Provision a hardware UCM and show its connection configuration. Repeating it generates new credentials.",
    _name,
    _hardware,
    site_option,
    option(
        "--protocol",
        type=click.Choice(("MQTT", "MQTTS"), case_sensitive=False),
        help="Protocol that the UCM connects with. [default: chosen by the server]",
    ),
    yes_option,
    *secret_options,
)
