"""Where a secret must never be: searched for byte by byte."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

CHUNK = 8 * 1024 * 1024


class Canaries:
    """Secrets by name, in each form in which they could be written down."""

    def __init__(self, secrets: Mapping[str, bytes]) -> None:
        self._forms = {f"{name} ({form})": text for name, value in secrets.items() for form, text in _forms(value)}
        self._longest = max(map(len, self._forms.values()))
        self.searched = 0
        """Bytes."""

    def __len__(self) -> int:
        return len(self._forms)

    def found_in(self, data: bytes) -> list[str]:
        """The names of those that are in it."""
        self.searched += len(data)
        return [name for name, form in self._forms.items() if form in data]

    def found_in_file(self, path: Path) -> list[str]:
        """As above, however large it is."""
        found: dict[str, None] = {}
        tail = b""
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                found |= dict.fromkeys(self.found_in(tail + chunk))
                tail = chunk[-self._longest :]
        return list(found)

    def found_below(self, folders: Iterable[Path], *, allowed: Iterable[Path] = ()) -> list[str]:
        """``path: name`` for each in the files below these folders, but for those files that may hold secrets."""
        may = set(allowed)
        return [
            f"{path}: {name}"
            for path in _files(folders)
            if path not in may
            for name in _or_nothing(self, path)
        ]  # fmt: skip

    def found_in_processes(self, pids: Iterable[int]) -> list[str]:
        """In what any user of the machine sees of these processes, and in their environment."""
        return [
            f"process {pid} {part}: {name}"
            for pid in pids
            for part in ("cmdline", "environ", "comm")
            for name in self.found_in(Path(f"/proc/{pid}/{part}").read_bytes())
        ]


class Wire:
    """Looks at the bytes of connections as they pass."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.seen = 0
        self.canaries: Canaries | None = None
        """None until there are some."""

    def __call__(self, chunk: bytes) -> None:
        self.seen += len(chunk)
        if self.canaries is not None:
            self.found.update(self.canaries.found_in(chunk))


def _forms(value: bytes) -> Iterator[tuple[str, bytes]]:
    yield "plain", value
    yield "hex", value.hex().encode()
    yield "base64", base64.b64encode(value).rstrip(b"=")[:-1]
    yield "base64url", base64.urlsafe_b64encode(value).rstrip(b"=")[:-1]


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())


def _or_nothing(canaries: Canaries, path: Path) -> list[str]:
    """A server may remove a file of its own meanwhile."""
    try:
        return canaries.found_in_file(path)
    except FileNotFoundError:
        return []
