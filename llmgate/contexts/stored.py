"""What the command line keeps between two commands: the known daemons and the sessions there.

``contexts.toml`` names the daemons, ``credentials.json`` (0600) holds the sessions, each bound to the
URL that it was made for: a token is never sent anywhere else.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import stat
import tempfile
import time
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

from llmgate.errors import InvalidRequest, StateUnreadable

LOCK_SECONDS = 15.0
"""Longest wait for another process that renews the same session."""
_NAME = re.compile(r"[a-z0-9_-]{1,40}")


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as it is kept. ``expires_at`` of the access token is in seconds since the epoch."""

    url: str
    user: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: float


@dataclass(frozen=True, slots=True)
class Contexts:
    """The known daemons by name, and which one is used when none is named."""

    current: str | None
    urls: Mapping[str, str]

    def named(self, url: str) -> str | None:
        """The context of this URL, the current one first."""
        names = [name for name, known in self.urls.items() if known == url]
        return self.current if self.current in names else next(iter(names), None)


class Store:
    """The files of one user. ``directory`` is made with the first write."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._contexts = directory / "contexts.toml"
        self._credentials = directory / "credentials.json"

    def contexts(self) -> Contexts:
        """Raises StateUnreadable when the file is damaged, or cannot be read; as all of these do."""
        try:
            content = tomllib.loads(self._contexts.read_text(encoding="utf-8"))
            urls = {str(name): str(table["url"]) for name, table in content.get("contexts", {}).items()}
            return Contexts(content.get("current"), urls)
        except FileNotFoundError:
            return Contexts(None, {})
        except OSError as failure:
            raise _unusable("read", self._contexts, failure) from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise StateUnreadable(
                f"{self._contexts} cannot be read.", hint="Repair it, or delete it and log in again."
            ) from None

    def save_contexts(self, contexts: Contexts) -> None:
        # JSON strings are TOML strings: there is no TOML writer in the standard library.
        lines = [f"current = {json.dumps(contexts.current)}"] if contexts.current else []
        for name, url in contexts.urls.items():
            lines += ["", f"[contexts.{name}]", f"url = {json.dumps(url)}"]
        self._write(self._contexts, "\n".join(lines) + "\n")

    def add_context(self, name: str, url: str, *, current: bool = True) -> None:
        """Know a daemon and make it the current one, as the first one always is. Raises InvalidRequest for an
        unusable name."""
        check_name(name)
        known = self.contexts()
        self.save_contexts(Contexts(name if current else known.current or name, {**known.urls, name: url}))

    def session(self, name: str, url: str) -> StoredSession | None:
        """The session of this context; None when there is none, or when it was made for another URL."""
        session = self._sessions().get(name)
        return session if session and session.url == url else None

    def save_session(self, name: str, session: StoredSession | None) -> None:
        """Keep a session, or forget it."""
        sessions = self._sessions()
        if session is None:
            if sessions.pop(name, None) is None:
                return
        else:
            sessions[name] = session
        self._write(self._credentials, json.dumps({key: asdict(kept) for key, kept in sessions.items()}, indent=1))

    def _sessions(self) -> dict[str, StoredSession]:
        try:
            mode = stat.S_IMODE(self._credentials.stat().st_mode)
            content = json.loads(self._credentials.read_text(encoding="utf-8"))
            sessions = {str(name): StoredSession(**values) for name, values in content.items()}
        except FileNotFoundError:
            return {}
        except OSError as failure:
            raise _unusable("read", self._credentials, failure) from None
        except (ValueError, TypeError, AttributeError):
            raise StateUnreadable(
                f"{self._credentials} cannot be read.", hint="Delete it and log in again: llmgate login"
            ) from None
        if mode & 0o077:
            raise StateUnreadable(
                f"{self._credentials} can be read by others.", hint=f"Run: chmod 600 {self._credentials}"
            )
        return sessions

    def lock(self) -> BinaryIO:
        """Be the only process that changes these files, until the answer is closed. Blocks up to 15 s."""
        self._make_directory()
        path = self.directory / "lock"
        try:
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab")
            try:
                _wait_for_lock(file, self.directory)
            except BaseException:
                file.close()
                raise
        except OSError as failure:
            raise _unusable("lock", path, failure) from None
        return file

    def _write(self, path: Path, text: str) -> None:
        """Replace a file at once, readable for its owner only."""
        self._make_directory()
        try:
            descriptor, temporary = tempfile.mkstemp(dir=self.directory, prefix=path.name)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as failure:
            raise _unusable("write", path, failure) from None

    def _make_directory(self) -> None:
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as failure:
            raise StateUnreadable(
                f"Cannot make {self.directory}: {failure.strerror}.", hint="Set LLMGATE_CONFIG_DIR to another place."
            ) from None


def check_name(name: str) -> None:
    """Raises InvalidRequest for what cannot name a context."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name!r} cannot name a context.", hint="Use lower-case letters, digits, - and _, at most 40."
        )


def _unusable(what: str, path: Path, failure: OSError) -> StateUnreadable:
    return StateUnreadable(
        f"Cannot {what} {path}: {failure.strerror or failure}.",
        hint="Check its mode and the disk, or set LLMGATE_CONFIG_DIR to another place.",
    )


def _wait_for_lock(file: BinaryIO, directory: Path) -> None:
    give_up = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise StateUnreadable(f"Another llmgate has locked {directory} for too long.") from None
            time.sleep(0.05)
        else:
            return
