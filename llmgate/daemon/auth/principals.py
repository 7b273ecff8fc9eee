"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a principal may do: users ask models, administrators also use the admin API."""

    USER = "user"
    ADMIN = "admin"


class PrincipalKind(StrEnum):
    """How a principal proved who it is."""

    KEY = "key"
    SESSION = "session"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class Principal:
    """An API key, a user session or a whitelisted address.

    ``id`` is the key's id, the user's id or the address itself; together with ``kind`` it names who
    is accounted and limited. ``level`` is the highest (smallest) level it may submit at. ``models``
    is None where every model is allowed. ``session_id`` is set for user sessions only.
    """

    kind: PrincipalKind
    id: str
    name: str
    role: Role
    level: int
    user_id: str | None = None
    session_id: str | None = None
    models: frozenset[str] | None = None
    weight: float = 1.0

    @property
    def owner(self) -> str:
        """The principal as one word, e.g. ``key:aB3dE5gH7j``."""
        return f"{self.kind}:{self.id}"

    def may_use(self, model: str) -> bool:
        return self.models is None or model in self.models
