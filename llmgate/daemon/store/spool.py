"""Finished requests that the database does not take at the moment, in files of the state directory.

Each process writes a file of its own and holds a lock on it (flock), which ends with the process. So of several workers
in one directory none touches what another is writing, and whoever starts next finds the files that belong to nobody any
more. A row is a line of JSON: what the request log has, and never what was said.

All of this waits for the disk: call it in a thread.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from llmgate.daemon.events import RequestFinished
from llmgate.daemon.store.types import storable

BATCH_ROWS: Final = 100
"""Rows that are read at once."""
LONGEST_LINE: Final = 64 * 1024
_SUFFIX: Final = ".jsonl"
_NAMES: Final = tuple(field.name for field in fields(RequestFinished))
_values = attrgetter(*_NAMES)


class SpoolFile:
    """One file, open, and locked by this process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.damaged = 0
        """Lines that could not be read by ``batches``: a process that was killed, or a full disk, may leave one."""
        self.size = os.fstat(descriptor).st_size
        self._path = path
        self._descriptor = descriptor

    def append(self, lines: bytes) -> None:
        """All of it or nothing. Raises OSError."""
        rest, place = memoryview(lines), self.size
        try:
            while rest:
                written = os.pwrite(self._descriptor, rest, place)
                rest, place = rest[written:], place + written
        except OSError:
            with suppress(OSError):  # the next ones are written over what cannot be taken away
                os.ftruncate(self._descriptor, self.size)
            raise
        self.size = place

    def batches(self) -> Iterator[list[RequestFinished]]:
        """Everything that is in it, the oldest first. Raises OSError."""
        self.damaged = 0
        batch: list[RequestFinished] = []
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(0)
            while line := file.readline(LONGEST_LINE):
                try:
                    batch.append(_row_of(line))
                except ValueError:
                    self.damaged += 1
                if len(batch) == BATCH_ROWS:
                    yield batch
                    batch = []
        if batch:
            yield batch

    def remove(self) -> None:
        """All of it is in the database."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Leave it to whoever starts next."""
        os.close(self._descriptor)


class UsageSpool:
    """The files in ``directory``, all of them together at most ``most_bytes``; and the one of this process, which is
    made when there is something to write."""

    def __init__(self, directory: Path, most_bytes: int) -> None:
        self.own: SpoolFile | None = None
        self._directory = directory
        self._most_bytes = most_bytes
        self._turn = threading.Lock()

    def append(self, rows: Sequence[RequestFinished]) -> int:
        """Write these, or as many of them as there is room for: how many. Raises OSError, and then none is written."""
        with self._turn:
            room = self._most_bytes - self._taken()
            taken, lines = 0, []
            for line in map(_line_of, rows):
                room -= len(line)
                if room < 0:
                    break
                taken += 1
                lines.append(line)
            if taken:
                if self.own is None:
                    self.own = self._made()
                self.own.append(b"".join(lines))
            return taken

    def remove(self) -> None:
        """What is in the file of this process stands in the database."""
        with self._turn:
            if self.own is not None:
                self.own.remove()
                self.own = None

    def close(self) -> None:
        """Leave the file of this process to whoever starts next."""
        with self._turn:
            if self.own is not None:
                self.own.close()
                self.own = None

    def orphans(self) -> list[SpoolFile]:
        """The files of processes that have ended; they are this one's from now on. Raises OSError."""
        if not self._directory.is_dir():
            return []
        found = (self._claimed(path) for path in sorted(self._directory.glob(f"*{_SUFFIX}")))
        return [file for file in found if file is not None]

    def _claimed(self, path: Path) -> SpoolFile | None:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:  # another worker has just written it
            return None
        if _locked(descriptor):
            return SpoolFile(path, descriptor)
        os.close(descriptor)
        return None

    def _made(self) -> SpoolFile:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / f"usage-{secrets.token_hex(8)}{_SUFFIX}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        if not _locked(descriptor):  # a worker that starts at this moment has found it, and found it empty
            os.close(descriptor)
            raise BlockingIOError("another process has taken the file")
        return SpoolFile(path, descriptor)

    def _taken(self) -> int:
        """Bytes of all files there."""
        sizes = 0
        for path in self._directory.glob(f"*{_SUFFIX}"):
            with suppress(FileNotFoundError):
                sizes += path.stat().st_size
        return sizes


def _locked(descriptor: int) -> bool:
    """Lock a file for this process. False when another one has it, or has removed it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(descriptor).st_nlink > 0


def _line_of(row: RequestFinished) -> bytes:
    facts = dict(zip(_NAMES, _values(row), strict=True))
    facts["finished_at"], facts["outcome"] = row.finished_at.isoformat(), row.outcome.value
    # As the database would hold it: a model's name may be anything, half a character too.
    facts["model"] = storable(row.model, 200)
    return json.dumps(facts, separators=(",", ":")).encode() + b"\n"


def _row_of(line: bytes) -> RequestFinished:
    """Raises ValueError for a line that is not whole."""
    return _rows().validate_python(json.loads(line))


@cache  # making it takes as long as reading a hundred rows
def _rows() -> TypeAdapter[RequestFinished]:
    return TypeAdapter(RequestFinished)
