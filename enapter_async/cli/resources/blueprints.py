"""`enapter-async blueprints`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anyio
import click

from enapter_async import Blueprint, BlueprintValidation
from enapter_async.cli.exits import Exit, Failure
from enapter_async.cli.output import Format, Printer, Shape, output_option
from enapter_async.cli.parameters import option
from enapter_async.cli.resources.declaration import Resource, argument, connect

if TYPE_CHECKING:
    from enapter_async import EnapterClient

BLUEPRINT = Shape.of(Blueprint)
_VALIDATION = Shape.of(BlueprintValidation)
_FILE = Shape.flat("file", "bytes")

_blueprints = Resource("blueprints", "Validate, upload and download blueprints, which describe devices.")
blueprints: click.Group = _blueprints.group

_source = argument("source", type=click.Path(exists=True, path_type=Path), metavar="FOLDER|ZIP")
_target = argument("to", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
_blueprint = argument("blueprint_id", metavar="BLUEPRINT")


def _validate(*, source: Path, output: Format) -> None:
    async def work(client: EnapterClient) -> None:
        validation = await client.blueprints.validate(source)
        Printer(output, _VALIDATION).one({"valid": validation.is_valid, "errors": list(validation.errors)})
        if not validation.is_valid:
            raise Failure(f"{source} is not a valid blueprint: {len(validation.errors)} errors", Exit.FAILED)

    connect(work)


_blueprints.add(
    "validate",
    _validate,
    "Validate a blueprint on the server. If it is invalid, the exit code is 1.",
    _source,
    output_option,
)


@_blueprints.changes("upload", _source, shape=BLUEPRINT, look="blueprints --help")
async def _upload(client: EnapterClient, *, source: Path) -> Blueprint:
    """Upload a blueprint. `devices assign-blueprint` assigns it to a device."""
    return await client.blueprints.upload(source)


@_blueprints.gives("get", _blueprint, shape=BLUEPRINT)
async def _get(client: EnapterClient, *, blueprint_id: str) -> Blueprint:
    """Show a blueprint."""
    return await client.blueprints.get(blueprint_id)


@_blueprints.gives(
    "find",
    argument("name", metavar="NAME"),
    option("--namespace", default="enapter", show_default=True, metavar="NAME", help="Owner of the blueprint."),
    option("--tag", default="latest", show_default=True, metavar="TAG", help="Version."),
    shape=BLUEPRINT,
)
async def _find(client: EnapterClient, *, name: str, namespace: str, tag: str) -> Blueprint:
    """Show the blueprint published under a name."""
    return await client.blueprints.get_by_name(name, namespace=namespace, tag=tag)


@_blueprints.gives(
    "download",
    _blueprint,
    _target,
    option(
        "--view",
        type=click.Choice(("ORIGINAL", "COMPILED"), case_sensitive=False),
        default="ORIGINAL",
        show_default=True,
        help="The original upload, or the version compiled by the platform.",
    ),
    shape=_FILE,
)
async def _download(
    client: EnapterClient, *, blueprint_id: str, to: Path, view: Literal["ORIGINAL", "COMPILED"]
) -> dict[str, object]:
    """Download a blueprint as a zip archive. The file appears when it is complete."""
    path = await client.blueprints.download_to(blueprint_id, to, view=view)
    return {"file": str(path), "bytes": (await anyio.Path(path).stat()).st_size}


@_blueprints.gives("download-profiles", _target, shape=_FILE)
async def _download_profiles(client: EnapterClient, *, to: Path) -> dict[str, object]:
    """Download the device profiles as a zip archive."""
    archive = await client.blueprints.download_device_profiles()
    try:
        await anyio.Path(to).write_bytes(archive)
    except OSError as error:
        raise Failure(f"cannot write {to}: {error.strerror}", Exit.STORAGE) from error
    return {"file": str(to), "bytes": len(archive)}


@_blueprints.changes(
    "upload-profiles",
    _source,
    question="Replace all device profiles with {source}?",
    done="replaced the device profiles",
    look="blueprints download-profiles FILE",
)
async def _upload_profiles(client: EnapterClient, *, source: Path) -> None:
    """Replace the device profiles."""
    await client.blueprints.upload_device_profiles(source)
