"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

from llmgate.errors import PermissionDenied


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
class Limits:
    """How much a principal may use; None where there is no limit. Budgets are of UTC calendar days and months."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrent: int | None = None
    """Requests that are in flight at once, waiting or running."""
    max_waiting: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None

    @property
    def has_rate(self) -> bool:
        return self.requests_per_minute is not None or self.tokens_per_minute is not None

    @property
    def has_budget(self) -> bool:
        return self.tokens_per_day is not None or self.tokens_per_month is not None


UNLIMITED = Limits()


def readable(name: str, user: str | None = None) -> str:
    """What people call a principal: ``ann/editor`` is a key of Ann's, and there is no slash in any other name."""
    return f"{user}/{name}" if user else name


@dataclass(frozen=True, slots=True)
class Principal:
    """An API key, a user session or a whitelisted address.

    ``id`` is the key's id, the user's id or the address itself (of IPv6 its /64); together with ``kind`` it names who
    is accounted and limited. ``level`` is the highest (smallest) level it may submit at. ``models``
    is None where every model is allowed, ``routes`` (paths and families, see ``auth/routes.py``) where every route
    is, ``networks`` where it may come from everywhere, ``limits`` where there are none. ``session_id`` is set for
    user sessions only, ``user`` (a name) for keys that belong to a user.
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
    routes: frozenset[str] | None = None
    networks: tuple[IPv4Network | IPv6Network, ...] | None = None
    limits: Limits | None = None
    user: str | None = None

    @property
    def owner(self) -> str:
        """The principal as one word, e.g. ``key:aB3dE5gH7j``."""
        return f"{self.kind}:{self.id}"

    @property
    def owner_name(self) -> str:
        """The same for people, e.g. ``ann/editor``."""
        return readable(self.name, self.user)

    def may_use(self, model: str) -> bool:
        return self.models is None or model in self.models

    def check_route(self, path: str, family: str) -> None:
        """Raises PermissionDenied unless it may call this path, which belongs to that family."""
        if self.routes is not None and path not in self.routes and family not in self.routes:
            raise PermissionDenied(
                f"This key may not call {path}.", hint=f"It may call: {', '.join(sorted(self.routes))}."
            )
