"""The server's secret key, from which every other secret of the gateway is derived."""

from __future__ import annotations

import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from llmgate.daemon.store.files import check_private
from llmgate.errors import Conflict, StateUnreadable

_BYTES = 32
_WITHOUT_IT = "Only a database that is made anew works without it: no user, key or session of the old one would."


@dataclass(frozen=True, slots=True)
class ServerSecret:
    """32 random bytes. They are never used themselves, only keys that are derived from them for one purpose each."""

    _key: bytes = field(repr=False)

    def derive(self, label: str) -> bytes:
        """A key for one purpose, 32 bytes: HMAC-SHA256 (RFC 2104) of its label under the secret."""
        return hmac.digest(self._key, label.encode(), "sha256")

    @property
    def fingerprint(self) -> str:
        """Tells two secrets apart and gives nothing away."""
        return self.derive("fingerprint").hex()[:32]

    def reveal(self) -> str:
        """The secret as its file has it: for an encrypted backup, and for nothing else."""
        return self._key.hex()


def load_or_create(path: Path, *, may_create: bool = True) -> ServerSecret:
    """Read the secret, or make one where there is none and ``may_create``.

    Raises StateUnreadable, with what helps, when it is missing, when others may read the file, or when it holds no
    good key.
    """
    try:
        if not path.exists():
            if not may_create:
                raise StateUnreadable(
                    f"The secret key {path} is missing, and this database was made with it.",
                    hint=f"Put the old secret.key back as {path}. {_WITHOUT_IT}",
                )
            _create(path, secrets.token_hex(_BYTES))
        check_private(path)
        return of_text(path.read_text(encoding="ascii"))
    except OSError as failure:
        raise StateUnreadable(
            f"Cannot use the secret key {path}: {failure.strerror}.", hint="Check the directory's owner."
        ) from None
    except ValueError as fault:
        what = "is not hexadecimal" if isinstance(fault, UnicodeDecodeError) else str(fault)
        raise _unusable(path, what) from None


def of_text(text: str) -> ServerSecret:
    """The secret of this text. Raises ValueError, with the end of a sentence, when it is no good key."""
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        raise ValueError("is not hexadecimal") from None
    if len(key) < _BYTES:
        raise ValueError(f"is shorter than {_BYTES} bytes")
    if len(set(key)) < _BYTES // 4:
        raise ValueError("is not random")
    return ServerSecret(key)


def install(path: Path, secret: ServerSecret) -> bool:
    """Write this secret where there is none. False when it is there already.

    Raises Conflict when there is another one, StateUnreadable when it cannot be written.
    """
    is_new = not path.exists()
    try:
        if is_new:
            _create(path, secret.reveal())
    except OSError as failure:
        raise StateUnreadable(
            f"Cannot write {path}: {failure.strerror}.", hint="Check the directory's owner."
        ) from None
    if load_or_create(path, may_create=False) != secret:
        raise Conflict(f"There is another secret key in {path}.", hint="Move it away, or choose another state.dir.")
    return is_new


def _create(path: Path, text: str) -> None:
    """Write a new key so that of several processes that start at once all use the same one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)  # unlike a rename, it never replaces a key that another process just wrote
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _unusable(path: Path, what: str) -> StateUnreadable:
    return StateUnreadable(
        f"The secret key in {path} {what}.",
        hint=f"Put the original back. {_WITHOUT_IT}",
    )
