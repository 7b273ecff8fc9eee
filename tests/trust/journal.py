"""The journals: what each side of a run saw, one JSON object per line, and no side's word taken for another's.

``clients.jsonl`` has what every client got, ``upstreams.jsonl`` what the upstreams were asked, ``nemesis.jsonl`` who
lived and what was done to them, ``gateway.jsonl`` the gateway's own log of requests. All times are seconds on the
machine's monotonic clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TextIO

How = Literal["whole", "cut", "left"]
Result = Literal["answered", "error", "silent", "gone", "reset", "unreached", "stuck"]


@dataclass(slots=True)
class Attempt:
    """One request as its client saw it. ``pid`` is the daemon's.

    ``silent``: the answer ended in good order, but neither with an end mark nor with an error. ``reset``: the
    connection broke; ``unreached``: there was none. ``got`` counts bytes of the upstream's answer (whole lines and
    events), ``digest`` is their SHA-256; ``foreign`` are the nonces of others in it.
    """

    nonce: str
    daemon: str
    pid: int
    began: float
    ended: float = 0.0
    result: Result = "stuck"
    status: int = 0
    code: str = ""
    message: str = ""
    got: int = 0
    digest: str = ""
    finished: bool = False
    foreign: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Start:
    """One request as it came to an upstream. ``how``: the answer went out ``whole``, was ``cut`` there as planned, or
    the caller ``left``."""

    nonce: str
    upstream: str
    began: float
    ended: float
    how: How


@dataclass(slots=True)
class Life:
    """A daemon's process. ``how`` it ended: ``kill`` (SIGKILL) or ``term`` (SIGTERM, at ``told``), with an exit
    code."""

    daemon: str
    pid: int
    began: float
    ended: float
    how: Literal["kill", "term"]
    told: float
    code: int


@dataclass(slots=True)
class Fault:
    """Something that was done to the system, until it was undone."""

    kind: str
    target: str
    began: float
    ended: float
    detail: str = ""


@dataclass(slots=True)
class Row:
    """One line of the gateway's own log of requests."""

    request_id: str
    outcome: str
    error_code: str | None
    status: int


@dataclass(slots=True)
class Fact:
    """Anything else that is known of the run: its ``seed``, ``slots`` of an upstream, ``sums`` of the usage table,
    whether the activity log is whole, ``log`` lines that must not be, ``leak`` of a secret or a descriptor."""

    name: str
    value: Any


Record = Attempt | Start | Life | Fault | Row | Fact
_KINDS: dict[str, type[Record]] = {kind.__name__: kind for kind in (Attempt, Start, Life, Fault, Row, Fact)}
FILES = {"clients": (Attempt,), "upstreams": (Start,), "nemesis": (Life, Fault), "gateway": (Row,), "facts": (Fact,)}


@dataclass(slots=True)
class History:
    """All journals of a run."""

    attempts: list[Attempt] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)

    def add(self, record: Record) -> None:
        match record:
            case Attempt():
                self.attempts.append(record)
            case Start():
                self.starts.append(record)
            case Life():
                self.lives.append(record)
            case Fault():
                self.faults.append(record)
            case Row():
                self.rows.append(record)
            case Fact():
                self.facts.append(record)

    def fact(self, name: str) -> Any:
        """The last fact of this name. Raises LookupError."""
        return [fact.value for fact in self.facts if fact.name == name][-1]

    def all(self, name: str) -> list[Any]:
        return [fact.value for fact in self.facts if fact.name == name]


class Journal:
    """Writes what happens into the files of a folder, in the moment when it is known, and keeps it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.history = History()
        self._files: dict[type[Record], TextIO] = {}

    def __enter__(self) -> Self:
        for name, kinds in FILES.items():
            file = (self.folder / f"{name}.jsonl").open("w", encoding="utf-8")
            self._files |= dict.fromkeys(kinds, file)
        return self

    def __exit__(self, *_: object) -> None:
        for file in set(self._files.values()):
            file.close()

    def write(self, record: Record) -> None:
        self.history.add(record)
        file = self._files[type(record)]
        file.write(json.dumps({"record": type(record).__name__, **asdict(record)}) + "\n")
        if not isinstance(record, Attempt | Start):  # thousands of those, and nobody waits for them
            file.flush()

    def note(self, name: str, value: Any) -> None:
        self.write(Fact(name, value))


def read(folder: Path) -> History:
    """The journals of a run that has ended."""
    history = History()
    for record in _records(folder):
        history.add(record)
    return history


def _records(folder: Path) -> Iterator[Record]:
    for name in FILES:
        for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            content = json.loads(line)
            yield _KINDS[content.pop("record")](**content)
