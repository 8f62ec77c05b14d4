"""An export on its way: a folder beside the file that is to be, with what is needed to resume it after any end.

`history.csv.partial` holds `export.json` (what is exported), a file for each part that is finished, and
`finished.jsonl`, a line for each of these, written after its file reached the disk. A part is finished when its
line is there and its file has the size that the line says; anything else is done again. The file itself gets its
name only when it is complete, and the folder is removed after that.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import attrs

from enapter_async import StorageError
from enapter_async._files import TEMPORARY, NewFile, sync_file, try_to_lock
from enapter_async.exporter._parts import FinishedPart

_RECORD: Final = "export.json"
_JOURNAL: Final = "finished.jsonl"
_LOCK: Final = "lock"


class ExportFolder:
    """The folder of one export; held by one process at a time.

    Attributes:
        target: The file that is to be; where the name is a symbolic link, the file that it points to.
        path: The folder.
        finished: Parts that are finished.
        missing: IDs of devices that no longer exist.
    """

    def __init__(self, target: Path) -> None:
        self.target: Path = Path(os.path.realpath(target))
        self.path: Path = self.target.with_name(f"{self.target.name}.partial")
        self.finished: dict[int, FinishedPart] = {}
        self.missing: set[str] = set()
        self._joined: int | None = None
        self._writing = threading.Lock()

    @contextmanager
    def held(self) -> Generator[None, None, None]:
        """Make the folder where it is missing, and hold it for the length of a block.

        It is removed in the end where nothing in it is needed any more.

        Raises:
            StorageError: Another process holds it, or it is something else.
            OSError: The file system refuses.
        """
        if not self.path.exists() and self.target.exists():
            raise self._already_exists()
        self.path.mkdir(exist_ok=True)
        if foreign := [name.name for name in self.path.iterdir() if not _is_ours(name.name)]:
            raise StorageError(self.path, f"holds something else ({foreign[0]}); choose another name")
        with (self.path / _LOCK).open("ab") as lock:
            if not try_to_lock(lock):
                raise StorageError(self.target, "another process exports to it now")
            self._load()
            try:
                yield
            finally:
                if not (self.path / _RECORD).exists():
                    self.remove()
                    lock.close()  # an open file cannot be removed on Windows
                    (self.path / _LOCK).unlink()
                    self.path.rmdir()

    def is_complete(self) -> bool:
        """Return whether the file was made already; then only the folder is left to be removed.

        Raises:
            StorageError: There is a file of that name which this export did not make.
        """
        if not self.target.exists():
            return False
        if self.target.is_file() and self.target.stat().st_size == self._joined:
            return True
        raise self._already_exists()

    def read_record(self) -> dict[str, Any] | None:
        """Return what was given to `begin`; None for an export that has not begun."""
        path = self.path / _RECORD
        return json.loads(path.read_bytes()) if path.exists() else None

    def begin(self, record: dict[str, Any]) -> None:
        """Keep what is exported, durably."""
        with NewFile(self.path / _RECORD) as new:
            new.file.write(json.dumps(record, ensure_ascii=True, indent=1).encode())

    def begin_part(self, index: int) -> NewFile:
        """Begin the file of a part."""
        return NewFile(self._part_path(index))

    def note_finished(self, part: FinishedPart) -> None:
        """Write down, durably, that a part is finished; its file is there. Threads may do so at the same time."""
        self._write_line(attrs.asdict(part))

    def note_missing(self, devices: Collection[str]) -> None:
        """Write down, durably, that devices no longer exist."""
        if new := sorted(set(devices) - self.missing):
            self._write_line({"missing": new})
            self.missing.update(new)

    def list_parts(self, count: int) -> Iterator[Path]:
        """Return the files of the parts, in order."""
        return map(self._part_path, range(count))

    @contextmanager
    def whole(self) -> Generator[IO[bytes], None, None]:
        """Give the file; it takes its name when the block ends well."""
        with NewFile(self.target, self.path / f"whole{TEMPORARY}") as new:
            yield new.file
            if self.target.exists():
                raise self._already_exists()
            # From here on a file of this name and size is known to be ours.
            self._write_line({"joined": new.file.tell()})

    def remove(self) -> None:
        """Remove what is in the folder, the journal late: until then it tells that the file is complete.

        The folder itself goes when it is no longer held.
        """
        last = {_RECORD: 1, _JOURNAL: 2}
        for path in sorted(self.path.iterdir(), key=lambda path: last.get(path.name, 0)):
            if path.name != _LOCK:
                path.unlink()

    def _measure(self, part: FinishedPart) -> int:
        """Return the size that the file of a part has now; -1 where there is none."""
        try:
            return self._part_path(part.part).stat().st_size
        except FileNotFoundError:
            return -1

    def _part_path(self, index: int) -> Path:
        return self.path / f"part-{index:07}"

    def _already_exists(self) -> StorageError:
        return StorageError(self.target, "exists already; remove it or choose another name")

    def _write_line(self, line: dict[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":")) + "\n"
        with self._writing, (self.path / _JOURNAL).open("ab") as journal:
            journal.write(text.encode())
            sync_file(journal)

    def _load(self) -> None:
        """Read the journal; a line that a crash cut is cut off, so that the next one begins a line."""
        for path in self.path.glob(f"*{TEMPORARY}"):
            path.unlink()
        path = self.path / _JOURNAL
        if not path.exists():
            return
        with path.open("r+b") as journal:
            whole = 0
            for line in journal:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                self._take(json.loads(line))
            journal.truncate(whole)

    def _take(self, line: dict[str, Any]) -> None:
        if "joined" in line:
            self._joined = line["joined"]
            return
        if "missing" in line:
            self.missing.update(line["missing"])
            return
        without = tuple((device, attribute) for device, attribute in line["without"])
        part = FinishedPart(line["part"], line["rows"], line["bytes"], without)
        if self._measure(part) == part.bytes:
            self.finished[part.part] = part
        else:
            self.finished.pop(part.part, None)


def _is_ours(name: str) -> bool:
    return name in {_RECORD, _JOURNAL, _LOCK} or name.endswith(TEMPORARY) or name.startswith("part-")
