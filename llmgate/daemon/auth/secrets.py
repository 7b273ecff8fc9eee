"""The server's secret key, from which every other secret of the gateway is derived."""

from __future__ import annotations

import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from llmgate.daemon.store.files import check_private
from llmgate.errors import StateUnreadable

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
            _create(path)
        check_private(path)
        text = path.read_text(encoding="ascii").strip()
        key = bytes.fromhex(text)
    except OSError as failure:
        raise StateUnreadable(
            f"Cannot use the secret key {path}: {failure.strerror}.", hint="Check the directory's owner."
        ) from None
    except ValueError:
        raise _unusable(path, "is not hexadecimal") from None
    if len(key) < _BYTES:
        raise _unusable(path, f"is shorter than {_BYTES} bytes")
    if len(set(key)) < _BYTES // 4:
        raise _unusable(path, "is not random")
    return ServerSecret(key)


def _create(path: Path) -> None:
    """Write a new key so that of several processes that start at once all use the same one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_BYTES) + "\n")
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
