"""API keys: ``llmg_<id 10>_<secret 32><crc 6>``, base 62. What is kept is the HMAC-SHA256 of the whole text."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field

from llmgate.daemon.auth.principals import Role
from llmgate.daemon.auth.sealed import is_sealed, seal
from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.ids import random_base62
from llmgate.errors import InvalidRequest

PREFIX = "llmg_"

_FORM = re.compile(r"llmg_([0-9A-Za-z]{10})_[0-9A-Za-z]{38}", re.ASCII)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made. ``text`` is shown once and then forgotten."""

    id: str
    text: str = field(repr=False)
    digest: str = field(repr=False)
    last4: str


def generate(secret: ServerSecret, key_id: str | None = None) -> NewKey:
    """A new key, or a new secret for the one that has this id."""
    key_id = key_id or random_base62(10)
    text = seal(f"{PREFIX}{key_id}_{random_base62(32)}")
    return NewKey(key_id, text, digest(secret, text), text[-4:])


def parse(text: str) -> str | None:
    """The id of a key whose form and checksum are right, else None. Says nothing about whether the key exists."""
    match = _FORM.fullmatch(text)
    return match[1] if match and is_sealed(text) else None


def digest(secret: ServerSecret, text: str) -> str:
    """What is stored and looked up instead of the key, 64 hexadecimal digits."""
    return hmac.digest(secret.derive("api-key"), text.encode(), "sha256").hex()


def check_within(owner: str, owner_role: Role, owner_level: int | None, *, role: Role, level: int | None) -> None:
    """A key is never more than the user that it belongs to, whose name, role and level these are; a level of None
    bounds nothing. Raises InvalidRequest."""
    if role is Role.ADMIN and owner_role is not Role.ADMIN:
        raise InvalidRequest(
            f"{owner!r} is no administrator, so its key cannot be one's.",
            hint="Make the user an administrator first, or leave the user out.",
            param="role",
        )
    if level is not None and owner_level is not None and level < owner_level:
        raise InvalidRequest(
            f"{owner!r} has level {owner_level}, so its key cannot have level {level}.",
            hint=f"Use {owner_level} or more. An administrator can change the user's level.",
            param="level",
        )
