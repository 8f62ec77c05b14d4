"""The state of an unfinished export, in a folder next to the target file, so that it can be resumed.

`history.csv.partial` contains `export.json` (the request), a file for each finished part, and `finished.jsonl`, with a
line for each part that is written after its file is on disk. A part is finished if its line exists and its file has the
size in that line. All others are exported again. The target file gets its name only when it is complete, and then the
folder is removed.
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
from enapter_async._files import TEMPORARY, NewFile, explain_unopened, sync_file, try_to_lock
from enapter_async.exporter._parts import FinishedPart

_RECORD: Final = "export.json"
_JOURNAL: Final = "finished.jsonl"
_LOCK: Final = "lock"


class ExportFolder:
    """The folder of one export, locked by one process at a time.

    Attributes:
        target: The target file. If the name is a symbolic link, the file that it points to.
        path: The folder.
        finished: Finished parts.
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
        """Create the folder if necessary, and lock it during a block.

        It is removed at the end if it is no longer needed.

        Raises:
            StorageError: Another process has locked it, or it contains something else.
            OSError: The file system rejects an operation.
        """
        if self.target.is_symlink():
            raise StorageError(self.target, "is a symbolic link that leads to itself")
        if not self.path.exists() and self.target.exists():
            raise self._already_exists()
        if not self.path.exists() and (reason := explain_unopened(self.target)) is not None:
            raise StorageError(self.target, reason)
        self.path.mkdir(exist_ok=True)
        if foreign := [name.name for name in self.path.iterdir() if not _is_ours(name.name)]:
            raise StorageError(self.path, f"contains something else ({foreign[0]}); choose another name")
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
        """Return whether the file is already complete, so that only the folder must be removed.

        Raises:
            StorageError: There is a file of that name from elsewhere.
        """
        if not self.target.exists():
            return False
        if self.target.is_file() and self.target.stat().st_size == self._joined:
            return True
        raise self._already_exists()

    def read_record(self) -> dict[str, Any] | None:
        """Return the value passed to `begin`, or None if the export has not begun."""
        path = self.path / _RECORD
        return json.loads(path.read_bytes()) if path.exists() else None

    def begin(self, record: dict[str, Any]) -> None:
        """Store the request durably."""
        with NewFile(self.path / _RECORD) as new:
            new.file.write(json.dumps(record, ensure_ascii=True, indent=1).encode())

    def begin_part(self, index: int) -> NewFile:
        """Create the file of a part."""
        return NewFile(self._part_path(index))

    def note_finished(self, part: FinishedPart) -> None:
        """Record durably that a part is finished. Its file is already on disk. Threads may call this concurrently."""
        self._write_line(attrs.asdict(part))

    def note_missing(self, devices: Collection[str]) -> None:
        """Record durably that devices no longer exist."""
        if new := sorted(set(devices) - self.missing):
            self._write_line({"missing": new})
            self.missing.update(new)

    def list_parts(self, count: int) -> Iterator[Path]:
        """Return the files of the parts, in order."""
        return map(self._part_path, range(count))

    @contextmanager
    def whole(self) -> Generator[IO[bytes], None, None]:
        """Provide the target file, which gets its name if the block succeeds."""
        with NewFile(self.target, self.path / f"whole{TEMPORARY}") as new:
            yield new.file
            if self.target.exists():
                raise self._already_exists()
            # From here on, a file with this name and size belongs to this export.
            self._write_line({"joined": new.file.tell()})

    def remove(self) -> None:
        """Remove the content of the folder. The journal is removed late, since it records that the file is complete.

        The folder itself is removed when it is unlocked.
        """
        last = {_RECORD: 1, _JOURNAL: 2}
        for path in sorted(self.path.iterdir(), key=lambda path: last.get(path.name, 0)):
            if path.name != _LOCK:
                path.unlink()

    def _measure(self, part: FinishedPart) -> int:
        """Return the current size of the file of a part, or -1 if there is none."""
        try:
            return self._part_path(part.part).stat().st_size
        except FileNotFoundError:
            return -1

    def _part_path(self, index: int) -> Path:
        return self.path / f"part-{index:07}"

    def _already_exists(self) -> StorageError:
        return StorageError(self.target, "already exists; remove it or choose another name")

    def _write_line(self, line: dict[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":")) + "\n"
        with self._writing, (self.path / _JOURNAL).open("ab") as journal:
            journal.write(text.encode())
            sync_file(journal)

    def _load(self) -> None:
        """Read the journal. A line that a crash interrupted is removed, so that the next one starts on a new line."""
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
