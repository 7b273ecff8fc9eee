"""Which of the requests that wait or run are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmgate.daemon.queue.ticket import Ticket


@dataclass(frozen=True, slots=True)
class Wanted:
    """None stands for all. ``level`` is the one of submission: a request keeps it from its arrival to the log, while
    the one that it stands at changes as it ages."""

    owners: frozenset[str] | None = None
    pool: str | None = None
    models: frozenset[str] | None = None
    level: int | None = None

    @classmethod
    def of(cls, owner: str) -> Wanted:
        """What belongs to one principal."""
        return cls(owners=frozenset((owner,)))

    @property
    def is_of_pools(self) -> bool:
        """Whether whole pools are asked for: then nobody who waits has to be looked at to be counted."""
        return self.owners is None and self.models is None and self.level is None

    def takes(self, ticket: Ticket) -> bool:
        """Whether this one is asked for."""
        return self.fits(ticket.owner, ticket.pool, ticket.model, ticket.level)

    def fits(self, owner: str, pool: str, model: str, level: int) -> bool:
        """``takes``, of a request that is known only by these."""
        return (
            (self.pool is None or pool == self.pool)
            and (self.level is None or level == self.level)
            and (self.models is None or model in self.models)
            and (self.owners is None or owner in self.owners)
        )

    def to_wire(self) -> dict[str, Any]:
        """As JSON has it."""
        owners, models = (None if names is None else sorted(names) for names in (self.owners, self.models))
        return {"owners": owners, "pool": self.pool, "models": models, "level": self.level}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Wanted:
        owners, models = (None if wire[name] is None else frozenset(wire[name]) for name in ("owners", "models"))
        return cls(owners, wire["pool"], models, wire["level"])


ALL = Wanted()
