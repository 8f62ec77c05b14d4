"""Local files: what appears, appears complete; a lock ends with its process; a symbolic link stays one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from enapter_async._files import NewFile, load_ca_file, try_to_lock
from enapter_async.errors import ConfigurationError


def test_a_new_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with NewFile(path) as new:
        new.file.write(b"content")
        assert not path.exists()
    assert path.read_bytes() == b"content"
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


def test_a_new_file_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"before")
    with pytest.raises(TypeError), NewFile(path) as new:
        new.file.writelines([b"half", None])  # type: ignore[list-item]
    assert path.read_bytes() == b"before"
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("dangling", [True, False])
def test_a_symbolic_link_is_followed(tmp_path: Path, *, dangling: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "a", tmp_path / "link"
    if not dangling:
        target.write_bytes(b"before")
    link.symlink_to(target)
    with NewFile(link) as new:
        new.file.write(b"content")
    assert link.is_symlink()
    assert target.read_bytes() == b"content"


def test_a_lock_keeps_other_processes_out_and_ends_with_the_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys; from enapter_async._files import try_to_lock; f = open(sys.argv[1], 'ab'); print(try_to_lock(f))"
    )

    def try_elsewhere() -> str:
        ended = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
        return ended.stdout.strip()

    with path.open("ab") as file:
        assert try_to_lock(file)
        assert try_elsewhere() == "False"
    assert try_elsewhere() == "True"
    with path.open("ab") as file:
        assert try_to_lock(file)


def test_a_file_without_certificates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^profile x: ca.pem is useless: .*No such file"):
        load_ca_file(tmp_path / "ca.pem", "profile x: ca.pem is useless")


def test_a_loop_of_symbolic_links_is_refused_and_kept(tmp_path: Path) -> None:
    link = tmp_path / "a"
    link.symlink_to(link)
    with pytest.raises(OSError, match="symbolic links"):
        NewFile(link)
    assert link.is_symlink()
    assert [one.name for one in tmp_path.iterdir()] == ["a"]
