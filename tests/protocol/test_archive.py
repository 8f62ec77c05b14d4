"""Blueprints as zip archives: the same files are the same bytes, and nothing gets in that should not."""

from __future__ import annotations

import io
import os
import socket
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enapter_async import InvalidArgumentError, InvalidBodyError
from enapter_async._protocol import archive
from enapter_async._protocol.request import Answer, Headers
from enapter_async.resources import _packing as packing

FILES = {
    "manifest.yml": b"blueprint_spec: device/3.0\n",
    "firmware.lua": b"function main() end\n",
    "lib/modbus.lua": b"return {}\n",
    "lib/deep/\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82.lua".encode("latin1").decode(): b"",
    "icon.png": bytes(range(256)),
}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def content(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def test_a_folder_holds_what_it_holds(tmp_path: Path) -> None:
    data = packing.read(write(tmp_path, FILES))
    assert content(data) == FILES
    assert list(content(data)) == sorted(FILES)


def test_the_same_files_are_the_same_bytes(tmp_path: Path) -> None:
    first = write(tmp_path / "first", FILES)
    second = write(tmp_path / "second", dict(reversed(FILES.items())))
    for path in second.rglob("*"):
        path.chmod(0o700)
        os.utime(path, (1, 1))
    (second / "empty").mkdir()
    assert packing.read(first) == packing.read(str(second))
    (second / "manifest.yml").write_bytes(b"other")
    assert packing.read(first) != packing.read(second)


@pytest.mark.parametrize(
    "litter",
    [
        ".git/config",
        ".gitignore",
        ".svn/entries",
        "lib/__pycache__/x.cpython-311.pyc",
        "lib/x.pyc",
        ".DS_Store",
        "lib/._modbus.lua",
        "Thumbs.db",
        ".idea/workspace.xml",
        "firmware.lua~",
        ".firmware.lua.swp",
        "#firmware.lua#",
        "node_modules/x/index.js",
    ],
)
def test_litter_is_left_out(tmp_path: Path, litter: str) -> None:
    write(tmp_path, {**FILES, litter: b"litter"})
    assert content(packing.read(tmp_path)) == FILES


def test_what_only_looks_like_litter_stays(tmp_path: Path) -> None:
    files = {**FILES, ".luacheckrc": b"std = 'lua53'", "git/x.lua": b"", "lib/swp": b""}
    assert content(packing.read(write(tmp_path, files))) == files


def test_a_link_within_the_folder_stands_for_its_file(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    (tmp_path / "main.lua").symlink_to("firmware.lua")
    assert content(packing.read(tmp_path)) == {**FILES, "main.lua": FILES["firmware.lua"]}


@pytest.mark.parametrize("target", ["../secret", "lib", ".", "no such file", "loop", "/etc", "../blueprint-2/x"])
def test_every_other_link_is_refused(tmp_path: Path, target: str) -> None:
    folder = write(tmp_path / "blueprint", FILES)
    write(tmp_path, {"secret": b"secret", "blueprint-2/x": b"secret"})
    (folder / "lib" / "a").mkdir()
    (folder / "loop").symlink_to(target)
    with pytest.raises(InvalidArgumentError, match="loop is a link") as caught:
        packing.read(folder)
    assert caught.value.argument == "source"


def test_a_dangling_link_of_an_editor_is_litter(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    (tmp_path / ".#firmware.lua").symlink_to("me@host.1234:5678")
    assert content(packing.read(tmp_path)) == FILES


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    folder = write(tmp_path / "blueprint", FILES)
    (tmp_path / "link").symlink_to(folder)
    assert packing.read(tmp_path / "link") == packing.read(folder)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidArgumentError, match="not a regular file"):
        packing.read(tmp_path)
    with pytest.raises(InvalidArgumentError, match="not a regular file"):
        packing.read(tmp_path / "pipe")


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        with pytest.raises(InvalidArgumentError):
            packing.read("s")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {".git/config": b""})
    with pytest.raises(InvalidArgumentError, match="contains no files"):
        packing.read(tmp_path)


def test_size_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MAX_BYTES", 1000)
    write(tmp_path, {"a": b"x" * 600, "b": b"x" * 500})
    sources: list[packing.BlueprintSource] = [tmp_path, b"x" * 1001, bytearray(1001), memoryview(b"x" * 1001)]
    for source in sources:
        with pytest.raises(InvalidArgumentError, match="larger"):
            packing.read(source)


def test_a_zip_file_and_bytes_go_as_they_are(tmp_path: Path) -> None:
    data = packing.read(write(tmp_path / "folder", FILES))
    (tmp_path / "blueprint.zip").write_bytes(data)
    assert packing.read(tmp_path / "blueprint.zip") == data
    assert packing.read(bytearray(data)) == data
    assert packing.read(b"no zip at all, which the server will say") == b"no zip at all, which the server will say"


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.yml").write_bytes(b"blueprint_spec: device/3.0")
    with pytest.raises(InvalidArgumentError, match="neither a folder nor a zip file"):
        packing.read(tmp_path / "manifest.yml")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="No such file"):
        packing.read(tmp_path / "missing.zip")


NAMES = st.from_regex(r"[A-Za-z0-9_ .-]{1,12}", fullmatch=True).filter(
    lambda name: name.strip(". ") == name and not packing._is_litter(name)
)


@settings(max_examples=40)
@given(st.dictionaries(NAMES, st.binary(max_size=64), min_size=1, max_size=6))
def test_whatever_is_in_the_folder_comes_out_again(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    files = {name.lower(): data for name, data in files.items()}
    folder = write(tmp_path_factory.mktemp("any"), files)
    assert content(packing.read(folder)) == files


def received(body: bytes, *headers: tuple[bytes, bytes]) -> Answer:
    return Answer(200, Headers(headers), body)


def test_an_archive_without_a_length_proves_its_own_end(tmp_path: Path) -> None:
    data = packing.read(write(tmp_path, FILES))
    assert archive.complete(received(data)) == data
    for cut in (0, 1, len(data) // 2, len(data) - 10):
        with pytest.raises(InvalidBodyError, match="cut off"):
            archive.complete(received(data[:cut]))


@pytest.mark.parametrize(
    "header", [(b"Content-Length", b"3"), (b"transfer-encoding", b"Chunked"), (b"Content-Encoding", b"gzip")]
)
def test_an_end_that_is_proven_is_believed(header: tuple[bytes, bytes]) -> None:
    assert archive.complete(received(b"abc", header)) == b"abc"
