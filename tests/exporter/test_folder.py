"""The folder of an export after every kind of end: what is finished counts, and nothing else does."""

from __future__ import annotations

from pathlib import Path
from typing import IO, NoReturn

import pytest

from enapter_async import StorageError
from enapter_async.exporter._folder import ExportFolder, FinishedPart


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "history.csv"


def finish(folder: ExportFolder, index: int, content: bytes) -> None:
    with folder.begin_part(index) as new:
        new.file.write(content)
    folder.note_finished(FinishedPart(index, 1, len(content), (("pump", "power"),)))


def interrupt(file: IO[bytes], written: bytes, reason: str) -> NoReturn:
    file.write(written)
    file.flush()
    raise ValueError(reason)


def begun(target: Path, parts: int = 3) -> None:
    """Leave a folder with finished parts, as a crash does."""
    folder = ExportFolder(target)
    with folder.held():
        folder.begin({"what": "all"})
        for index in range(parts):
            finish(folder, index, b"part %d\n" % index)


def finished(target: Path) -> list[int]:
    folder = ExportFolder(target)
    with folder.held():
        return sorted(folder.finished)


def test_what_was_finished_is_found_again(target: Path) -> None:
    begun(target)
    folder = ExportFolder(target)
    with folder.held():
        assert folder.read_record() == {"what": "all"}
        assert folder.finished == {index: FinishedPart(index, 1, 7, (("pump", "power"),)) for index in range(3)}
        assert not folder.is_complete()


def test_a_journal_cut_at_any_byte_has_its_whole_lines_and_can_be_continued(target: Path) -> None:
    begun(target)
    journal = target.with_name("history.csv.partial") / "finished.jsonl"
    whole = journal.read_bytes()
    for length in range(len(whole) + 1):
        journal.write_bytes(whole[:length])
        lines = whole[:length].count(b"\n")
        assert finished(target) == list(range(lines))
        folder = ExportFolder(target)
        with folder.held():
            finish(folder, 9, b"after the crash\n")
        assert finished(target) == [*range(lines), 9]


@pytest.mark.parametrize("content", [None, b"", b"part", b"part 1 and more\n"])
def test_a_part_whose_file_is_not_what_was_written_is_not_finished(target: Path, content: bytes | None) -> None:
    begun(target)
    part = target.with_name("history.csv.partial") / "part-0000001"
    part.unlink() if content is None else part.write_bytes(content)
    assert finished(target) == [0, 2]


def test_a_part_that_was_not_noted_is_not_finished_and_one_done_again_is(target: Path) -> None:
    begun(target)
    folder = ExportFolder(target)
    with folder.held(), folder.begin_part(3) as new:
        new.file.write(b"complete, but the crash came first")
    assert finished(target) == [0, 1, 2]
    with folder.held():
        finish(folder, 3, b"again")
    assert finished(target) == [0, 1, 2, 3]


def test_a_part_that_fails_leaves_nothing(target: Path) -> None:
    begun(target, parts=0)
    folder = ExportFolder(target)
    with folder.held():
        with pytest.raises(ValueError, match="in the middle"), folder.begin_part(0) as new:
            interrupt(new.file, b"half", "in the middle")
        assert {path.name for path in folder.path.iterdir()} == {"export.json", "lock"}


def test_what_a_killed_process_had_open_is_removed(target: Path) -> None:
    begun(target)
    left = target.with_name("history.csv.partial") / "part-0000007.tmp"
    left.write_bytes(b"half")
    assert finished(target) == [0, 1, 2]
    assert not left.exists()


def test_the_file_has_its_name_only_when_it_is_complete(target: Path) -> None:
    begun(target)
    folder = ExportFolder(target)
    with folder.held():
        with pytest.raises(ValueError, match="disk"), folder.whole() as file:
            interrupt(file, b"half", "the disk")
        assert not target.exists()
        assert not folder.is_complete()
        with folder.whole() as file:
            for part in folder.list_parts(3):
                file.write(part.read_bytes())
        assert target.read_bytes() == b"part 0\npart 1\npart 2\n"
        folder.remove()
    assert [path.name for path in target.parent.iterdir()] == ["history.csv"]


@pytest.mark.parametrize("removed", range(6))
def test_a_crash_while_the_folder_is_removed_costs_nothing(
    target: Path, removed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(target)
    folder = ExportFolder(target)
    unlink = Path.unlink
    left = removed

    def unlink_some(path: Path, missing_ok: bool = False) -> None:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt  # as good as a crash: nothing after it is done
        left -= 1
        unlink(path, missing_ok)

    with folder.held():
        with folder.whole() as file:
            file.write(b"all of it")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", unlink_some)
            if removed < 5:
                with pytest.raises(KeyboardInterrupt):
                    folder.remove()
            else:
                folder.remove()
    if folder.path.exists():
        with folder.held():
            assert folder.is_complete()
            folder.remove()
    assert [path.name for path in target.parent.iterdir()] == ["history.csv"]
    assert target.read_bytes() == b"all of it"


def test_a_file_of_somebody_else_is_never_replaced(target: Path) -> None:
    target.write_bytes(b"dear diary")
    with pytest.raises(StorageError, match="already exists"), ExportFolder(target).held():
        pass
    assert [path.name for path in target.parent.iterdir()] == ["history.csv"]
    target.unlink()
    begun(target)
    folder = ExportFolder(target)
    with folder.held(), pytest.raises(StorageError, match="already exists"), folder.whole():
        target.write_bytes(b"dear diary")
    with folder.held(), pytest.raises(StorageError, match="already exists"):
        folder.is_complete()
    assert target.read_bytes() == b"dear diary"


def test_a_folder_of_somebody_else_is_left_alone(target: Path) -> None:
    folder = target.with_name("history.csv.partial")
    folder.mkdir()
    (folder / "thesis.tex").write_text("all my work")
    with pytest.raises(StorageError, match=r"contains something else \(thesis.tex\)"), ExportFolder(target).held():
        pass
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_what_never_began_leaves_nothing(target: Path) -> None:
    with pytest.raises(ValueError, match="no token"), ExportFolder(target).held():
        raise ValueError("no token")
    assert not list(target.parent.iterdir())


def test_devices_that_no_longer_exist_are_remembered(target: Path) -> None:
    begun(target)
    folder = ExportFolder(target)
    with folder.held():
        folder.note_missing({"pump", "d\ud800"})
        folder.note_missing({"pump"})
    again = ExportFolder(target)
    with again.held():
        assert again.missing == {"pump", "d\ud800"}
        assert sorted(again.finished) == [0, 1, 2]


@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_is_followed(tmp_path: Path, *, exists: bool) -> None:
    (tmp_path / "disk").mkdir()
    link, target = tmp_path / "history.csv", tmp_path / "disk" / "march.csv"
    link.symlink_to(target)
    if exists:
        target.write_bytes(b"dear diary")
        with pytest.raises(StorageError, match=r"march.csv: already exists"), ExportFolder(link).held():
            pass
        assert target.read_bytes() == b"dear diary"
    else:
        folder = ExportFolder(link)
        with folder.held():
            folder.begin({})
            with folder.whole() as file:
                file.write(b"history")
            folder.remove()
        assert target.read_bytes() == b"history"
    assert link.is_symlink()
    assert [path.name for path in target.parent.iterdir()] == ["march.csv"]


def test_a_loop_of_symbolic_links_is_refused_and_kept(tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.symlink_to(second)
    second.symlink_to(first)
    with pytest.raises(StorageError, match="leads to itself"), ExportFolder(first).held():
        pass
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_symlink()) == ["a.csv", "b.csv"]
