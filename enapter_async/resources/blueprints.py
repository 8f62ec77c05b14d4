"""Blueprints, which describe devices to the platform."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal, TypeAlias

from anyio import to_thread

from enapter_async._protocol import archive, query
from enapter_async._protocol.body import nothing
from enapter_async._protocol.decoding.envelopes import Enveloped, Whole
from enapter_async._protocol.request import Operation, Request, Safety
from enapter_async._protocol.urls import segment
from enapter_async._protocol.values import require_timeout
from enapter_async._session import Session
from enapter_async._transport.reading import StreamedAnswer
from enapter_async.errors import NotFoundError
from enapter_async.models.blueprints import Blueprint, BlueprintValidation, BlueprintView
from enapter_async.resources import _packing as packing
from enapter_async.resources._packing import BlueprintSource
from enapter_async.resources._resource import RawResource, Resource, raw
from enapter_async.resources._saving import appearing_when_complete, checked_target

BlueprintViewName: TypeAlias = Literal["ORIGINAL", "COMPILED"]
"""A blueprint as uploaded, or as compiled by the platform."""

_ZIP: Final = "application/zip"
_ANY_ARCHIVE: Final = "application/zip, application/octet-stream, */*;q=0.5"

_VALIDATE: Final = Operation("blueprints.validate", "POST", Safety.READ)
_UPLOAD: Final = Operation("blueprints.upload", "POST", Safety.UNSAFE)
_GET: Final = Operation("blueprints.get", "GET", Safety.READ)
_GET_BY_NAME: Final = Operation("blueprints.get_by_name", "GET", Safety.READ)
_DOWNLOAD: Final = Operation("blueprints.download", "GET", Safety.READ, accept=_ANY_ARCHIVE)
_DOWNLOAD_TO: Final = Operation("blueprints.download_to", "GET", Safety.READ, accept=_ANY_ARCHIVE)
_DOWNLOAD_PROFILES: Final = Operation("blueprints.download_device_profiles", "GET", Safety.READ, accept=_ANY_ARCHIVE)
_UPLOAD_PROFILES: Final = Operation("blueprints.upload_device_profiles", "POST", Safety.UNSAFE)

_BLUEPRINT: Final = Enveloped("blueprint", Blueprint)
_UPLOADED: Final = Whole(Blueprint)
_VALIDATION: Final = Whole(BlueprintValidation)


class Blueprints(Resource):
    """Validate, upload and download blueprints.

    A source is the bytes of a zip archive, the path of one, or the path of a folder. The same files in a folder
    always give the same archive, byte for byte. Version control, caches and temporary files of editors are left out.
    A link that points outside the folder is rejected.
    """

    async def validate(self, source: BlueprintSource, *, timeout: float | None = None) -> BlueprintValidation:
        """Validate a blueprint without storing it.

        Args:
            source: Bytes of a zip archive, its path, or a folder with `manifest.yml` in it.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The result of the validation. An invalid blueprint does not raise an error.

        Raises:
            InvalidArgumentError: The source is unreadable or larger than 64 MiB.
        """
        request = await _archive_request(_VALIDATE, "v3/blueprints/validate", source)
        return await self._session.send(request, _VALIDATION, timeout)

    async def upload(self, source: BlueprintSource, *, timeout: float | None = None) -> Blueprint:
        """Upload a blueprint. Assign it to a device with `devices.assign_blueprint`.

        Args:
            source: Bytes of a zip archive, its path, or a folder with `manifest.yml` in it.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The blueprint, as far as the server describes it.

        Raises:
            InvalidArgumentError: The source is unreadable or larger than 64 MiB.
            OutcomeUnknownError: No response was received. The blueprint may be stored under an ID that was lost.
        """
        request = await _archive_request(_UPLOAD, "v3/blueprints/upload", source)
        return await self._session.send(request, _UPLOADED, timeout)

    async def get(self, blueprint_id: str, *, timeout: float | None = None) -> Blueprint:
        """Get the metadata of a blueprint. Get its content with `download`.

        Args:
            blueprint_id: ID of the blueprint.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The blueprint.

        Raises:
            NotFoundError: The blueprint does not exist.
        """
        path = "v3/blueprints/" + segment(blueprint_id, "blueprint_id")
        return await self._session.send(Request(_GET, path), _BLUEPRINT, timeout)

    async def get_by_name(
        self, name: str, *, namespace: str = "enapter", tag: str = "latest", timeout: float | None = None
    ) -> Blueprint:
        """Get a blueprint by its published name.

        Args:
            name: Name within the namespace.
            namespace: Owner of the blueprint.
            tag: Version of the blueprint.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The blueprint.

        Raises:
            NotFoundError: The name does not exist, or the server lacks the endpoint.
        """
        parts = (segment(namespace, "namespace"), segment(name, "name"), segment(tag, "tag"))
        return await self._session.send(Request(_GET_BY_NAME, "/".join(("v3/blueprints", *parts))), _BLUEPRINT, timeout)

    async def download(
        self,
        blueprint_id: str,
        *,
        view: BlueprintView | BlueprintViewName = BlueprintView.ORIGINAL,
        timeout: float | None = None,
    ) -> bytes:
        """Download a blueprint as a zip archive.

        Args:
            blueprint_id: ID of the blueprint.
            view: ORIGINAL as uploaded, or COMPILED by the platform. Always sent, since the defaults of servers and
                clients differ.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The archive.

        Raises:
            NotFoundError: The blueprint does not exist.
            ResponseTooLargeError: The archive is larger than `max_response_bytes`. `download_to` has no such limit.
        """
        return await self._session.send(_download(_DOWNLOAD, blueprint_id, view), archive.complete, timeout)

    async def download_to(
        self,
        blueprint_id: str,
        path: str | os.PathLike[str],
        *,
        view: BlueprintView | BlueprintViewName = BlueprintView.ORIGINAL,
        timeout: float | None = None,
    ) -> Path:
        """Download a blueprint to a file. The file appears only when it is complete.

        The archive is streamed to a temporary file next to the target, which is renamed at the end. If the download
        fails or is cancelled, the temporary file is removed.

        Args:
            blueprint_id: ID of the blueprint.
            path: Path of the file. An existing file is replaced.
            view: ORIGINAL as uploaded, or COMPILED by the platform.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The path of the file.

        Raises:
            InvalidArgumentError: Writing the file failed.
            NotFoundError: The blueprint does not exist.
        """
        target = checked_target(path)
        if timeout is not None:
            require_timeout(timeout)
        request = _download(_DOWNLOAD_TO, blueprint_id, view)
        async with appearing_when_complete(target) as part:

            async def save(answer: StreamedAnswer, deadline: float) -> None:
                await part.begin()
                async for piece in answer.pieces(idle=self._session.idle_timeout(), deadline=deadline):
                    await part.write(piece)
                await part.flush()
                if not answer.ends_provably:
                    await to_thread.run_sync(archive.check_end, part.path)

            await self._session.consume(request, save, timeout)
        return target

    async def download_device_profiles(self, *, timeout: float | None = None) -> bytes:
        """Download the device profiles, which blueprints can implement, as a zip archive.

        Args:
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The archive. If the server responds with 404, the path of older servers is tried.

        Raises:
            NotFoundError: The server supports neither path.
        """
        left = self._countdown(timeout)
        try:
            return await self._profiles("device_profiles/download", left())
        except NotFoundError:
            pass
        return await self._profiles("download_device_profiles", left())

    async def upload_device_profiles(self, source: BlueprintSource, *, timeout: float | None = None) -> None:
        """Replace the device profiles. The response of the server is not documented.

        Args:
            source: Bytes of a zip archive, its path, or a folder.
            timeout: Timeout of the whole call, in seconds.

        Raises:
            InvalidArgumentError: The source is unreadable or larger than 64 MiB.
            OutcomeUnknownError: No response was received. The change may have been made.
        """
        request = await _archive_request(_UPLOAD_PROFILES, "v3/blueprints/upload_device_profiles", source)
        return await self._session.send(request, nothing, timeout)

    async def _profiles(self, path: str, timeout: float) -> bytes:
        request = Request(_DOWNLOAD_PROFILES, f"v3/blueprints/{path}")
        return await self._session.send(request, archive.complete, timeout)


class RawBlueprints(RawResource):
    """The methods of `Blueprints` that give one response. They return a `Response`."""

    def __init__(self, session: Session) -> None:
        super().__init__(Blueprints(session))

    @raw(Blueprints.validate)
    def validate(self) -> None:
        """Like `Blueprints.validate`."""

    @raw(Blueprints.upload)
    def upload(self) -> None:
        """Like `Blueprints.upload`."""

    @raw(Blueprints.get)
    def get(self) -> None:
        """Like `Blueprints.get`."""

    @raw(Blueprints.get_by_name)
    def get_by_name(self) -> None:
        """Like `Blueprints.get_by_name`."""

    @raw(Blueprints.download)
    def download(self) -> None:
        """Like `Blueprints.download`."""

    @raw(Blueprints.download_device_profiles)
    def download_device_profiles(self) -> None:
        """Like `Blueprints.download_device_profiles`."""

    @raw(Blueprints.upload_device_profiles)
    def upload_device_profiles(self) -> None:
        """Like `Blueprints.upload_device_profiles`."""


def _download(operation: Operation, blueprint_id: str, view: BlueprintView | BlueprintViewName) -> Request:
    path = f"v3/blueprints/{segment(blueprint_id, 'blueprint_id')}/zip"
    return Request(operation, path, query.encode([("view", query.member(view, BlueprintView, "view"))]))


async def _archive_request(operation: Operation, path: str, source: BlueprintSource) -> Request:
    data = await to_thread.run_sync(packing.read, source)
    return Request(operation, path, body=data, content_type=_ZIP)
