"""What the dispatcher offers to the owner of a ticket, and what it makes happen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from llmgate.daemon.queue.policy import Turn
from llmgate.daemon.queue.rabbitmq.aging import Held
from llmgate.daemon.queue.rabbitmq.wire import Item


class Effects(Protocol):
    """What a ledger makes happen."""

    def acknowledge(self, tag: int) -> None:
        """The broker may forget a ticket."""

    def give_back(self, tag: int) -> None:
        """The broker gets a ticket back: to age it, or to hand it out anew."""

    def tell(self, boot: str, item: Item) -> None:
        """An item for one daemon."""


@dataclass(slots=True, eq=False)
class Offer:
    """A slot that was offered to a ticket's owner or, once ``accepted``, is used by it. ``mark`` is the number of the
    last ping before it: who answers a later one has answered this offer before, or never got it."""

    id: str
    boot: str
    upstream: str
    mark: int
    held: Held | None = None
    """None, as ``turn``, for what was granted in another epoch, or by the owner itself."""
    turn: Turn | None = None
    offered_at: float = 0.0
    accepted: bool = False
