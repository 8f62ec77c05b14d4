"""Blueprints up and down: folders, archives, downloads that appear when they are complete."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import anyio
import pytest

from enapter_async import (
    BlueprintView,
    DeadlineExceededError,
    EnapterClient,
    InvalidArgumentError,
    NotFoundError,
    RequestError,
    RetryPolicy,
    UnprocessableError,
)
from enapter_async.simulator import Fault, Simulator

pytestmark = pytest.mark.anyio

MANIFEST = "blueprint_spec: device/3.0\ndisplay_name: Flow meter\nruntime: {type: standalone}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "flow_meter"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "config").write_text("[core]")
    (folder / "manifest.yml").write_text(MANIFEST)
    (folder / "README.md").write_text("Flow meter")
    return folder


def names(data: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.namelist()


async def test_a_folder_goes_up_and_comes_down(client: EnapterClient, simulator: Simulator, folder: Path) -> None:
    assert (await client.blueprints.validate(folder)).is_valid
    blueprint = await client.blueprints.upload(folder)
    assert await client.blueprints.get(blueprint.id) == blueprint
    original = await client.blueprints.download(blueprint.id)
    assert names(original) == ["README.md", "manifest.yml"]
    assert original == simulator.requests_of("uploadBlueprint")[0].body
    compiled = await client.blueprints.download(blueprint.id, view="COMPILED")
    assert any(name.startswith("manifest.") for name in names(compiled))
    assert [record.query["view"] for record in simulator.requests_of("downloadBlueprint")] == [
        ["ORIGINAL"],
        ["COMPILED"],
    ]


@pytest.mark.parametrize("form", ["wrapped", "flat", "blueprint_id"])
async def test_every_form_of_the_upload_answer(form: str, folder: Path) -> None:
    async with (
        Simulator(upload_answer=form, created=form == "flat") as simulator,
        EnapterClient(base_url=simulator.url, token=simulator.token) as client,
    ):
        blueprint = await client.blueprints.upload(str(folder))
        assert blueprint.id in simulator.world.blueprints
        assert blueprint.created_at is not None


async def test_a_blueprint_that_is_wrong(client: EnapterClient, folder: Path) -> None:
    (folder / "manifest.yml").unlink()
    result = await client.blueprints.validate(folder)
    assert not result.is_valid
    assert "manifest.yml" in result.errors[0]
    with pytest.raises(UnprocessableError):
        await client.blueprints.upload(folder)
    assert not (await client.blueprints.validate(b"no zip")).is_valid


async def test_validating_and_downloading_need_no_token(
    simulator: Simulator, client: EnapterClient, folder: Path
) -> None:
    blueprint = await client.blueprints.upload(folder)
    async with EnapterClient(base_url=simulator.url) as anonymous:
        assert (await anonymous.blueprints.validate(folder)).is_valid
        assert await anonymous.blueprints.download(blueprint.id)


async def test_a_blueprint_by_name(client: EnapterClient, simulator: Simulator) -> None:
    published = next(one for one in simulator.world.blueprints.values() if one.full_names)
    name = published.full_names[0]
    found = await client.blueprints.get_by_name(name["name"], namespace=name["namespace"], tag=name["tag"])
    assert found.id == published.id
    assert found.full_names is not None
    with pytest.raises(NotFoundError):
        await client.blueprints.get_by_name("no_such_blueprint")


async def test_device_profiles(client: EnapterClient, tmp_path: Path) -> None:
    profiles = await client.blueprints.download_device_profiles()
    assert names(profiles)
    (tmp_path / "profiles.zip").write_bytes(profiles)
    assert await client.blueprints.upload_device_profiles(tmp_path / "profiles.zip") is None  # type: ignore[func-returns-value]


# -- download_to -----------------------------------------------------------------------------------------------


@pytest.fixture
async def blueprint_id(client: EnapterClient, folder: Path) -> str:
    (folder / "big.bin").write_bytes(bytes(range(256)) * 2000)
    return (await client.blueprints.upload(folder)).id


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


async def test_a_download_appears_when_it_is_complete(client: EnapterClient, blueprint_id: str, tmp_path: Path) -> None:
    target = tmp_path / "down.zip"
    target.write_bytes(b"what was there before")
    assert await client.blueprints.download_to(blueprint_id, str(target), view=BlueprintView.ORIGINAL) == target
    assert target.read_bytes() == await client.blueprints.download(blueprint_id)
    assert left_behind(tmp_path) == ["down.zip"]
    assert target.stat().st_mode & 0o777 == (tmp_path / "flow_meter" / "README.md").stat().st_mode & 0o777


async def test_a_download_that_breaks_is_begun_again(
    simulator: Simulator, client: EnapterClient, blueprint_id: str, tmp_path: Path
) -> None:
    simulator.faults.on("downloadBlueprint", Fault.truncate(100_000), nth={1, 2})
    await client.blueprints.download_to(blueprint_id, tmp_path / "down.zip")
    assert len(simulator.requests_of("downloadBlueprint")) == 3
    assert zipfile.ZipFile(tmp_path / "down.zip").testzip() is None


@pytest.mark.parametrize("fault", [Fault.truncate(100_000), Fault.reset(), Fault.html(502)])
async def test_nothing_stays_behind_of_a_download_that_fails(
    simulator: Simulator, client: EnapterClient, blueprint_id: str, tmp_path: Path, fault: Fault
) -> None:
    simulator.faults.on("downloadBlueprint", fault, nth=None)
    (tmp_path / "down.zip").write_bytes(b"old")
    once = client.with_options(retry=RetryPolicy.none())
    with pytest.raises(RequestError):
        await once.blueprints.download_to(blueprint_id, tmp_path / "down.zip")
    assert left_behind(tmp_path) == ["down.zip"]
    assert (tmp_path / "down.zip").read_bytes() == b"old"
    simulator.faults.clear()
    with pytest.raises(NotFoundError):
        await once.blueprints.download_to("no-such-blueprint", tmp_path / "new.zip")
    assert left_behind(tmp_path) == ["down.zip"]


async def test_nothing_stays_behind_of_a_download_that_is_cancelled(
    simulator: Simulator, client: EnapterClient, blueprint_id: str, tmp_path: Path
) -> None:
    simulator.faults.on("downloadBlueprint", Fault.drip(0.01), nth=None)
    with anyio.move_on_after(0.15) as scope:
        await client.blueprints.download_to(blueprint_id, tmp_path / "down.zip")
    assert scope.cancelled_caught
    assert left_behind(tmp_path) == []


async def test_a_dripping_server_does_not_outlast_the_deadline(
    simulator: Simulator, client: EnapterClient, blueprint_id: str, tmp_path: Path
) -> None:
    simulator.faults.on("downloadBlueprint", Fault.drip(0.01), nth=None)
    with anyio.fail_after(2), pytest.raises(DeadlineExceededError):
        await client.blueprints.download_to(blueprint_id, tmp_path / "down.zip", timeout=0.2)
    assert left_behind(tmp_path) == []


async def test_a_folder_that_is_missing_is_noticed_before_anything_is_sent(
    simulator: Simulator, client: EnapterClient, blueprint_id: str, tmp_path: Path
) -> None:
    for path in (tmp_path / "missing" / "down.zip", tmp_path):
        with pytest.raises(InvalidArgumentError, match="cannot write"):
            await client.blueprints.download_to(blueprint_id, path)
    assert simulator.requests_of("downloadBlueprint") == []
